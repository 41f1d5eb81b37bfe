"""What of a stage DeepSpeed can have, and who says what of a step. DeepSpeed itself is not needed."""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainerControl, TrainerState

from chaintune.errors import ConfigError, StageError
from chaintune.records import Recipe, Regulariser
from chaintune.tuning.deepspeed import _EveryStep, _spread, check_can_deepspeed, follow_recipe

RECIPE = Recipe(devices=2)


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, method="lora", share_prefixes=True),
        replace(RECIPE, gradient_checkpointing=True),
        replace(RECIPE, regulariser=Regulariser("freeze", (("parts", ("norm",)),))),
    ],
)
def test_what_deepspeed_can_have_is_not_refused(recipe: Recipe) -> None:
    check_can_deepspeed(recipe, "bf16")
    check_can_deepspeed(replace(recipe, fp32_masters=False), "fp32")  # where there is nothing to copy


@pytest.mark.parametrize("kind", ["l2sp", "ewc", "ema", "sam", "osf"])
def test_regularisers_that_need_what_deepspeed_keeps_are_refused(kind: str) -> None:
    recipe = replace(RECIPE, regulariser=Regulariser(kind, ()))
    with pytest.raises(StageError, match=f"^{kind} needs gradients and weights .* take 'freeze'"):
        check_can_deepspeed(recipe, "fp32")


def test_bf16_without_copies_and_4_bits_are_refused() -> None:
    with pytest.raises(StageError, match="always steps fp32 copies"):
        check_can_deepspeed(replace(RECIPE, fp32_masters=False), "bf16")
    with pytest.raises(StageError, match="cannot spread weights in 4 bits"):
        check_can_deepspeed(replace(RECIPE, method="lora", quantize="4bit"), "bf16")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_recipe_says_how_a_step_is_made(precision: Any) -> None:
    config: dict[str, Any] = {
        "zero_optimization": {"stage": 2},
        "gradient_accumulation_steps": 8,
        "gradient_clipping": 9.0,
        "fp16": {"enabled": True},
        "bf16": {"enabled": False, "bf16_master_weights_and_grads": True},
    }
    plugin = SimpleNamespace(deepspeed_config=config, hf_ds_config=SimpleNamespace(mismatches=["- ds 8 vs hf 3"]))
    arguments = SimpleNamespace(
        per_device_train_batch_size=4, gradient_accumulation_steps=3, world_size=2, max_grad_norm=0.5
    )
    follow_recipe(plugin, arguments, precision)
    assert config == {
        "zero_optimization": {"stage": 2},
        "train_micro_batch_size_per_gpu": 4,
        "gradient_accumulation_steps": 3,
        "train_batch_size": 24,
        "gradient_clipping": 0.5,
        "fp16": {"enabled": False},
        "bf16": {"enabled": precision == "bf16"},
    }
    assert not plugin.hf_ds_config.mismatches


class Doubled:
    """What is used of DeepSpeed to spread a model, in a double that takes any configuration but one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spread: list[Any] = []
        zero = ModuleType("deepspeed.zero")
        vars(zero)["Init"] = lambda module, **_: self.spread.append(module)
        config = ModuleType("deepspeed.runtime.config")
        vars(config)["DeepSpeedConfig"] = self._check
        whole = ModuleType("deepspeed")
        vars(whole)["zero"] = zero
        for module in (whole, zero, ModuleType("deepspeed.runtime"), config):
            monkeypatch.setitem(sys.modules, module.__name__, module)

    def _check(self, config: dict[str, Any]) -> None:
        if "wrong" in config:
            raise ValueError("1 validation error\n  wrong: must not be")


@pytest.mark.parametrize(("stage", "spread"), [(1, 0), (2, 0), (3, 1)])
def test_whole_weights_are_spread_at_stage_3_only(stage: int, spread: int, monkeypatch: pytest.MonkeyPatch) -> None:
    double, model = Doubled(monkeypatch), torch.nn.BatchNorm1d(3)
    _spread(model, {"zero_optimization": {"stage": stage}}, "bf16")
    assert double.spread == [model] * spread
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float32, torch.int64}  # as they were


def test_a_configuration_that_deepspeed_does_not_take_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    Doubled(monkeypatch)
    with pytest.raises(ConfigError, match=r"does not take .* \(1 validation error wrong: must not be\)$"):
        _spread(torch.nn.Linear(2, 2), {"zero_optimization": {"stage": 2}, "wrong": 1}, "fp32")


def test_a_step_that_was_left_out_fails_the_stage() -> None:
    state, watch = TrainerState(global_step=3, max_steps=7), _EveryStep()
    watch.on_log(None, state, TrainerControl(), logs={"loss": 1.0, "grad_norm": 2.0})
    watch.on_log(None, state, TrainerControl(), logs={"train_runtime": 1.0})
    with pytest.raises(StageError, match="gradients became inf at step 3 of 7"):
        watch.on_log(None, state, TrainerControl(), logs={"loss": 1.0, "grad_norm": float("inf")})
