"""Which number format a model is loaded, tuned and scored in, on which device."""

from typing import Literal, cast

import torch

from chaintune.errors import ConfigError, nearest

Precision = Literal["fp32", "bf16"]
CHOICES = ("auto", "bf16", "fp32")


def resolve_precision(wanted: str) -> Precision:
    """The precision that `wanted` means on this machine.

    Args:
        wanted: `fp32`, `bf16`, or `auto`: bf16 where the hardware multiplies it natively (CUDA from
            Ampere on, AVX512-BF16, AMX), else fp32.

    Raises:
        ConfigError: another word.
    """
    if wanted not in CHOICES:
        raise ConfigError(f"precision '{wanted}' is not known; {nearest(wanted, CHOICES)}")
    if wanted == "auto":
        return "bf16" if _native_bf16() else "fp32"
    return cast(Precision, wanted)


def dtype_of(precision: Precision) -> torch.dtype:
    """The torch type of the weights at a precision."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


def default_device() -> torch.device:
    """The first CUDA device if there is one, else the CPU."""
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def _native_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch.cpu tells these apart only by private names; a build without them has no native bf16 to offer.
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check is not None)
