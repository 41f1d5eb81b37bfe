"""Memory that runs out while a stage trains: it begins again with less at once, as if nothing had happened before."""

import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.errors import StageError
from chaintune.models import LoadedModel, load
from chaintune.records import Recipe, Regulariser
from chaintune.tuning.memory import smaller_micro_batch
from chaintune.tuning.tune import Tuned, tune
from tests import tiny
from tests.conftest import MakeModel
from tests.reference import random_states

NO_MEMORY = {
    "a GPU's": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    "a CPU's": RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    "Python's": MemoryError(),
}
RECIPE = Recipe(learning_rate=5e-3, batch_size=8, micro_batch_size=8, share_prefixes=False)
RECIPES = {
    "full": RECIPE,
    "lora": replace(RECIPE, method="lora", lora_rank=4, lora_dropout=0.3),
    "sam": replace(RECIPE, regulariser=Regulariser("sam", (("rho", 0.05),))),
    "osf": replace(RECIPE, regulariser=Regulariser("osf", (("rank", 0.5),))),
}
EXAMPLES = tiny.examples(12)  # a second step of half the size


class Small:
    """A machine whose memory suffices for so many tokens, or rows, at once, and that says so late or soon."""

    def __init__(self, folder: Path, most: int, error: Exception, *, passes: int = 0, of: str = "rows") -> None:
        self.folder, self.most, self.error, self.passes, self.of = folder, most, error, passes, of
        self.loads = 0
        self.failed: list[int] = []
        self.alive: weakref.ref[Any] | None = None

    def load(self) -> LoadedModel:
        assert self.alive is None or self.alive() is None, "two models in memory"
        self.loads += 1
        loaded = load(self.folder, precision="fp32")
        layer = next(module for name, module in loaded.model.named_modules() if name.endswith(".1"))
        layer.register_forward_pre_hook(self._limited, with_kwargs=True)
        self.alive = weakref.ref(loaded.model)
        return loaded

    def _limited(self, _module: Any, arguments: tuple[Any, ...], _: Any) -> None:
        rows, tokens = arguments[0].shape[:2]
        asked = rows if self.of == "rows" else rows * tokens
        self.passes -= 1
        if asked > self.most and self.passes < 0:
            self.failed.append(asked)
            raise type(self.error)(*self.error.args)  # a fresh one, as an error holds the frames that it passed


def run(parent: LoadedModel, folder: Path, recipe: Recipe, reload: Callable[[], LoadedModel] | None = None) -> Tuned:
    log = folder / "steps.jsonl"
    return tune(parent, EXAMPLES, task="balls", recipe=recipe, seed=3, log=log, reload=reload)


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in loaded.model.state_dict().items()}


