"""Distillation to the parent on a plain Trainer: the loss, the parent asked once, weight 0 as if it were not there."""

from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.errors import DataError
from chaintune.tuning.mitigations.distill import Direction, Distill, at_tokens, divergence, top_tokens
from tests import tiny
from tests.unit.tuning.mitigations.plain_trainer import Texts, train, weights

NEW, OLD = Texts(8, "box"), Texts(4, "ball")


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_with_every_token_it_is_the_divergence_and_with_fewer_no_more(direction: Direction, temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    parent, own = (torch.randn(5, 40, generator=generator) * 2 for _ in range(2))
    p, q = (torch.log_softmax(logits / temperature, dim=-1) for logits in (parent, own))
    p, q = (p, q) if direction == "forward" else (q, p)
    expected = (p.exp() * (p - q)).sum(dim=-1)
    apart = []
    for k in (40, 8, 1):
        tops = top_tokens(parent, k, temperature=temperature)
        assert tops.log_probabilities.exp().sum(dim=-1).tolist() == pytest.approx([1.0] * 5)
        apart.append(
            divergence(tops.log_probabilities, at_tokens(own, tops.tokens, temperature=temperature), direction)
        )
    torch.testing.assert_close(apart[0], expected)
    assert bool((apart[2] <= apart[1] + 1e-6).all())
    assert bool((apart[1] <= apart[0] + 1e-6).all())
    assert bool((apart[2] > 0).all())


def test_the_parent_reads_each_row_once_and_no_second_model_is_there(tmp_path: Path) -> None:
    model = tiny.make_model()
    reads: list[int] = []
    model.register_forward_pre_hook(lambda _m, _a, inputs: reads.append(len(inputs["input_ids"])), with_kwargs=True)
    pull = Distill(model, OLD.one_by_one(), weight=1.0, batch=2)
    assert sum(reads) == 4
    once = pull.tokens_read
    train(model, NEW, tmp_path, callbacks=[pull], num_train_epochs=1)
    # Two steps of two micro-batches of four rows each, and two rows beside each step.
    assert sum(reads) == 4 + 8 + 2 * 2
    assert once < pull.tokens_read <= 2 * once
    assert not [value for value in vars(pull).values() if isinstance(value, torch.nn.Module)]


def test_as_many_rows_are_read_at_once_as_there_is_room_for_and_each_seed_has_an_order_of_its_own(
    tmp_path: Path,
) -> None:
    reads: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    for seed, read in reads.items():
        model = tiny.make_model()
        pull = Distill(model, OLD.one_by_one(), weight=1.0, batch=2, micro_batch_size=1, seed=seed)
        model.register_forward_pre_hook(
            lambda _m, _a, inputs, read=read: read.append(inputs["input_ids"]), with_kwargs=True
        )
        train(model, NEW, tmp_path, callbacks=[pull], num_train_epochs=1)
        read[:] = [ids for ids in read if len(ids) == 1]
    assert [len(read) for read in reads.values()] == [4, 4]
    assert not all(torch.equal(*pair) for pair in zip(*reads.values(), strict=True))


def test_weight_0_is_plain_training_bit_for_bit(tmp_path: Path) -> None:
    models = [tiny.make_model(), tiny.make_model()]
    pull = Distill(models[1], OLD.one_by_one(), weight=0)
    train(models[0], NEW, tmp_path, num_train_epochs=1)
    train(models[1], NEW, tmp_path, callbacks=[pull], num_train_epochs=1)
    one, other = map(weights, models)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert pull.tokens_read == 0


def test_it_moves_less_where_it_is_held(tmp_path: Path) -> None:
    def apart(model: Any) -> float:
        with torch.no_grad():
            rows = torch.stack([row["input_ids"] for row in OLD.rows])
            logits = [torch.log_softmax(one(input_ids=rows).logits, dim=-1) for one in (tiny.make_model(), model)]
        return float((logits[0].exp() * (logits[0] - logits[1])).sum(dim=-1).mean())

    held = tiny.make_model()
    train(held, NEW, tmp_path, callbacks=[Distill(held, OLD.one_by_one(), weight=5.0, batch=4)])
    assert apart(held) < 0.5 * apart(train(tiny.make_model(), NEW, tmp_path))


def test_rows_without_a_label_are_refused() -> None:
    row = {"input_ids": torch.tensor([[1, 2]]), "labels": torch.tensor([[-100, -100]])}
    with pytest.raises(DataError, match="distill: it needs rows in which something is predicted, got none"):
        Distill(tiny.make_model(), [row], weight=1.0)
