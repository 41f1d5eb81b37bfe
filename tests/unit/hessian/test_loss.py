"""The loss and its derivatives beside the plain ones, in bounded memory."""

from typing import Any

import numpy as np
import pytest
import torch

from chaintune.hessian.examples import micro_batches
from chaintune.hessian.loss import StageLoss
from chaintune.models.loading import LoadedModel
from chaintune.models.taught import encode_taught
from chaintune.tuning.objectives.sft import OBJECTIVE
from chaintune.tuning.tokenized import TrainingExample, longest_tokens, training_examples
from tests.unit.hessian.conftest import EXAMPLES, Dense, small_model


def taught(loaded: LoadedModel) -> list[TrainingExample]:
    return training_examples(encode_taught(loaded.tokenizer, EXAMPLES))


def answer_loss(loaded: LoadedModel, tokens: int | None = None) -> StageLoss:
    loaded.model.set_attn_implementation("eager")
    weights = list(loaded.model.parameters())
    return StageLoss(loaded.model, taught(loaded), weights, objective=OBJECTIVE, micro_batch_tokens=tokens)


@pytest.mark.parametrize("tokens", [1, 40, 100_000])
def test_value_gradient_and_product_however_it_is_cut(tokens: int, dense_llama: Dense) -> None:
    loss = answer_loss(small_model(), tokens)
    value, gradient = loss.value_and_gradient()
    assert value == pytest.approx(dense_llama.loss, rel=1e-5)
    assert loss.value() == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(gradient, dense_llama.gradient, atol=1e-4 * np.abs(dense_llama.gradient).max())
    vector = np.random.default_rng(0).normal(size=loss.dimension)
    exact = dense_llama.hessian @ vector
    found = loss.hessian_product(vector.astype(np.float32))
    np.testing.assert_allclose(found, exact, atol=1e-4 * np.abs(exact).max())


def test_micro_batches_hold_every_lesson_once_within_the_bound() -> None:
    every = taught(small_model())
    for tokens in (1, 40, 100_000):
        parts = micro_batches(every, tokens=tokens)
        assert sorted(one.sequences for part in parts for one in part) == sorted(one.sequences for one in every)
        for part in parts:
            assert len(part) == 1 or max(map(longest_tokens, part)) * len(part) <= tokens
    assert len(micro_batches(every, tokens=40)) > 2


def test_every_sequence_of_a_lesson_counts_against_the_bound() -> None:
    two = TrainingExample.of([((1, 2, 3), (4,)), ((5, 6, 7), (8,))])
    assert [len(part) for part in micro_batches([two] * 5, tokens=16)] == [2, 2, 1]


def test_logits_are_computed_at_answer_positions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = answer_loss(small_model())
    rows: list[int] = []
    real = torch.nn.functional.cross_entropy

    def watched(logits: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        rows.append(len(logits))
        return real(logits, *arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", watched)
    loss.hessian_product(np.ones(loss.dimension, dtype=np.float32))
    assert sum(rows) == loss.items == sum(lesson.answer_tokens for lesson in taught(small_model()))
