"""The user's file of `accelerate config`, by which DeepSpeed trains: read, and refused where it cannot hold.

Of the file holds how the work is spread and where it lies. What is learned, and how large a step is, belong to the
recipe and to the stage's key, so what the file says of that is set aside or refused: two files give the same weights
but for rounding.
"""

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType, compare_versions

from chaintune.errors import ConfigError, nearest

ACCELERATE_CONFIG = "CHAINTUNE_ACCELERATE_CONFIG"

# Some before it also round what a model keeps in fp32 beside its weights, such as the frequencies of its positions.
_OLDEST = "0.19.8"
_STAGES = (1, 2, 3)
_SPREADING = frozenset({"zero_optimization", "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "aio"})
_WATCHING = frozenset(
    {"comms_logger", "csv_monitor", "dump_state", "flops_profiler", "memory_breakdown", "steps_per_print"}
    | {"tensorboard", "wall_clock_breakdown"}
)
# The recipe, its devices and the study's precision say these.
_SET_ASIDE = frozenset(
    {"bf16", "fp16", "gradient_accumulation_steps", "gradient_clipping", "train_batch_size"}
    | {"train_micro_batch_size_per_gpu"}
)
# Of ZeRO: what rounds weights or gradients on their way, or steps with those of an earlier step.
_CHANGING = frozenset(
    {"zero_quantized_gradients", "zero_quantized_nontrainable_weights", "zero_quantized_weights", "zenflow"}
    | {"zeropp_loco_param"}
)
# accelerate refuses these beside a DeepSpeed file.
_NOT_BESIDE = frozenset(
    {"gradient_accumulation_steps", "gradient_clipping", "offload_optimizer_device", "offload_param_device"}
    | {"offload_optimizer_nvme_path", "offload_param_nvme_path", "zero_stage", "zero3_save_16bit_model"}
)


def launch_options(config: str, devices: int) -> list[str]:
    """What accelerate's launcher is told beside a file, and over it.

    The number of processes is the recipe's, and the precision is set where the weights are known; any port will do that
    is free, since several stages may run on one machine.
    """
    said = {"num_processes": devices, "mixed_precision": "no", "main_process_port": 0}
    return ["--config_file", config, *(f"--{name}={value}" for name, value in said.items())]


def check_file(path: Path) -> None:
    """Refuse a file that does not have DeepSpeed train on this machine, or would have it learn something else.

    Args:
        path: of YAML or JSON, as `accelerate config` writes it.

    Raises:
        ConfigError: the file, or what it asks for, cannot be had.
    """
    where = f"{ACCELERATE_CONFIG}={path}"
    config = _read(path, where)
    if config.distributed_type != DistributedType.DEEPSPEED:
        raise ConfigError(
            f"{where}: expected distributed_type DEEPSPEED, got {config.distributed_type.value}; without this variable "
            "a stage on several devices is trained by DDP, or by FSDP where one device has not room for it"
        )
    if config.num_machines != 1:
        raise ConfigError(f"{where}: a stage is trained on one machine, got num_machines {config.num_machines}")
    _check_installed(where)
    asked = config.deepspeed_config or {}
    if (file := asked.get("deepspeed_config_file", "none")) != "none":
        _check_beside(asked, where)
        _check_deepspeed_file(Path(file), where)
    elif asked.get("zero_stage") not in _STAGES:
        raise ConfigError(_no_stage(f"{where}: deepspeed_config.zero_stage", asked.get("zero_stage")))


def _read(path: Path, where: str) -> Any:
    if not path.is_file():
        raise ConfigError(f"{where}: there is no such file; write one with: accelerate config --config_file {path}")
    try:
        return load_config_from_file(str(path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{where}: expected a file as `accelerate config` writes it ({reason})") from error


def _check_installed(where: str) -> None:
    try:
        found = version("deepspeed")
    except PackageNotFoundError:
        raise ConfigError(
            f"{where}: it asks for DeepSpeed, which is not installed; install it with: "
            f"pip install 'deepspeed>={_OLDEST}'"
        ) from None
    if compare_versions("deepspeed", "<", _OLDEST):
        raise ConfigError(f"{where}: expected DeepSpeed {_OLDEST} or later, got {found}; pip install -U deepspeed")


def _check_beside(asked: Mapping[str, Any], where: str) -> None:
    if twice := sorted(asked.keys() & _NOT_BESIDE):
        raise ConfigError(
            f"{where}: beside a deepspeed_config_file deepspeed_config cannot say {', '.join(twice)}; "
            "say it in that file"
        )


def _check_deepspeed_file(path: Path, where: str) -> None:
    where = f"{where}: deepspeed_config_file {path}"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: cannot be read as JSON ({error})") from error
    zero = config.get("zero_optimization") if isinstance(config, dict) else None
    stage = zero.get("stage") if isinstance(zero, dict) else None
    if not isinstance(zero, dict) or stage not in _STAGES:
        raise ConfigError(_no_stage(f"{where}: zero_optimization.stage", stage))
    known = _SPREADING | _WATCHING | _SET_ASIDE
    if unknown := [name for name in config if name not in known]:
        raise ConfigError(
            f"{where}: '{unknown[0]}' could change what is learned, which is the recipe's to say; leave it out; "
            f"{nearest(unknown[0], known)}"
        )
    if changing := sorted(name for name in zero.keys() & _CHANGING if zero[name]):
        raise ConfigError(f"{where}: zero_optimization.{changing[0]} changes what is learned; leave it out")


def _no_stage(where: str, got: Any) -> str:
    return f"{where}: expected 1, 2 or 3, got {got}; stage 0 spreads nothing, which is what is done without this file"
