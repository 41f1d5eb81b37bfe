"""Every field of a recipe does something to a stage: other weights, or another way to them."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from chaintune.errors import StageError
from chaintune.models import Precision, load
from chaintune.records import PeftSettings, Recipe, Regulariser
from chaintune.tuning.tune import tune
from tests import tiny
from tests.conftest import Install, MakeModel
from tests.howto_packages import CONTRAST

USUAL = Recipe(
    learning_rate=1e-3, epochs=2, batch_size=8, micro_batch_size=4, warmup_fraction=0.0, share_prefixes=False
)
LORA = replace(USUAL, method="lora", lora_rank=4, lora_dropout=0.1)
IA3 = PeftSettings.of({"peft_type": "IA3"})
# Each beside the recipe in which it counts, and the precision.
CHANGES: dict[str, tuple[Recipe, Any, Precision]] = {
    "objective": (USUAL, "contrast", "fp32"),
    "turns": (USUAL, "last", "fp32"),
    "teach": (replace(USUAL, teach="chosen"), "rejected", "fp32"),
    "beta": (USUAL, 1.0, "fp32"),
    "label_smoothing": (USUAL, 0.3, "fp32"),
    "loss": (USUAL, "ipo", "fp32"),
    "method": (USUAL, "lora", "fp32"),
    "learning_rate": (USUAL, 1e-2, "fp32"),
    "epochs": (USUAL, 3, "fp32"),
    "batch_size": (USUAL, 4, "fp32"),
    "micro_batch_size": (USUAL, 2, "fp32"),
    "warmup_fraction": (USUAL, 0.9, "fp32"),
    "schedule": (USUAL, "constant", "fp32"),
    "weight_decay": (USUAL, 0.5, "fp32"),
    "max_grad_norm": (USUAL, 1e-3, "fp32"),
    "lora_rank": (LORA, 8, "fp32"),
    "lora_alpha": (LORA, 8.0, "fp32"),
    "lora_dropout": (LORA, 0.5, "fp32"),
    "lora_targets": (LORA, ("q_proj",), "fp32"),
    "peft": (replace(USUAL, method="peft", peft=IA3), PeftSettings.of({"peft_type": "VERA", "r": 4}), "fp32"),
    "gradient_checkpointing": (USUAL, True, "fp32"),
    "share_prefixes": (USUAL, True, "fp32"),
    "keep_together": (USUAL, True, "fp32"),
    "fp32_masters": (USUAL, False, "bf16"),
    "regulariser": (USUAL, Regulariser("l2sp", (("strength", 1.0),)), "fp32"),
}
# What is taught where it is not a right choice.
TAUGHT = {"turns": tiny.talks(16)} | dict.fromkeys(("teach", "beta", "label_smoothing", "loss"), tiny.pairs(16))
# How weights are held is up to who loads them, how many processes there are to who starts them, and a bare model has no
# adapter of which anything could become: tests/unit/tuning/test_peft.py.
ELSEWHERE = {"quantize", "devices", "adapter"}


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """What each Trainer is told, but for its folder."""
    told: list[Mapping[str, Any]] = []

    def noted(**options: Any) -> Any:
        told.append({name: value for name, value in options.items() if name != "output_dir"})
        return TrainingArguments(**options | {"report_to": "none"})

    monkeypatch.setattr("chaintune.tuning.tune.TrainingArguments", noted)
    return told


def test_no_field_is_left_out() -> None:
    assert {field.name for field in fields(Recipe)} == CHANGES.keys() | ELSEWHERE


@pytest.mark.parametrize("name", CHANGES)
def test_a_field_changes_the_stage(
    name: str,
    arguments: list[Mapping[str, Any]],
    model_folder: MakeModel,
    tmp_path: Path,
    install: Install,
) -> None:
    install(*CONTRAST)
    recipe, other, precision = CHANGES[name]

    def trained(recipe: Recipe) -> str:
        parent = load(model_folder(), precision=precision)
        parent.tokenizer.chat_template = tiny.CHAT
        log, examples = tmp_path / "log", TAUGHT.get(name, tiny.examples(16))
        done = tune(parent, examples, task="balls", recipe=recipe, seed=1, log=log).loaded
        weights = sorted((name, weight.float().numpy().tobytes()) for name, weight in done.model.state_dict().items())
        return hashlib.sha256(repr(weights).encode()).hexdigest()

    digests = [trained(recipe), trained(replace(recipe, **{name: other}))]
    if name in ("gradient_checkpointing", "micro_batch_size"):  # for these it is rounding whether a bit changes
        assert arguments[0] != arguments[1]
    else:
        assert digests[0] != digests[1]


def test_weights_that_are_not_held_as_the_recipe_says_are_refused(model_folder: MakeModel, tmp_path: Path) -> None:
    parent = load(model_folder(), precision="fp32")
    with pytest.raises(StageError, match="the recipe says quantize '4bit', and the weights are held in fp32"):
        tune(parent, tiny.examples(8), task="balls", recipe=replace(LORA, quantize="4bit"), seed=1, log=tmp_path / "l")


def test_trackers_are_told_to_the_trainer(
    arguments: list[Mapping[str, Any]], model_folder: MakeModel, tmp_path: Path
) -> None:
    parent = load(model_folder(), precision="fp32")
    log = tmp_path / "log"
    tune(parent, tiny.examples(8), task="balls", recipe=USUAL, seed=1, log=log, report_to=["wandb"])
    assert arguments[0]["report_to"] == ["wandb"]
