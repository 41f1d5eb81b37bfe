"""A quantised GGUF file, dequantised once into a folder that can be tuned."""

import logging
from importlib.util import find_spec
from pathlib import Path
from struct import error as StructError  # noqa: N812 - an exception in all but name

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.quantization_config import GgufConfig

from chaintune.errors import ModelError

_log = logging.getLogger(__name__)
# What the reader of a damaged or unknown file stumbles over; it checks little.
_UNREADABLE = (ValueError, OSError, LookupError, ArithmeticError, RuntimeError, StructError)


def dequantise(gguf: Path, out: Path) -> None:
    """Write the model of a GGUF file as fp32 safetensors, with its tokenizer, into the folder `out`.

    Raises:
        ModelError: the `gguf` package is not installed, or transformers cannot read the file.
    """
    if find_spec("gguf") is None:
        raise ModelError(f"model {gguf}: reading GGUF needs the package 'gguf'; install chaintune[demo]")
    _log.info("dequantising %s (once)", gguf.name)
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**where)
        quantisation = GgufConfig(dequantize=True)
        model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, quantization_config=quantisation)
    except _UNREADABLE as error:
        raise ModelError(f"model {gguf}: transformers cannot read this GGUF file ({error})") from error
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
