"""A stage trained by DeepSpeed, whose ZeRO spreads optimizer, gradients and weights over the processes.

How the work is spread is said by the user's own file; what is learned, and how a step is made, by the recipe.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainerState
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from chaintune.errors import ConfigError, StageError
from chaintune.models.precision import Precision, default_device, dtype_of
from chaintune.records import Recipe

# From this stage of ZeRO on no process holds whole weights.
_WEIGHTS_SPREAD = 3
# Of the regularisers the only one that neither reads nor changes what DeepSpeed keeps to itself until a step is made.
_ALLOWED = "freeze"


def check_can_deepspeed(recipe: Recipe, precision: Precision) -> None:
    """Refuse what cannot be had of DeepSpeed.

    Raises:
        StageError: there is one.
    """
    if recipe.quantize:
        raise StageError("DeepSpeed cannot spread weights in 4 bits; leave recipe.quantize out, or train without it")
    if precision == "bf16" and not recipe.fp32_masters:
        raise StageError(
            "DeepSpeed always steps fp32 copies of bf16 weights; leave fp32_masters: false out of the recipe, or train "
            "without DeepSpeed"
        )
    kind = recipe.regulariser.kind if recipe.regulariser else _ALLOWED
    if kind != _ALLOWED:
        raise StageError(
            f"{kind} needs gradients and weights that DeepSpeed keeps to itself; take '{_ALLOWED}' or replay, or train "
            "without DeepSpeed, by DDP or FSDP"
        )


@contextmanager
def by_deepspeed(trainer: Any, precision: Precision) -> Iterator[None]:
    """Within this context a trainer trains by DeepSpeed; at its end the model is a plain one again.

    All processes have to come to its end. Then the first one has every weight whole, in main memory, and the others
    none: they cannot run the model.

    Args:
        trainer: of transformers, in a process that accelerate's launcher started for DeepSpeed.
        precision: of the model. At bf16 the weights of an adapter are made bf16 as well while they are trained; what is
            stepped are copies in fp32, and these are what the adapter ends with.

    Raises:
        ConfigError: DeepSpeed does not take what the user's file says.
        StageError: a step could not be made, as gradients are not finite.
    """
    model, plugin = trainer.model, trainer.accelerator.state.deepspeed_plugin
    types = {name: weight.dtype for name, weight in model.named_parameters()}
    follow_recipe(plugin, trainer.args, precision)
    trainer.add_callback(_EveryStep())
    try:
        _spread(model, plugin.deepspeed_config, precision)
        yield
        _put_together(model, types)
    finally:
        unset_hf_deepspeed_config()  # or models read later would be spread as well


def follow_recipe(plugin: Any, arguments: Any, precision: Precision) -> None:
    """Have a DeepSpeed configuration say of steps and precision what the Trainer's arguments say.

    Args:
        plugin: of accelerate, changed in place.
        arguments: of the Trainer.
        precision: of the model.
    """
    micro, accumulated = arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps
    plugin.deepspeed_config.update(
        {
            "train_micro_batch_size_per_gpu": micro,
            "gradient_accumulation_steps": accumulated,
            "train_batch_size": micro * accumulated * arguments.world_size,
            "gradient_clipping": arguments.max_grad_norm,
            "fp16": {"enabled": False},
            "bf16": {"enabled": precision == "bf16"},
        }
    )
    plugin.hf_ds_config.mismatches.clear()  # Trainer found them before they were settled here


class _EveryStep(TrainerCallback):
    """Fails where DeepSpeed leaves a step out, which it does in silence when gradients are not finite."""

    def on_log(self, _args: Any, state: TrainerState, _control: Any, logs: Any = None, **_: Any) -> None:
        norm = (logs or {}).get("grad_norm", 0.0)
        if not math.isfinite(norm):
            raise StageError(
                f"the gradients became {norm} at step {state.global_step} of {state.max_steps}; "
                "a smaller learning_rate usually helps"
            )


def _spread(model: Any, config: Mapping[str, Any], precision: Precision) -> None:
    """Make the weights of one type, as DeepSpeed wants them, and spread them where the stage of ZeRO is that one.

    Left to itself, DeepSpeed puts a model that was read whole on every device before it spreads it.
    """
    from deepspeed import zero
    from deepspeed.runtime.config import DeepSpeedConfig

    try:
        DeepSpeedConfig(config)
    except (ValueError, TypeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"DeepSpeed does not take its part of the accelerate file ({reason})") from error
    for weight in model.parameters():
        weight.data = weight.data.to(dtype_of(precision))
    if config["zero_optimization"]["stage"] == _WEIGHTS_SPREAD:
        zero.Init(module=model, config_dict_or_path=config)
        for buffer in model.buffers():  # a model whose weights are spread DeepSpeed moves no more
            buffer.data = buffer.data.to(default_device())


@torch.no_grad()
def _put_together(model: Any, types: Mapping[str, torch.dtype]) -> None:
    """Give the first process plain weights, of the types that they had; the others get empty ones."""
    first = dist.get_rank() == 0
    known: dict[int, torch.nn.Parameter] = {}  # tied weights stay tied
    for prefix, module in list(model.named_modules()):
        for name, weight in list(module._parameters.items()):
            if weight is None:
                continue
            if id(weight) not in known:
                full = _whole(weight, types[f"{prefix}.{name}".lstrip(".")])
                kept = full.cpu() if first else full.new_empty(0)
                known[id(weight)] = torch.nn.Parameter(kept, requires_grad=weight.requires_grad)
            module._parameters[name] = known[id(weight)]


def _whole(weight: Any, dtype: torch.dtype) -> torch.Tensor:
    from deepspeed import zero
    from deepspeed.utils import safe_get_full_fp32_param

    if weight.requires_grad and dtype != weight.dtype:
        stepped: torch.Tensor = safe_get_full_fp32_param(weight)
        return stepped.to(dtype)
    with zero.GatheredParameters([weight]):
        return weight.detach().to(dtype, copy=True)