def same_bits(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


@pytest.mark.parametrize("name", RECIPES)
def test_the_stage_ends_as_if_it_had_begun_with_less(name: str, model_folder: MakeModel, tmp_path: Path) -> None:
    """Memory runs out in the middle, when the weights have changed; in `sam` between the two passes of a step."""
    usual = run(load(model_folder(), precision="fp32"), tmp_path, replace(RECIPES[name], micro_batch_size=2))
    lines = [json.loads(line)["loss"] for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    machine = Small(model_folder(), 2, NO_MEMORY["a GPU's"], passes=1)
    parent = machine.load()
    got = run(parent, tmp_path, RECIPES[name], machine.load)
    assert machine.loads == 3
    assert same_bits(weights(got.loaded), weights(usual.loaded))
    assert [json.loads(line)["loss"] for line in (tmp_path / "steps.jsonl").read_text().splitlines()] == lines
    assert (got.steps, got.train_tokens, got.first_loss, got.final_loss, got.micro_batch_size) == (
        2, usual.train_tokens, usual.first_loss, usual.final_loss, 2,
    )  # fmt: skip
    assert parent.model is not None
    assert not got.loaded.model.training


@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=NO_MEMORY)
def test_every_way_to_say_so_is_understood(
    error: Exception, model_folder: MakeModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine, states = Small(model_folder(), 4, error), random_states()
    done = run(machine.load(), tmp_path, RECIPE, machine.load)
    assert (done.micro_batch_size, machine.failed) == (4, [8])
    assert [record.message for record in caplog.records if record.name.startswith("chaintune")] == [
        "task 'balls': out of memory at micro-batch 8; retrying the stage with 4 (batch size unchanged)"
    ]
    assert random_states() == states


@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=NO_MEMORY)
def test_memory_for_not_even_the_probe_is_one_sentence(
    error: Exception, model_folder: MakeModel, tmp_path: Path
) -> None:
    machine = Small(model_folder(), 5, error, of="tokens")
    with pytest.raises(StageError, match=r"task 'balls': out of memory at micro-batch 1; use grad"):
        run(machine.load(), tmp_path, replace(RECIPE, share_prefixes=True), machine.load)
    assert machine.loads == 1


def test_trees_become_smaller_too(model_folder: MakeModel, tmp_path: Path) -> None:
    recipe = replace(RECIPE, share_prefixes=True)
    machine = Small(model_folder(), 60, NO_MEMORY["a GPU's"], of="tokens")
    got = run(machine.load(), tmp_path, recipe, machine.load)
    assert 1 < got.micro_batch_size < 8
    less = replace(recipe, micro_batch_size=got.micro_batch_size)
    usual = run(load(model_folder(), precision="fp32"), tmp_path, less)
    assert same_bits(weights(got.loaded), weights(usual.loaded))


@pytest.mark.parametrize("share", [False, True])
def test_long_examples_are_read_fewer_at_once_on_a_cpu(
    share: bool, model_folder: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the system kills a process whose memory is short, and nothing is retried."""
    recipe = replace(RECIPE, micro_batch_size=0, share_prefixes=share)

    def tuned(recipe: Recipe) -> Tuned:
        return run(load(model_folder(), precision="fp32"), tmp_path, recipe)

    usual = tuned(recipe)
    assert usual.micro_batch_size == (8 if share else 4)
    monkeypatch.setattr("chaintune.tuning.tune._CPU_TOKENS", round(2.5 * usual.train_tokens / len(EXAMPLES)))
    assert tuned(recipe).micro_batch_size == 2
    assert tuned(replace(recipe, micro_batch_size=8)).micro_batch_size == 8, "what the recipe says is done"


def test_a_micro_batch_always_divides_its_step(model_folder: MakeModel, tmp_path: Path) -> None:
    recipe = replace(RECIPE, batch_size=9, micro_batch_size=9)
    machine = Small(model_folder(), 2, NO_MEMORY["a GPU's"])
    assert run(machine.load(), tmp_path, recipe, machine.load).micro_batch_size == 1
    assert machine.failed == [9, 3]


def test_nothing_runs_out_nothing_is_read_again(model_folder: MakeModel, tmp_path: Path) -> None:
    machine = Small(model_folder(), 8, NO_MEMORY["a GPU's"])
    assert run(machine.load(), tmp_path, RECIPE, machine.load).micro_batch_size == 8
    assert machine.loads == 1


def test_memory_for_not_even_one_is_told_with_what_helps(model_folder: MakeModel, tmp_path: Path) -> None:
    machine = Small(model_folder(), 0, NO_MEMORY["a GPU's"])
    with pytest.raises(StageError, match=r"task 'balls': out of memory at micro-batch 1; use grad"):
        run(machine.load(), tmp_path, RECIPE, machine.load)
    assert machine.failed == [8, 4, 2, 1]


@pytest.mark.parametrize(
    ("recipe", "advice"),
    [
        (RECIPE, "gradient_checkpointing: true, method: lora, precision bf16"),
        (replace(RECIPE, method="lora"), "gradient_checkpointing: true, quantize: 4bit, precision bf16"),
        (replace(RECIPE, method="lora", gradient_checkpointing=True, quantize="4bit"), "precision bf16, a smaller"),
    ],
)
def test_only_what_was_not_tried_is_advised(recipe: Recipe, advice: str) -> None:
    with pytest.raises(StageError, match=f"at micro-batch 1; use {advice}"):
        smaller_micro_batch(recipe, 1, task="balls", can_retry=True)


def test_weights_that_nobody_can_read_again_are_not_trained_on(model_folder: MakeModel, tmp_path: Path) -> None:
    machine = Small(model_folder(), 2, NO_MEMORY["a GPU's"], passes=1)
    with pytest.raises(StageError, match="micro-batch 8; load the model again, with micro_batch_size 4"):
        run(machine.load(), tmp_path, RECIPE)


def test_other_errors_are_left_alone(model_folder: MakeModel, tmp_path: Path) -> None:
    machine = Small(model_folder(), 2, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        run(machine.load(), tmp_path, RECIPE, machine.load)
    assert machine.loads == 1
