"""A folder on disk becomes a model in memory, and back."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from chaintune.errors import ModelError
from chaintune.models.precision import Precision, default_device, dtype_of

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class LoadedModel:
    """A causal language model in memory with its tokenizer.

    Tuning changes `model` in place.

    Attributes:
        model: a transformers model, or a PEFT model around one.
        tokenizer: its tokenizer.
        precision: number format of the weights (an adapter stays in fp32).
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    precision: Precision

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.model.parameters()).device

    @property
    def has_adapter(self) -> bool:
        """Whether only an adapter is to be saved."""
        return isinstance(self.model, PeftModel)

    @property
    def context_tokens(self) -> int | None:
        """The longest sequence that the model takes, or None where its configuration states none."""
        length = getattr(self.model.config, "max_position_embeddings", None)
        return int(length) if length else None


def load(
    folder: Path,
    *,
    adapter: Path | None = None,
    precision: Precision,
    trainable: bool = True,
    trust_remote_code: bool = False,
) -> LoadedModel:
    """The model of a folder, in evaluation mode, on the default device.

    Args:
        folder: transformers' layout, weights in safetensors.
        adapter: PEFT's layout, put on top.
        precision: number format of the weights.
        trainable: whether the adapter, if there is one, will be tuned further.
        trust_remote_code: run Python code that comes with the model. Off unless the user says so.

    Raises:
        ModelError: the folder cannot be loaded as a causal language model.
    """
    dtype = dtype_of(precision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=trust_remote_code
        )
        if adapter is not None:
            model = PeftModel.from_pretrained(model, adapter, is_trainable=trainable)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"model folder {folder}: cannot be loaded as a causal language model ({error})") from error
    model.to(default_device())
    model.eval()
    return LoadedModel(model, tokenizer, precision)


def save(loaded: LoadedModel, folder: Path) -> None:
    """Write a model into a folder: safetensors and tokenizer, or the adapter alone where there is one."""
    loaded.model.save_pretrained(folder)
    if not loaded.has_adapter:
        loaded.tokenizer.save_pretrained(folder)


def merge_adapter(loaded: LoadedModel) -> LoadedModel:
    """The same model with its adapter folded into the weights; itself where it has none."""
    if not loaded.has_adapter:
        return loaded
    return LoadedModel(loaded.model.merge_and_unload(), loaded.tokenizer, loaded.precision)
