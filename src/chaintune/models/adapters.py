"""Adapters of PEFT: put on a model, read from a folder."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, get_peft_model

from chaintune.errors import ModelError


def new_adapter(model: Any, config: PeftConfig) -> PeftModel:
    """The model with a fresh adapter on top, drawn from torch's random state; its own weights are frozen."""
    with _without_noise():
        return get_peft_model(model, config)


def read_adapter(model: Any, folder: Path, *, trainable: bool) -> PeftModel:
    """The model with the adapter of a folder on top.

    Raises:
        ModelError: the adapter is of a kind that cannot be folded into the weights.
    """
    config = PeftConfig.from_pretrained(folder)
    if config.is_prompt_learning:
        raise ModelError(
            f"adapter {folder}: it is of type {config.peft_type.value}, expected one such as LoRA that can be merged"
        )
    with _without_noise():
        adapted = PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    # What lies under it, so that PEFT, when it saves, compares with that and not with a name on the Hub.
    adapted.peft_config["default"].base_model_name_or_path = model.config._name_or_path
    return adapted


@contextmanager
def _without_noise() -> Iterator[None]:
    """Without two warnings that ask for nothing to be done.

    PEFT uses a name of transformers that is going away, and it sets `fan_in_fan_out` as GPT-2 needs it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to", category=UserWarning)
        yield
