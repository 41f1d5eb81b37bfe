"""Loads a model from a folder, and saves it."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from chaintune.errors import ModelError, number_of
from chaintune.models.adapters import leaves_base_alone, read_adapter, take_off, tied_and_adapted, without_noise
from chaintune.models.folders import CONFIG, brings_tokenizer, opening, read_files, weight_shapes
from chaintune.models.memory import SEVERAL_DEVICES, free_memory, unless_out_of_memory
from chaintune.models.precision import Precision, Quantize, check_quantize, default_device, dtype_of, four_bits
from chaintune.models.quantised import check_computes, check_quantised
from chaintune.models.sharding import weight_bytes
from chaintune.models.wholeness import check_kind, check_vocabulary, check_whole, without_report

# As torch aligns what it allocates on a CPU.
_ALIGNED_BYTES = 64
_NO_MODEL = "cannot be loaded as a causal language model"
# Of a generation configuration, what would have tokens chosen otherwise than by the likeliest.
_SAMPLING = (
    "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "num_beams", "repetition_penalty",
    "encoder_repetition_penalty", "length_penalty", "no_repeat_ngram_size", "min_length", "min_new_tokens",
    "suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias", "guidance_scale",
)  # fmt: skip

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
        unused: names of weights in its files that it leaves out, as the user allowed.
        stored: how its files hold the weights, where they are quantised; it is scored and never trained.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    precision: Precision
    quantize: Quantize | None = None
    unused: tuple[str, ...] = ()
    stored: str = ""

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
        stated_ends: tokens that end a text, as the model's generation configuration states them.
        sampling: name and value of what it states, other than usual, of how tokens are chosen.
    """

    tokenizer: PreTrainedTokenizerBase
    context_tokens: int | None
    stated_ends: int | list[int] | None = None
    sampling: tuple[tuple[str, Any], ...] = ()

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens that end a text: those that are stated, and the tokenizer's own."""
        return tuple(sorted(ends_of(self.stated_ends, self.tokenizer)))


def ends_of(stated: int | Sequence[int] | None, tokenizer: Any) -> frozenset[int]:
    """What ends a text: what a generation configuration states, and the tokenizer's end-of-sequence token."""
    ids = [stated] if isinstance(stated, int) else list(stated or ())
    return frozenset(one for one in (*ids, tokenizer.eos_token_id) if one is not None)


def load_reader(folder: Path, adapter: Path | None = None, *, trust_remote_code: bool = False) -> Reader:
    """The tokenizer and context length of a model.

    Args:
        folder: of the model.
        adapter: put on top; the tokenizer is its own where it brings one.
        trust_remote_code: run Python code that comes with the model.

    Raises:
        ModelError: the folder has no configuration or tokenizer that transformers can read.
    """
    with opening(f"model folder {folder}", _NO_MODEL):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        context_tokens = _context_tokens(config)
        writes = _generation_config(folder, config)
    tokenizer = read_tokenizer(folder, adapter, trust_remote_code=trust_remote_code)
    if adapter is not None and brings_tokenizer(adapter) and brings_tokenizer(folder):
        base = read_tokenizer(folder, None, trust_remote_code=trust_remote_code)
        own = tokenizer.get_vocab().items() ^ base.get_vocab().items()
        if other := sorted({token for token, _ in own}):
            message = "adapter %s: its own tokenizer is used, which differs from the base's in %d tokens (%s)"
            _log.warning(message, adapter, len(other), ", ".join(map(repr, other[:2])))
    stated = writes.to_diff_dict()
    sampling = tuple((name, stated[name]) for name in _SAMPLING if stated.get(name) is not None)
    return Reader(tokenizer, context_tokens, writes.eos_token_id, sampling)


def _generation_config(folder: Path, config: Any) -> GenerationConfig:
    """By what a model that is loaded from a folder writes texts."""
    try:
        return GenerationConfig.from_pretrained(folder)
    except OSError:  # as transformers has it where there is none
        return GenerationConfig.from_model_config(config)


def read_tokenizer(
    folder: Path, adapter: Path | None = None, *, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """The tokenizer of a model; its adapter's where that brings one.

    Raises:
        ModelError: transformers cannot read it.
    """
    own = adapter is not None and brings_tokenizer(adapter)
    home = adapter if adapter is not None and own else folder
    with opening(f"model folder {home}", "its tokenizer cannot be loaded"):
        options = {"config": AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)} if own else {}
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            home, trust_remote_code=trust_remote_code, **options
        )
        tokenizer("a")  # some of what is wrong comes out only now
        return tokenizer


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
    allow_unused: Sequence[str] = (),
) -> LoadedModel:
    """The model of a folder, in evaluation mode, on the default device; every weight of its files is in it.

    Args:
        folder: transformers' layout, weights in safetensors.
        adapter: PEFT's layout, put on top.
        precision: number format of the weights.
        trainable: whether the adapter, if there is one, will be tuned further.
        quantize: `4bit` holds the matrices in 4 bits, to train an adapter on top. Weights that the folder holds
            quantised are loaded as its configuration says, to be scored.
        to_device: False leaves the model in main memory, for the caller to shard it over devices.
        on_meta: read shapes and number formats but no weights; the model lies on the meta device until `shard` gives
            this process its pieces of what another one has read.
        trust_remote_code: run Python code that comes with the model. Off unless the user says so.
        allow_unused: patterns of weights that the model may leave out.

    Raises:
        ModelError: the folder cannot be loaded as a causal language model, not in 4 bits on this machine, or its
            weights do not fit the device; weights of the model, or of the adapter, are not in the files, or the other
            way round.
    """
    where: dict[str, Any] = {"device_map": {"": torch.device("meta")}} if on_meta else {}
    stored = check_quantised(folder)
    if stored:
        where = {"device_map": {"": default_device()}}
    elif quantize:
        check_quantize()
        where = {"quantization_config": four_bits(precision), "device_map": {"": default_device()}}
    where |= {"trust_remote_code": trust_remote_code}
    model, unused = read_model(AutoModelForCausalLM, folder, precision, allow_unused=allow_unused, **where)
    tokenizer = read_tokenizer(folder, adapter, trust_remote_code=trust_remote_code)
    if adapter is not None:
        model = _on(model, adapter, trainable=trainable, on_meta=on_meta)
    check_vocabulary(model, tokenizer, Path(tokenizer.name_or_path))
    if to_device and not quantize and not stored and not on_meta:  # in 4 bits it lies where it is to be already
        put_on(model, default_device(), folder)
    model.eval()
    if stored:
        check_computes(model, folder, precision)
    return LoadedModel(model, tokenizer, precision, quantize, unused, stored)


