"""GGUF files, unpacked into the layout that a model is tuned in."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.quantization_config import GgufConfig

from chaintune.errors import ModelError
from chaintune.files.reading import first_bytes
from chaintune.models.folders import opening
from chaintune.models.wholeness import check_whole, without_report

_SECONDS_BETWEEN_LINES = 10.0

_log = logging.getLogger(__name__)


def dequantise(gguf: Path, out: Path) -> None:
    """Write the model of a GGUF file as fp32 safetensors, with its tokenizer, into the folder `out`.

    Raises:
        ModelError: the `gguf` package is not installed, or transformers cannot read the file.
    """
    if find_spec("gguf") is None:
        raise ModelError(f"model {gguf}: reading GGUF needs the package 'gguf'; install chaintune[demo]")
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    _log.warning("%s (%.0f MB) is unpacked into the store, once", gguf.name, gguf.stat().st_size / 1e6)
    with opening(f"model {gguf}", "transformers cannot read this GGUF file"), without_report(), _telling(gguf):
        tokenizer = AutoTokenizer.from_pretrained(**where)
        quantisation = GgufConfig(dequantize=True)
        model, about = AutoModelForCausalLM.from_pretrained(
            **where,
            dtype=torch.float32,
            quantization_config=quantisation,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    check_whole(model, about, gguf, ())
    megabytes = sum(weight.numel() for weight in model.parameters()) * 4 / 1e6
    _log.warning("%s takes %.0f MB there in fp32", gguf.name, megabytes)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


@contextmanager
def _telling(file: Path) -> Iterator[None]:
    """Log now and then how many of a GGUF file's weights are unpacked; transformers calls gguf's function for each."""
    import gguf

    whole = int.from_bytes(first_bytes(file, 16)[8:], "little")
    unpack, told, done = gguf.dequantize, time.monotonic(), 0

    def counted(*arguments: Any) -> Any:
        nonlocal told, done
        done += 1
        if time.monotonic() - told > _SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            _log.warning("%s: %d of %d weights are unpacked", file.name, done, whole)
        return unpack(*arguments)

    gguf.dequantize = counted
    try:
        yield
    finally:
        gguf.dequantize = unpack
