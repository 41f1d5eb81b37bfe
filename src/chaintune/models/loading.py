"""Loads a model from a folder, saves it, and dequantises GGUF files."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from struct import error as StructError  # noqa: N812 - an exception in all but name
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.quantization_config import GgufConfig

from chaintune.errors import ModelError
from chaintune.models.adapters import leaves_base_alone, read_adapter, take_off, tied_and_adapted
from chaintune.models.memory import SEVERAL_DEVICES, free_memory, unless_out_of_memory
from chaintune.models.precision import Precision, Quantize, check_quantize, default_device, dtype_of, four_bits
from chaintune.models.sharding import weight_bytes

# As torch aligns what it allocates on a CPU.
_ALIGNED_BYTES = 64
# Errors of the reader of GGUF on a damaged or unknown file; it checks little.
_UNREADABLE = (ValueError, OSError, LookupError, ArithmeticError, RuntimeError, StructError)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class LoadedModel:
    """A causal language model in memory with its tokenizer.

    Tuning changes `model` in place.

    Attributes:
        model: a transformers model, or a PEFT model around one.
        tokenizer: its tokenizer.
        precision: number format of the weights (an adapter stays in fp32).
        quantize: number format of the matrices under an adapter while it is trained; None at `precision`.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    precision: Precision
    quantize: Quantize | None = None

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.model.parameters()).device

    @property
    def has_adapter(self) -> bool:
        """Whether only an adapter is to be saved."""
        return isinstance(self.model, PeftModel)

    @property
    def context_tokens(self) -> int | None:
        """The longest sequence that the model takes, or None where its configuration states none."""
        return _context_tokens(self.model.config)


@dataclass(frozen=True, slots=True)
class Reader:
    """Tokenizer and context of a model, without its weights.

    Attributes:
        tokenizer: turns text into token ids.
        context_tokens: the longest sequence that the model takes, or None where its configuration states none.
    """

    tokenizer: PreTrainedTokenizerBase
    context_tokens: int | None


def load_reader(folder: Path, *, trust_remote_code: bool = False) -> Reader:
    """The tokenizer and context length of a model folder.

    Raises:
        ModelError: the folder has no configuration or tokenizer that transformers can read.
    """
    with _speaking(folder):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    return Reader(tokenizer, _context_tokens(config))


def load(
    folder: Path,
    *,
    adapter: Path | None = None,
    precision: Precision,
    trainable: bool = True,
    quantize: Quantize | None = None,
    to_device: bool = True,
    on_meta: bool = False,
    trust_remote_code: bool = False,
) -> LoadedModel:
    """The model of a folder, in evaluation mode, on the default device.

    Args:
        folder: transformers' layout, weights in safetensors.
        adapter: PEFT's layout, put on top.
        precision: number format of the weights.
        trainable: whether the adapter, if there is one, will be tuned further.
        quantize: `4bit` holds the matrices in 4 bits, to train an adapter on top.
        to_device: False leaves the model in main memory, for the caller to shard it over devices.
        on_meta: read shapes and number formats but no weights; the model lies on the meta device until `shard` gives
            this process its pieces of what another one has read.
        trust_remote_code: run Python code that comes with the model. Off unless the user says so.

    Raises:
        ModelError: the folder cannot be loaded as a causal language model, not in 4 bits on this machine, or its
            weights do not fit the device.
    """
    where: dict[str, Any] = {"device_map": {"": torch.device("meta")}} if on_meta else {}
    if quantize:
        check_quantize()
        where = {"quantization_config": four_bits(precision), "device_map": {"": default_device()}}
    tokenizer = load_reader(folder, trust_remote_code=trust_remote_code).tokenizer
    with _speaking(folder):
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype_of(precision), use_safetensors=True, trust_remote_code=trust_remote_code, **where
        )
    if adapter is not None:
        with _speaking(adapter):
            model = read_adapter(model, adapter, trainable=trainable, on_meta=on_meta)
    if to_device and not quantize and not on_meta:  # in 4 bits it lies where it is to be already
        _put(model, default_device(), folder)
    model.eval()
    return LoadedModel(model, tokenizer, precision, quantize)


