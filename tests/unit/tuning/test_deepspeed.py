"""What of a stage DeepSpeed can have, and who says what of a step. DeepSpeed itself is not needed."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState

from chaintune.errors import StageError
from chaintune.records import Recipe, Regulariser
from chaintune.tuning.deepspeed import _EveryStep, check_can_deepspeed, follow_recipe

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


def test_a_step_that_was_left_out_fails_the_stage() -> None:
    state, watch = TrainerState(global_step=3, max_steps=7), _EveryStep()
    watch.on_log(None, state, TrainerControl(), logs={"loss": 1.0, "grad_norm": 2.0})
    watch.on_log(None, state, TrainerControl(), logs={"train_runtime": 1.0})
    with pytest.raises(StageError, match="gradients became inf at step 3 of 7"):
        watch.on_log(None, state, TrainerControl(), logs={"loss": 1.0, "grad_norm": float("inf")})
