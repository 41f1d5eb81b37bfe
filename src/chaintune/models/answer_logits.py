"""Vocabulary logits at chosen positions only.

At a vocabulary of 49k the output layer of a small model is a fifth of its arithmetic and most of its
memory, and all but the answer's positions are thrown away. A hook in front of the output layer picks
the positions, so whatever the model does to its logits afterwards (soft caps, scales) still happens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def logits_only_at(model: Any, positions: torch.Tensor) -> Iterator[None]:
    """Within this context, a forward pass of `model` returns logits `[N, V]` instead of `[B, T, V]`.

    Args:
        model: a causal language model of transformers, or a PEFT model around one.
        positions: boolean `[B, T]` with N true entries; logits come in row-major order of them.

    Shape:
        hidden states `[B, T, H]` -> `[N, H]` -> logits `[N, V]`.
    """

    def pick(_module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        hidden, *rest = arguments
        return (hidden[positions], *rest)

    handle = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        yield
    finally:
        handle.remove()
