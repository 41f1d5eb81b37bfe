"""Divergence of two models on the answers of examples."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from chaintune.models import LoadedModel
from chaintune.models.taught import encode_taught
from chaintune.records import Example, Message, Reference
from chaintune.scoring.divergence import divergence
from tests import tiny
from tests.unit.models.test_chat import CHATML


def model(seed: int, kind: str = "llama") -> LoadedModel:
    tokenizer = tiny.make_tokenizer()
    tokenizer.chat_template = CHATML
    return LoadedModel(tiny.make_model(kind, seed=seed).eval(), tokenizer, "fp32")


def conversation(number: int) -> Example:
    turns = (Message("user", f"Colour {number}?"), Message("assistant", "Red."), Message("user", "Sure?"))
    return Example(f"c{number}", turns, Reference("Yes, it is red."), {}, str(number))


EXAMPLES = [*tiny.examples(6), *(conversation(number) for number in range(3))]


def by_hand(parent: LoadedModel, child: LoadedModel, example: Example) -> tuple[float, float, int]:
    """The same sums, from whole rows of logits one after another."""
    forward = backward = 0.0
    tokens = 0
    for turn in encode_taught(child.tokenizer, [example])[0]:
        text = turn.prefix + turn.continuations[0]
        with torch.no_grad():
            p, q = (
                torch.log_softmax(one.model(torch.tensor([text])).logits[0].double(), -1)[len(turn.prefix) - 1 : -1]
                for one in (parent, child)
            )
        forward += float((p.exp() * (p - q)).sum())
        backward += float((q.exp() * (q - p)).sum())
        tokens += len(turn.continuations[0])
    return forward, backward, tokens


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "bloom"])
def test_it_is_the_divergence_of_whole_rows_of_logits(kind: str) -> None:
    parent, child = model(0, kind), model(1, kind)
    rows = divergence(parent, child, EXAMPLES, task="t").table.to_pylist()
    assert [row["example_id"] for row in rows] == sorted(example.id for example in EXAMPLES)
    for row in rows:
        (example,) = (one for one in EXAMPLES if one.id == row["example_id"])
        forward, backward, tokens = by_hand(parent, child, example)
        assert (row["forward"], row["backward"]) == pytest.approx((forward, backward), rel=1e-4)
        assert row["tokens"] == tokens
        assert row["forward"] != row["backward"]


def test_a_model_is_no_way_from_itself_and_the_order_of_examples_says_nothing() -> None:
    one, other = model(0), model(1)
    own = divergence(one, one, EXAMPLES, task="t").table
    assert set(own.column("forward").to_pylist()) == {0.0}
    table = divergence(one, other, EXAMPLES, task="t").table
    assert table == divergence(one, other, EXAMPLES[::-1], task="t").table


def without(token: int, seed: int, kind: str) -> LoadedModel:
    """A model that never writes a token."""
    loaded = model(seed, kind)

    def mask(_module: Any, _inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        masked = logits.clone()
        masked[..., token] = -torch.inf
        return masked

    loaded.model.get_output_embeddings().register_forward_hook(mask)
    return loaded


@pytest.mark.parametrize("kind", ["llama", "bloom"])
def test_a_token_that_both_rule_out_says_nothing_and_one_that_the_second_does_is_infinite(kind: str) -> None:
    unused = 339  # of the vocabulary's end, as paddings of it are
    both = divergence(without(unused, 0, kind), without(unused, 1, kind), EXAMPLES, task="t").table.to_pylist()
    assert all(0 < row[way] < math.inf for row in both for way in ("forward", "backward"))
    one = divergence(model(0, kind), without(unused, 1, kind), EXAMPLES, task="t").table.to_pylist()
    assert all(row["forward"] == math.inf and 0 < row["backward"] < math.inf for row in one)
    other = divergence(without(unused, 0, kind), model(1, kind), EXAMPLES, task="t").table.to_pylist()
    assert all(row["backward"] == math.inf and 0 < row["forward"] < math.inf for row in other)


def test_progress_ends_with_all_examples() -> None:
    seen: list[int] = []
    divergence(model(0), model(1), EXAMPLES, task="t", on_scored=seen.append)
    assert seen[-1] == len(EXAMPLES)
    assert seen == sorted(seen)


def test_templates_of_the_child_render_what_both_read() -> None:
    parent, child = model(0), model(1)
    bare = tiny.make_tokenizer()
    same = divergence(replace(parent, tokenizer=bare), child, EXAMPLES, task="t")
    assert same.table == divergence(parent, child, EXAMPLES, task="t").table
