"""Each mitigation of a stage on a plain `transformers.Trainer`, doing what it says."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import ConcatDataset, Sampler
from transformers import Trainer, TrainerCallback

from chaintune.errors import StageError
from chaintune.tuning.mitigations.ema import EMA
from chaintune.tuning.mitigations.ewc import EWC, diagonal_fisher
from chaintune.tuning.mitigations.freeze import freeze
from chaintune.tuning.mitigations.l2sp import L2SP
from chaintune.tuning.mitigations.osf import orthogonal
from chaintune.tuning.mitigations.rehearse import RehearsalSampler
from chaintune.tuning.mitigations.sam import SharpnessAware
from tests import tiny
from tests.unit.tuning.mitigations.plain_trainer import Texts, distance, train, weights

DATA = Texts(16, "box")


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> float:
    """How far plain training goes from where it began."""
    model = tiny.make_model()
    before = weights(model)
    return distance(before, weights(train(model, DATA, tmp_path_factory.mktemp("plain"))))


def test_l2sp_stays_nearer_the_stronger_it_is(tmp_path: Path, moved: float) -> None:
    distances = []
    for strength in (1.0, 100.0):
        model = tiny.make_model()
        before, pull = weights(model), L2SP(model, strength=strength)
        train(model, DATA, tmp_path, callbacks=[pull])
        distances.append(distance(before, weights(model)))
    assert distances[1] < 0.5 * distances[0] < 0.5 * moved


@pytest.mark.parametrize("accumulated", [1, 4])
def test_the_pull_does_not_depend_on_how_a_step_is_cut(accumulated: int, tmp_path: Path) -> None:
    """One SGD step by hand: w - rate * (gradient + strength * (w - w0)), and w is w0 at first."""
    model = tiny.make_model()
    options: dict[str, Any] = {
        "optim": "sgd", "lr_scheduler_type": "constant", "max_steps": 2, "learning_rate": 0.1, "max_grad_norm": 0.0,
        "per_device_train_batch_size": 8 // accumulated, "gradient_accumulation_steps": accumulated,
    }  # fmt: skip
    seen: list[dict[str, torch.Tensor]] = []

    class Watch(TrainerCallback):
        def on_pre_optimizer_step(self, *_: Any, model: Any = None, **__: Any) -> None:
            seen.append({name: weight.grad.clone() for name, weight in model.named_parameters()})
            seen.append(dict(weights(model)))

    start = weights(model)
    train(model, DATA, tmp_path, callbacks=[Watch(), L2SP(model, strength=3.0)], **options)
    gradient, second = seen[2], seen[3]
    for name, weight in weights(model).items():
        expected = second[name] - 0.1 * (gradient[name] + 3.0 * (second[name] - start[name]))
        torch.testing.assert_close(weight, expected)


def test_ewc_holds_what_the_earlier_answers_depend_on(tmp_path: Path) -> None:
    model = tiny.make_model()
    fisher = diagonal_fisher(model, Texts(8, "ball").one_by_one())
    before, pull = weights(model), EWC(model, fisher, strength=1e4)
    train(model, DATA, tmp_path / "held", callbacks=[pull])
    plain = train(tiny.make_model(), DATA, tmp_path / "plain")

    def weighed(trained: Any) -> float:
        return float(sum((fisher[n] * (w - before[n]) ** 2).sum() for n, w in weights(trained).items()))

    assert weighed(model) < 0.2 * weighed(plain)


def test_ema_ends_with_the_average_of_its_steps(tmp_path: Path) -> None:
    model = tiny.make_model()
    expected = {name: weight.clone() for name, weight in weights(model).items()}

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, model: Any = None, **__: Any) -> None:
            for name, weight in weights(model).items():
                expected[name] = 0.8 * expected[name] + 0.2 * weight

    train(model, DATA, tmp_path, callbacks=[EMA(model, decay=0.8), Watch()])
    for name, weight in weights(model).items():
        torch.testing.assert_close(weight, expected[name])


def test_sam_takes_the_gradient_at_the_worst_point_nearby(tmp_path: Path) -> None:
    class Sharp(SharpnessAware, Trainer):
        rho = 0.3

    options: dict[str, Any] = {
        "optim": "sgd", "lr_scheduler_type": "constant", "max_steps": 1, "learning_rate": 0.1, "max_grad_norm": 0.0,
        "per_device_train_batch_size": 16,
    }  # fmt: skip
    whole = {name: torch.stack([row[name] for row in DATA.rows]) for name in ("input_ids", "labels")}
    model = tiny.make_model()
    start, here = weights(model), _gradient(model, whole)
    norm = sum(float((grad**2).sum()) for grad in here.values()) ** 0.5
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.add_(0.3 * here[name] / norm)
    worst = _gradient(model, whole)
    trained = train(tiny.make_model(), DATA, tmp_path, trainer=Sharp, **options)
    for name, weight in weights(trained).items():
        torch.testing.assert_close(weight, start[name] - 0.1 * worst[name], rtol=1e-4, atol=1e-6)


def test_sam_refuses_weights_that_cannot_show_its_steps(tmp_path: Path) -> None:
    class Sharp(SharpnessAware, Trainer):
        pass

    with pytest.raises(StageError, match="sam: the trained weights are bfloat16"):
        train(tiny.make_model().bfloat16(), DATA, tmp_path, trainer=Sharp)


def test_frozen_parts_stay_bit_for_bit_and_the_rest_moves(tmp_path: Path) -> None:
    model = tiny.make_model()
    before = weights(model)
    freeze(model, ["embed_tokens", "layers.0"])
    after = weights(train(model, DATA, tmp_path))
    held = {name for name in before if torch.equal(before[name], after[name])}
    assert held == {name for name in before if "embed_tokens" in name or "layers.0." in name}


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (["embd_tokens"], "the model has no part 'embd_tokens'; did you mean 'embed_tokens'"),
        (["layers.7"], r"the model has no part 'layers.7'; .*layers"),
        (["*"], "are all there is to train; name fewer"),
    ],
)
def test_what_cannot_be_frozen(parts: list[str], sentence: str) -> None:
    model = tiny.make_model()
    with pytest.raises(StageError, match=sentence):
        freeze(model, parts)
    assert all(weight.requires_grad for weight in model.parameters())


def test_osf_leaves_the_largest_directions_alone(tmp_path: Path) -> None:
    model = tiny.make_model()
    name = "model.layers.0.self_attn.q_proj.weight"
    before = weights(model)[name]
    wrapped = train(orthogonal(model, 0.5), DATA, tmp_path)
    after = weights(wrapped.merge_and_unload())[name]
    left, sizes, right = torch.linalg.svd(before)
    kept = left[:, :16].T @ after @ right[:16].T
    torch.testing.assert_close(kept, torch.diag(sizes[:16]), atol=2e-3, rtol=0)
    assert distance({"w": before}, {"w": after}) > 0.05


def test_rehearsal_swaps_rows_and_adds_no_step(tmp_path: Path) -> None:
    read: list[int] = []

    class Rehearsing(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:  # noqa: ARG002 - the name is the Trainer's
            return RehearsalSampler(16, 4, seed=1)

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
            old = {tuple(row["input_ids"].tolist()) for row in Texts(4, "ball").rows}
            read.append(sum(tuple(row.tolist()) in old for row in inputs["input_ids"]))
            loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
            return loss

    data: ConcatDataset[Any] = ConcatDataset([DATA, Texts(4, "ball")])
    train(tiny.make_model(), data, tmp_path, trainer=Rehearsing)
    # Two passes of 16 rows in batches of 4: 8 steps, as without; one old row in every batch.
    assert read == [1] * 8


def test_more_rows_than_there_are_cannot_be_swapped() -> None:
    with pytest.raises(ValueError, match="expected 0 to 4, as many as there are rows to swap, got 5"):
        RehearsalSampler(4, 5)


def _gradient(model: Any, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model.train()
    model(**batch).loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}
