"""Weights that a Trainer spreads over processes: which of them can be watched, and how they are saved."""

from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers.integrations import is_deepspeed_zero3_enabled

from chaintune.errors import ConfigError
from chaintune.models.sharding import is_sharded

_SPLITS = {"tp": "tensor parallel", "cp": "context parallel", "sp": "sequence parallel"}


def check_can_watch(trainer: Any) -> None:
    """Refuse Trainers that would wait for ever, or that were never tried.

    Raises:
        ConfigError: the Trainer spreads its weights over processes otherwise than by FSDP2.
    """
    refused = _refused(trainer)
    if refused:
        raise ConfigError(
            f"ForgettingCallback scores models that each process holds whole (one process, or DDP), or that FSDP2 "
            f"shards (fsdp_config={{'version': 2}}); this Trainer uses {refused}; score its checkpoints instead"
        )


def save_whole(model: Any, folder: Path, *, leads: bool) -> None:
    """Have the process that leads write a model as `save_pretrained` does; all processes have to call it.

    Sharded weights are gathered one by one into the writer's main memory; of a model with an adapter only what is
    trained.
    """
    adapted = hasattr(model, "peft_config")
    if getattr(model, "is_distributed_loading_by_transformers", False) and not adapted:
        # What transformers has sharded it gathers as well.
        model.save_pretrained(folder, is_main_process=leads)
        return
    weights = None
    if is_sharded(model):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=adapted)
        weights = get_model_state_dict(model, options=options)
    if leads:
        model.save_pretrained(folder, state_dict=weights)


def _refused(trainer: Any) -> str:
    """The feature of a Trainer that rules out watching it; empty where there is none."""
    if trainer.is_deepspeed_enabled and is_deepspeed_zero3_enabled():
        return "ZeRO stage 3"
    if getattr(trainer, "is_fsdp_xla_enabled", False):
        return "FSDP of XLA"
    sizes = getattr(getattr(trainer.model, "config", None), "distributed_config", None)
    for name, words in (_SPLITS | {"pp": "pipeline parallel", "ep": "expert parallel"}).items():
        if (getattr(sizes, f"{name}_size", None) or 1) > 1:
            return words
    layout = getattr(trainer.accelerator, "parallelism_config", None)
    for name, words in _SPLITS.items():
        if getattr(layout, f"{name}_enabled", False):
            return words
    return _refused_fsdp(trainer, offloads=bool(getattr(sizes, "fsdp_cpu_offload", False)))


def _refused_fsdp(trainer: Any, *, offloads: bool) -> str:
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None) if trainer.is_fsdp_enabled else None
    if plugin is None and not is_sharded(trainer.model):
        return ""
    if plugin is not None and plugin.fsdp_version != 2:
        return "FSDP1"
    if trainer.args.torch_compile:
        return "FSDP2 and torch_compile"
    if (offloads or (plugin is not None and plugin.cpu_offload)) and trainer.args.device.type != "cpu":
        return "FSDP2 whose weights lie in main memory (cpu_offload)"
    return ""
