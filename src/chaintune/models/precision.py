"""The number format and the device on which a model is loaded, tuned and scored."""

from typing import Literal, cast

import torch
from transformers import BitsAndBytesConfig
from transformers.utils import BITSANDBYTES_MIN_VERSION, is_bitsandbytes_available

from chaintune.errors import ConfigError, ModelError, nearest

Precision = Literal["fp32", "bf16"]
Quantize = Literal["4bit"]
CHOICES = ("auto", "bf16", "fp32")


def resolve_precision(name: str) -> Precision:
    """The precision that a name stands for on this machine.

    Args:
        name: `fp32`, `bf16`, or `auto`: bf16 where the hardware multiplies it natively (CUDA from
            Ampere on, AVX512-BF16, AMX), else fp32.

    Raises:
        ConfigError: another word.
    """
    if name not in CHOICES:
        raise ConfigError(f"precision '{name}' is not known; {nearest(name, CHOICES)}")
    if name == "auto":
        return "bf16" if _native_bf16() else "fp32"
    return cast(Precision, name)


def dtype_of(precision: Precision) -> torch.dtype:
    """The torch type of the weights at a precision."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


def default_device() -> torch.device:
    """The current CUDA device, the first unless this process has chosen another; the CPU where there is none."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def check_quantize() -> None:
    """Refuse weights in 4 bits where this machine cannot hold them.

    Raises:
        ModelError: bitsandbytes is missing or too old, or there is no GPU.
    """
    if not is_bitsandbytes_available():
        raise ModelError(
            f"quantize '4bit' needs bitsandbytes, {BITSANDBYTES_MIN_VERSION} or later; install it with: "
            "pip install -U bitsandbytes; or leave quantize out of the recipe"
        )
    if default_device().type != "cuda":
        raise ModelError("quantize '4bit' needs a CUDA device, and this machine has none; leave it out of the recipe")


def four_bits(precision: Precision) -> BitsAndBytesConfig:
    """The configuration of weights in 4 bits, as in the paper: NF4, double quantised, products at `precision`.

    Source:
        Dettmers et al. 2023, QLoRA: Efficient Finetuning of Quantized LLMs, section 3.
    """
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype_of(precision),
    )


def _native_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch.cpu tells these apart only by private names; a build without them has no native bf16 to offer.
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check is not None)
