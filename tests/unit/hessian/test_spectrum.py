"""Curvature beside dense eigensolvers, power iteration and what must hold of it."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig

from chaintune.errors import ConfigError, DataError, ModelError
from chaintune.hessian import Search, choose_examples, curvature
from chaintune.models import merge_adapter
from chaintune.models.adapters import new_adapter
from chaintune.records import Curvature, Preference, Recipe
from tests import tiny
from tests.reference import reference_loss
from tests.unit.hessian.conftest import EXAMPLES, Dense, adapted_model, dense, small_model, texts

FEW: dict[str, Any] = {"task": "balls", "batches": 0}
SHORT = Search(basis=3, max_products=3, tolerance=1e-6)


def test_agrees_with_a_dense_eigensolver(dense_llama: Dense) -> None:
    found = curvature(small_model(), EXAMPLES, **FEW)
    bottom, top = dense_llama.ends
    radius = max(top, -bottom)
    assert bottom < -0.02 * radius, "the test needs a Hessian that is not positive"
    assert found.radius == pytest.approx(radius, rel=0.01)
    assert (found.bottom, found.top) == pytest.approx((bottom, top), abs=0.01 * radius)
    assert found.loss == pytest.approx(dense_llama.loss, rel=1e-5)
    assert found.gradient_norm == pytest.approx(np.linalg.norm(dense_llama.gradient), rel=1e-4)
    assert found.parameters == len(dense_llama.gradient)
    assert max(found.top_residual, found.bottom_residual) < 0.02
    assert found.reason == ""


def test_agrees_with_a_power_iteration(dense_llama: Dense) -> None:
    loaded = small_model()
    found = curvature(loaded, EXAMPLES, **FEW)
    model = loaded.model.double()
    model.set_attn_implementation("eager")
    weights = [weight.requires_grad_() for weight in model.parameters()]
    slopes = torch.autograd.grad(reference_loss(model, texts(loaded, EXAMPLES)), weights, create_graph=True)
    vector = [torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)).double() for weight in weights]
    length = 0.0
    for _ in range(60):
        vector = list(torch.autograd.grad(slopes, weights, vector, retain_graph=True))
        length = math.sqrt(sum(float((part**2).sum()) for part in vector))
        vector = [part / length for part in vector]
    assert length == pytest.approx(max(map(abs, dense_llama.ends)), rel=0.01)
    assert found.radius == pytest.approx(length, rel=0.01)


def test_of_a_pair_the_answer_that_is_taught_counts() -> None:
    pairs = [
        replace(one, target=Preference(one.choices.texts[one.choices.gold], one.choices.texts[not one.choices.gold]))
        for one in EXAMPLES
    ]
    right = curvature(small_model(), EXAMPLES, **FEW)
    chosen = curvature(small_model(), pairs, **FEW, loss=Recipe(objective="sft", teach="chosen"))
    rejected = curvature(small_model(), pairs, **FEW, loss=Recipe(objective="sft", teach="rejected"))
    assert (chosen.loss, chosen.radius) == (right.loss, right.radius)
    assert rejected.loss != right.loss


def test_a_tight_tolerance_gives_more_digits(dense_llama: Dense) -> None:
    found = curvature(small_model(), EXAMPLES, **FEW, search=Search(tolerance=1e-5, basis=20))
    assert (found.bottom, found.top) == pytest.approx(dense_llama.ends, rel=1e-4)
    assert max(found.top_residual, found.bottom_residual) < 1e-4


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_of_the_adapter_alone(architecture: str) -> None:
    loaded = adapted_model(architecture)
    found = curvature(loaded, EXAMPLES, **FEW, space="lora")
    exact = dense(loaded, only="lora_")
    radius = max(map(abs, exact.ends))
    assert found.parameters == len(exact.gradient)
    assert found.radius == pytest.approx(radius, rel=0.01)
    assert (found.bottom, found.top) == pytest.approx(exact.ends, abs=0.01 * radius)


def test_the_full_space_of_an_adapted_model_is_that_of_the_merged_one() -> None:
    adapted, plain = (
        curvature(one, EXAMPLES, **FEW, search=Search(tolerance=1e-4))
        for one in (adapted_model(), merge_adapter(adapted_model()))
    )
    assert adapted.parameters == plain.parameters
    assert (adapted.loss, adapted.top, adapted.bottom) == pytest.approx((plain.loss, plain.top, plain.bottom), rel=1e-3)
    assert adapted.radius != pytest.approx(curvature(small_model(), EXAMPLES, **FEW).radius, rel=0.01)


def test_an_adapter_that_does_more_than_add_is_refused_in_full_space() -> None:
    loaded = small_model()
    loaded.model = new_adapter(
        loaded.model, LoraConfig(task_type="CAUSAL_LM", r=2, use_dora=True, target_modules="all-linear")
    )
    with pytest.raises(ModelError, match="does not merely add to the weights; merge it first"):
        curvature(loaded, EXAMPLES, **FEW)


def test_parts_are_measured_apart_and_bend_more_than_the_whole() -> None:
    loaded = small_model()
    found = curvature(loaded, EXAMPLES, task="balls", batches=3, search=Search(tolerance=1e-4))
    chosen = choose_examples(EXAMPLES, None, task="balls")
    alone = [curvature(loaded, chosen[part::3], **FEW, search=Search(tolerance=1e-4)) for part in range(3)]
    assert found.batch_radii == pytest.approx([one.radius for one in alone], rel=1e-3)
    assert sum(one.answer_tokens for one in alone) == found.answer_tokens
    weighted = sum(one.radius * one.answer_tokens for one in alone) / found.answer_tokens
    assert found.radius < weighted
    assert found.batch_mean == pytest.approx(np.mean(found.batch_radii))
    assert found.batch_sd == pytest.approx(np.std(found.batch_radii, ddof=1))
    assert math.isnan(replace(found, batch_radii=(1.0,)).batch_sd)


def test_the_same_call_gives_the_same_numbers_in_any_order() -> None:
    one = curvature(small_model(), EXAMPLES, task="balls", batches=2)
    again = curvature(small_model(), EXAMPLES[::-1], task="balls", batches=2)
    assert replace(one, seconds=0) == replace(again, seconds=0)
    other = curvature(small_model(), EXAMPLES, task="balls", batches=2, search=Search(seed=1))
    assert other.batch_radii != one.batch_radii
    assert other.radius == pytest.approx(one.radius, rel=0.01)


def test_what_does_not_converge_is_undefined_and_says_so() -> None:
    found = curvature(small_model(), EXAMPLES, task="balls", batches=2, search=SHORT)
    assert math.isnan(found.radius)
    assert math.isnan(found.top)
    assert math.isnan(found.bottom)
    assert "converged within 3 products" in found.reason
    assert all(map(math.isnan, found.batch_radii))
    assert found.to_dict()["radius"] is None


def test_products_are_counted_and_told() -> None:
    told: list[int] = []
    found = curvature(small_model(), EXAMPLES, task="balls", batches=2, on_product=told.append)
    assert told == list(range(1, found.products + 1))
    assert (found.n, found.n_clusters) == (6, 3)


def test_the_record_survives_json() -> None:
    found = curvature(small_model(), EXAMPLES, task="balls", batches=2, provenance={"checkpoint": "k"})
    assert Curvature.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    row = found.to_polars().to_dicts()[0]
    assert row["radius"] == found.radius
    assert row["batch_radii"] == list(found.batch_radii)
    missing = curvature(small_model(), EXAMPLES, **FEW, search=SHORT)
    again = Curvature.from_dict(json.loads(json.dumps(missing.to_dict())))
    assert math.isnan(again.radius)
    assert again.reason == missing.reason


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"space": "lroa"}, "did you mean 'lora'"),
        ({"batches": 7}, "at most one for each of the 6 examples"),
        ({"batches": -1}, "expected 0 for none"),
        ({"search": Search(tolerance=0.0)}, "a fraction of the radius"),
        ({"search": Search(basis=2)}, "at least 3 vectors"),
        ({"search": Search(max_products=5)}, "at least the basis, 6"),
    ],
)
def test_arguments_out_of_range(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        curvature(small_model(), EXAMPLES, **{"task": "balls", **wrong})


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ModelError, match=r"has no adapter; name one as MODEL\+ADAPTER"):
        curvature(small_model(), EXAMPLES, task="balls", space="lora")
    with pytest.raises(DataError, match="task 'balls': there are no examples to choose from"):
        curvature(small_model(), [], **FEW)
    long = replace(EXAMPLES[0], prompt="Ann " * 3000)
    with pytest.raises(DataError, match=f"'{long.id}'"):
        curvature(small_model(), [*EXAMPLES[1:], long], **FEW)
    broken = small_model()
    with torch.no_grad():
        next(broken.model.parameters()).fill_(math.nan)
    with pytest.raises(ModelError, match="the loss is nan"):
        curvature(broken, EXAMPLES, **FEW)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=["a GPU's", "a CPU's", "Python's"],
)
@pytest.mark.parametrize("where", ["lanczos.eigsh", "loss.StageLoss.value_and_gradient", "double_backward._in_fp32"])
def test_too_little_memory_is_one_sentence(where: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(f"chaintune.hessian.{where}", greedy)
    model = small_model()
    with pytest.raises(ModelError, match=r"Lanczos holds 14 vectors of .* take a smaller basis, or space 'lora'"):
        curvature(model, EXAMPLES, **FEW)
    assert model.model.config._attn_implementation != "eager"


def test_an_error_that_is_not_about_memory_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no second derivative")

    monkeypatch.setattr("chaintune.hessian.lanczos.eigsh", broken)
    with pytest.raises(RuntimeError, match="no second derivative"):
        curvature(small_model(), EXAMPLES, **FEW)


def test_a_choice_of_examples_is_fixed_and_nested() -> None:
    pool = tiny.examples(40)
    ten = choose_examples(pool, 10, task="balls", seed=3)
    assert choose_examples(pool[::-1], 10, task="balls", seed=3) == ten
    assert choose_examples(pool, 20, task="balls", seed=3)[:10] == ten
    assert choose_examples(pool, 10, task="balls", seed=4) != ten
    with pytest.raises(DataError, match="task 'balls': expected 1 to 40 examples, got 41"):
        choose_examples(pool, 41, task="balls")
    with pytest.raises(DataError, match="expected 1 to 40 examples, got 0"):
        choose_examples(pool, 0, task="balls")