def with_adapter(loaded: LoadedModel, adapter: Path | None, *, instead_of: Path | None) -> LoadedModel | None:
    """The weights in memory under another adapter, for scoring; None where they have to be loaded again.

    What it answers is, bit for bit, what a model answers that `load` read. `loaded` is used up.

    Args:
        loaded: as `load` returned it, never trained.
        adapter: PEFT's layout, put on top; None leaves the weights bare.
        instead_of: the adapter that is on top now.

    Raises:
        ModelError: the adapter cannot be loaded.
    """
    if instead_of is not None and not leaves_base_alone(instead_of):
        return None
    model = take_off(loaded.model) if loaded.has_adapter else loaded.model
    if adapter is not None:
        with _speaking(adapter):
            model = read_adapter(model, adapter, trainable=False)
        model.to(default_device())
    model.eval()
    return LoadedModel(model, loaded.tokenizer, loaded.precision)


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


def save(loaded: LoadedModel, folder: Path) -> None:
    """Write a model into a folder: safetensors and tokenizer, or the adapter alone where there is one."""
    loaded.model.save_pretrained(folder)
    if not loaded.has_adapter:
        loaded.tokenizer.save_pretrained(folder)


def merge_adapter(loaded: LoadedModel) -> LoadedModel:
    """The model with its adapter merged into the weights; itself where it has none.

    A model in 4 bits cannot be used afterwards: its adapter is merged into the weights as they are stored.

    Raises:
        ModelError: the adapter lies on embeddings that share their weight, which would change what it answers.
    """
    if not loaded.has_adapter:
        return loaded
    if tied := tied_and_adapted(loaded.model):
        raise ModelError(
            f"the adapter changes {' and '.join(tied)}, and input and output embeddings share one weight, so that "
            "folding it in would change both; train an adapter without these targets, or one on a model whose "
            "embeddings are not tied"
        )
    if loaded.quantize:
        loaded = _on_stored_weights(loaded)
    return LoadedModel(loaded.model.merge_and_unload(), loaded.tokenizer, loaded.precision)


def _on_stored_weights(loaded: LoadedModel) -> LoadedModel:
    """The adapter on the weights of the folder that the model was read from, at its precision."""
    kind, folder = type(loaded.model.get_base_model()), Path(loaded.model.get_base_model().config._name_or_path)
    with tempfile.TemporaryDirectory() as adapter:
        save(loaded, Path(adapter))
        loaded.model = None  # never two models in memory
        free_memory()
        with _speaking(folder):
            model = kind.from_pretrained(folder, dtype=dtype_of(loaded.precision), use_safetensors=True)
            model = read_adapter(model, Path(adapter), trainable=True)
    model.to(default_device())
    model.eval()
    return LoadedModel(model, loaded.tokenizer, loaded.precision)


def _put(model: Any, device: torch.device, folder: Path) -> None:
    """Move a model to a device.

    Raises:
        ModelError: its weights do not fit there.
    """
    if unless_out_of_memory(lambda: _aligned(model.to(device))) is None:
        gigabytes = weight_bytes(model) / 1e9
        raise ModelError(
            f"model folder {folder}: its weights, {gigabytes:.1f} GB, do not fit the free memory of {device}; take "
            f"precision bf16, a device with more free memory, or several, which share it: {SEVERAL_DEVICES}"
        )


def _aligned(model: Any) -> Any:
    """The model with every weight where torch would have put it.

    Weights that stay in the file's number format are views of its pages, at any byte, and matrix products of a CPU sum
    in another order there: the same weights would answer otherwise than in the process that trained them.
    """
    for weight in model.parameters():
        if weight.data_ptr() % _ALIGNED_BYTES:
            weight.data = weight.data.clone()
    return model


def _context_tokens(config: Any) -> int | None:
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(length) if length else None


@contextmanager
def _speaking(folder: Path) -> Iterator[None]:
    """Raise errors of transformers about a folder that it cannot load as one sentence."""
    try:
        yield
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"model folder {folder}: cannot be loaded as a causal language model ({reason})") from error
