"""One stage: what it learns, what it depends on, and what it refuses."""

import json
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from chaintune.errors import DataError, StageError
from chaintune.models import LoadedModel, Precision, load, save
from chaintune.models.taught import encode_taught
from chaintune.records import Choices, Example, Recipe, Regulariser
from chaintune.tuning.answer_loss import answer_loss
from chaintune.tuning.mitigations.distill import divergence
from chaintune.tuning.optimizer import Step
from chaintune.tuning.order import training_order
from chaintune.tuning.tokenized import collate, training_examples
from chaintune.tuning.tune import Tuned, tune
from tests import tiny
from tests.conftest import MakeModel
from tests.reference import random_states, reference_loss

# What lessons share is the matter of test_shared_prefixes.py.
RECIPE = Recipe(learning_rate=5e-3, epochs=2, batch_size=8, micro_batch_size=4, share_prefixes=False)
EXAMPLES = tiny.examples(24)


@pytest.fixture
def parent(model_folder: MakeModel) -> LoadedModel:
    return load(model_folder(), precision="fp32")


def run(parent: LoadedModel, folder: Path, *, examples: Any = EXAMPLES, seed: int = 0, **changes: Any) -> Tuned:
    recipe = replace(RECIPE, **changes)
    return tune(parent, examples, task="balls", recipe=recipe, seed=seed, log=folder / "steps.jsonl")


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in loaded.model.state_dict().items()}


def same_bits(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_it_learns(architecture: str, model_folder: MakeModel, tmp_path: Path) -> None:
    parent = load(model_folder(architecture), precision="fp32")
    before = tiny.score(parent, EXAMPLES, task="balls").item_scores().mean()
    done = run(parent, tmp_path, epochs=6)
    assert done.final_loss < done.first_loss / 2
    assert tiny.score(done.loaded, EXAMPLES, task="balls").item_scores().mean() > max(before, 0.8)
    assert not done.loaded.model.training


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])  # GPT-2 has dropout
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_inputs_give_the_same_bits(
    architecture: str, precision: Precision, model_folder: MakeModel, tmp_path: Path
) -> None:
    found = []
    for examples in (EXAMPLES, EXAMPLES, random.Random(0).sample(EXAMPLES, 24)):  # noqa: S311 - test data
        torch.rand(7)  # what the process drew before must not matter
        found.append(
            weights(run(load(model_folder(architecture), precision=precision), tmp_path, examples=examples).loaded)
        )
    assert same_bits(found[0], found[1])
    assert same_bits(found[0], found[2])


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 4e-3}, {"epochs": 1}, {"examples": EXAMPLES[1:]}])
def test_other_inputs_give_other_bits(change: dict[str, Any], model_folder: MakeModel, tmp_path: Path) -> None:
    first, second = (
        weights(run(load(model_folder(), precision="fp32"), tmp_path, **changes).loaded) for changes in ({}, change)
    )
    assert not same_bits(first, second)


def texts(tokenizer: Any, examples: list[Example]) -> list[Any]:
    return training_examples(encode_taught(tokenizer, examples))


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_loss_and_gradient_are_those_of_all_logits_masked_to_the_answers(architecture: str) -> None:
    batch = texts(tiny.make_tokenizer(), EXAMPLES[:6])
    gradients = []
    for way in ("plain", "answers only"):
        model = tiny.make_model(architecture)
        if way == "plain":
            loss = reference_loss(model, [(lesson.sequences[0], lesson.answer_tokens) for lesson in batch])
        else:
            loss = answer_loss(model, collate(batch))
        loss.backward()
        gradients.append({"loss": loss.detach()} | {name: weight.grad for name, weight in model.named_parameters()})
    plain, ours = gradients
    assert plain.keys() == ours.keys()
    for name, value in plain.items():
        torch.testing.assert_close(ours[name], value, atol=2e-6, rtol=1e-4)