def read_model(
    kind: Any,
    folder: Path,
    precision: Precision,
    *,
    allow_unused: Sequence[str] = (),
    otherwise: str = _NO_MODEL,
    **where: Any,
) -> tuple[Any, tuple[str, ...]]:
    """The model of a folder in main memory, and the names of the weights that it leaves out.

    Args:
        kind: its class, or an automatic one.
        folder: transformers' layout.
        precision: number format of the weights.
        allow_unused: patterns of weights that the model may leave out.
        otherwise: what is said where it cannot be.
        **where: options of transformers.

    Raises:
        ModelError: it cannot be read as such a model, or weights are missing or left over.
    """
    read_files(folder)
    with opening(f"model folder {folder}", otherwise):
        _check_depth(folder, trust_remote_code=where.get("trust_remote_code", False))
        with without_report():
            model, about = kind.from_pretrained(
                folder,
                dtype=dtype_of(precision),
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are told below, with their names
                **where,
            )
    if kind is AutoModelForCausalLM:
        check_kind(model, folder)
    return model, check_whole(model, about, folder, allow_unused)


def _on(model: Any, adapter: Path, *, trainable: bool, on_meta: bool = False) -> PeftModel:
    read_files(adapter, adapter=True)
    with opening(f"adapter {adapter}", "cannot be put on this model"):
        return read_adapter(model, adapter, trainable=trainable, on_meta=on_meta)


def with_adapter(
    loaded: LoadedModel, adapter: Path | None, *, instead_of: Path | None, trust_remote_code: bool = False
) -> LoadedModel | None:
    """The weights in memory under another adapter, for scoring; None where they have to be loaded again.

    What it answers is, bit for bit, what a model answers that `load` read. `loaded` is used up.

    Args:
        loaded: as `load` returned it, never trained.
        adapter: PEFT's layout, put on top; None leaves the weights bare.
        instead_of: the adapter that is on top now.
        trust_remote_code: run Python code that comes with the model.

    Raises:
        ModelError: the adapter cannot be loaded.
    """
    if instead_of is not None and not leaves_base_alone(instead_of):
        return None
    model = take_off(loaded.model) if loaded.has_adapter else loaded.model
    if adapter is not None:
        model = _on(model, adapter, trainable=False)
        model.to(default_device())
    model.eval()
    tokenizer = loaded.tokenizer
    if any(folder is not None and brings_tokenizer(folder) for folder in (adapter, instead_of)):
        tokenizer = read_tokenizer(_folder_of(model), adapter, trust_remote_code=trust_remote_code)
    return replace(loaded, model=model, tokenizer=tokenizer)


def save(loaded: LoadedModel, folder: Path) -> None:
    """Write a model into a folder: safetensors and tokenizer, or the adapter alone with the tokenizer it brought."""
    with without_noise():
        loaded.model.save_pretrained(folder)
    if not loaded.has_adapter or loaded.tokenizer.name_or_path != str(_folder_of(loaded.model)):
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
    with without_noise():
        return LoadedModel(loaded.model.merge_and_unload(), loaded.tokenizer, loaded.precision)


def _on_stored_weights(loaded: LoadedModel) -> LoadedModel:
    """The adapter on the weights of the folder that the model was read from, at its precision."""
    kind, folder = type(loaded.model.get_base_model()), _folder_of(loaded.model)
    with tempfile.TemporaryDirectory() as adapter:
        save(loaded, Path(adapter))
        loaded.model = None  # never two models in memory
        free_memory()
        model, _ = read_model(kind, folder, loaded.precision, allow_unused=loaded.unused)
        model = _on(model, Path(adapter), trainable=True)
    model.to(default_device())
    model.eval()
    return LoadedModel(model, loaded.tokenizer, loaded.precision)


def put_on(model: Any, device: torch.device, folder: Path) -> None:
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


def _check_depth(folder: Path, *, trust_remote_code: bool) -> None:
    """Refuse a number of layers, before they are built, that the files cannot fill."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code).get_text_config()
    layers, weights = getattr(config, "num_hidden_layers", 0), len(weight_shapes(folder))
    if isinstance(layers, int) and layers > weights:
        files = f"the files hold {number_of(weights, 'weight')}"
        raise ModelError(f"model folder {folder}: {CONFIG} names {number_of(layers, 'layer')}, and {files}")


def _folder_of(model: Any) -> Path:
    """The folder that a model was read from, whatever lies on it."""
    return Path((model.get_base_model() if isinstance(model, PeftModel) else model).config._name_or_path)
