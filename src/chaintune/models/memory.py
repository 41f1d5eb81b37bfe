"""Out-of-memory errors: recognised, and the memory freed after one."""

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from chaintune.errors import ModelError

R = TypeVar("R")

# Torch has an error class for devices only; a CPU that has no memory left says one of these.
_WORDS = ("DefaultCPUAllocator", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
# How a user asks for them.
SEVERAL_DEVICES = "--devices, or recipe.devices in a study"


class OutOfMemoryError(ModelError):
    """One of several processes is out of memory; all can retry with less, together.

    Attributes:
        at_once: examples of a micro-batch, or tokens, that did not fit.
    """

    def __init__(self, sentence: str, at_once: int) -> None:
        super().__init__(sentence)
        self.at_once = at_once


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the machine, has no memory left.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
        True
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def unless_out_of_memory(compute: Callable[[], R]) -> R | None:
    """The result of `compute`; None, with its memory freed, when out of memory."""
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Only here are the error, its frames and the tensors in them gone.
    free_memory()
    return None


def free_memory() -> None:
    """Free the memory of objects without references."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