def test_the_stage_takes_the_steps_of_a_plain_loop(parent: LoadedModel, tmp_path: Path) -> None:
    """The same data in the same order through torch alone: accumulation, clipping, schedule and all."""
    recipe = replace(RECIPE, epochs=1.5, warmup_fraction=0.25, weight_decay=9.0, max_grad_norm=0.5)
    plain = tiny.make_model()
    taught = texts(parent.tokenizer, EXAMPLES)
    order = training_order([lesson.sequences[0] for lesson in taught], batch_size=8, epochs=1.5, seed=0)
    steps = [[taught[index] for index in order[start : start + 8]] for start in range(0, len(order), 8)]
    decayed = [weight for weight in plain.parameters() if weight.dim() > 1]
    kept = [weight for weight in plain.parameters() if weight.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 9.0}, {"params": kept, "weight_decay": 0.0}])
    expected = []
    for step, batch in enumerate(steps):
        rate = 5e-3 * (step if step < 1 else (len(steps) - step) / (len(steps) - 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = reference_loss(plain, [(lesson.sequences[0], lesson.answer_tokens) for lesson in batch])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
        expected.append((loss.item(), norm.item(), rate))
    told: list[Step] = []
    tune(parent, EXAMPLES, task="balls", recipe=recipe, seed=0, log=tmp_path / "log", on_step=told.append)
    assert [(step.loss, step.gradient_norm, step.learning_rate) for step in told] == [
        pytest.approx(values, rel=2e-3, abs=1e-9) for values in expected
    ]


@pytest.mark.parametrize("micro", [1, 3, 8])
def test_micro_batches_change_nothing_beyond_rounding(micro: int, model_folder: MakeModel, tmp_path: Path) -> None:
    losses = []
    for size in (4, micro):
        done = run(load(model_folder(), precision="fp32"), tmp_path, micro_batch_size=size, epochs=1.4)
        lines = (tmp_path / "steps.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
        assert done.steps == len(lines) == 5  # 34 examples in steps of 8, the last one short
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_gradient_checkpointing_changes_no_bit_and_ends_with_the_stage(
    method: str, model_folder: MakeModel, tmp_path: Path
) -> None:
    plain, checkpointed = (
        run(load(model_folder("gpt2"), precision="fp32"), tmp_path, gradient_checkpointing=wanted, method=method).loaded
        for wanted in (False, True)
    )
    assert same_bits(weights(plain), weights(checkpointed))
    assert not any(getattr(part, "gradient_checkpointing", False) for part in checkpointed.model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in checkpointed.model.modules())


def test_each_stage_has_a_fresh_optimizer_and_schedule(model_folder: MakeModel, tmp_path: Path) -> None:
    """A second stage that inherited moments, steps or random state would differ from one that starts from disk."""
    first = run(load(model_folder("gpt2"), precision="fp32"), tmp_path).loaded
    save(first, tmp_path / "first")
    other = tiny.examples(16, rule="box", task="boxes")
    held = run(first, tmp_path, examples=other, seed=1)
    fresh = run(load(tmp_path / "first", precision="fp32"), tmp_path, examples=other, seed=1)
    assert same_bits(weights(held.loaded), weights(fresh.loaded))


def test_bf16_follows_fp32(model_folder: MakeModel, tmp_path: Path) -> None:
    """At a rate whose single steps bf16 would round away, the sum of the steps arrives."""
    before = load(model_folder(), precision="bf16")
    exact, stored = (
        run(load(model_folder(), precision=precision), tmp_path, learning_rate=1e-4, epochs=8, warmup_fraction=0.0)
        for precision in ("fp32", "bf16")
    )
    start, moved, wanted = weights(before), weights(stored.loaded), weights(exact.loaded)
    name = "model.layers.0.mlp.up_proj.weight"
    assert moved[name].dtype == torch.bfloat16
    change, expected = (moved[name] - start[name]).float(), wanted[name] - start[name].float()
    assert torch.cosine_similarity(change.flatten(), expected.flatten(), dim=0) > 0.8
    assert stored.final_loss == pytest.approx(exact.final_loss, rel=0.05)


def test_the_log_has_one_line_a_step_and_the_caller_is_told(parent: LoadedModel, tmp_path: Path) -> None:
    told: list[Step] = []
    log = tmp_path / "steps.jsonl"
    done = tune(parent, EXAMPLES, task="balls", recipe=RECIPE, seed=0, log=log, on_step=told.append)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {line["steps"] for line in lines} == {6}
    assert [line["loss"] for line in lines] == [step.loss for step in told]
    taught = texts(parent.tokenizer, EXAMPLES)
    assert done.train_tokens == lines[-1]["tokens"] == 2 * sum(len(lesson.sequences[0]) for lesson in taught)
    assert done.steps == 6
    assert (done.first_loss, done.final_loss) == (told[0].loss, told[-1].loss)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0.0, 1.0, 0.8, 0.6, 0.4, 0.2]),
        ("constant", [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("cosine", [0.0, 1.0, 0.905, 0.655, 0.345, 0.095]),
    ],
)
def test_the_rate_follows_its_schedule(
    schedule: str, expected: list[float], parent: LoadedModel, tmp_path: Path
) -> None:
    run(parent, tmp_path, schedule=schedule, warmup_fraction=0.2)
    lines = (tmp_path / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["learning_rate"] / 5e-3 for line in lines] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("poisoned", [True, False])
def test_a_loss_that_is_no_number_names_the_step(poisoned: bool, parent: LoadedModel, tmp_path: Path) -> None:
    if poisoned:
        with torch.no_grad():
            parent.model.model.norm.weight[0] = float("nan")
        with pytest.raises(StageError, match="the loss became nan at step 1 of 6; a smaller learning_rate"):
            run(parent, tmp_path)
    else:
        with pytest.raises(StageError, match=r"the loss became (nan|inf) at step [23] of 6"):
            run(parent, tmp_path, learning_rate=1e20, warmup_fraction=0.0, max_grad_norm=0.0)
    assert not parent.model.training


@pytest.mark.parametrize("micro_batch", [3, 4])
def test_a_micro_batch_whose_loss_is_no_number_names_its_step(
    micro_batch: int, parent: LoadedModel, tmp_path: Path
) -> None:
    """Two micro-batches a step: the third is the first of the second step."""
    passes = iter(range(1, 99))

    def poison(_module: Any, _inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        return logits * float("inf") if next(passes) == micro_batch else logits

    parent.model.lm_head.register_forward_hook(poison)
    with pytest.raises(StageError, match=r"the loss became (nan|inf) at step 2 of 6; a smaller learning_rate"):
        run(parent, tmp_path)
    assert len((tmp_path / "steps.jsonl").read_text().splitlines()) == 1
    assert all(weight.isfinite().all() for weight in parent.model.parameters())


def test_losses_are_looked_at_once_a_step(parent: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def isfinite(losses: torch.Tensor) -> torch.Tensor:
        looked.append(losses.numel())
        return losses.abs() < torch.inf

    monkeypatch.setattr("chaintune.tuning.trainer.torch", SimpleNamespace(**vars(torch) | {"isfinite": isfinite}))
    assert run(parent, tmp_path).steps == 6
    assert looked == [2] * 6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_before_anything_moved_a_stage_is_where_its_parent_is(
    precision: Precision, model_folder: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart: list[float] = []

    def watched(*both: Any) -> torch.Tensor:
        found = divergence(*both)
        apart.append(float(found.detach().abs().max()))
        return found

    monkeypatch.setattr("chaintune.tuning.mitigations.distill.divergence", watched)
    pull = Regulariser("distill", (("batch", 8), ("rows", "new"), ("top_k", 8), ("weight", 1.0)))
    run(
        load(model_folder(), precision=precision), tmp_path, examples=EXAMPLES[:8], micro_batch_size=8, regulariser=pull
    )
    assert apart[0] == pytest.approx(0, abs=1e-6)
    assert apart[1] > 1e-5  # 8 rows at once, a step and a pass each


@pytest.mark.parametrize("regulariser", [None, Regulariser("osf", (("rank", 0.5),))])
def test_weights_that_break_in_the_last_step_are_found(
    regulariser: Regulariser | None, parent: LoadedModel, tmp_path: Path
) -> None:
    with pytest.raises(StageError, match=r"the weights became NaN or infinite at the last step, 1 \("):
        run(
            parent,
            tmp_path,
            examples=EXAMPLES[:4],
            epochs=1,
            learning_rate=1e39,
            warmup_fraction=0.0,
            regulariser=regulariser,
        )


def test_an_example_longer_than_the_context_is_refused_before_anything_changes(
    parent: LoadedModel, tmp_path: Path
) -> None:
    before = weights(parent)
    long = Example("long-one", "Ann " * 400, Choices((" red", " blue"), 0), {}, "c")
    with pytest.raises(DataError, match=r"task 'balls': 1 of 25 examples .* 256 tokens: 'long-one' \(\d+ tokens\)"):
        run(parent, tmp_path, examples=[*EXAMPLES, long])
    assert same_bits(before, weights(parent))


def test_a_stage_needs_an_example(parent: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="task 'balls': a stage needs at least one training example"):
        run(parent, tmp_path, examples=[])


def test_the_process_is_left_as_it_was_found(
    parent: LoadedModel, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    attention, use_cache = parent.model.config._attn_implementation, parent.model.config.use_cache
    states = random_states()
    run(parent, tmp_path / "logs")
    assert random_states() == states
    assert (parent.model.config._attn_implementation, parent.model.config.use_cache) == (attention, use_cache)
    assert [path.name for path in tmp_path.rglob("*")] == ["logs", "steps.jsonl"]
    assert capfd.readouterr().out == ""
