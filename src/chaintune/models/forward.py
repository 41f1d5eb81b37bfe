"""Forward passes: vocabulary logits at chosen positions only, and texts of which lengths may share a pass.

At a vocabulary of 49k the output layer of a small model is a fifth of its arithmetic and most of its
memory, and all but the answer's positions are thrown away. A hook in front of the output layer picks
the positions, so whatever the model does to its logits afterwards (soft caps, scales) still happens.
"""

from collections.abc import Iterable, Iterator, Mapping
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


def are_read_alike(model: Any, lengths: Iterable[int]) -> bool:
    """Whether texts of these lengths, in tokens, get the same rotary frequencies in any batch.

    With LongRoPE, of Phi-3 and its kin, transformers chooses them by the longest position of a forward pass, for all
    that is in it. So a text that is read beside a longer one, or whose beginning was read before it had grown long, is
    not read as it would be by itself. "dynamic" frequencies, which grow with the text as well, do so only beyond the
    context that the configuration states.
    """
    known = list(lengths)
    return not known or not any(min(known) <= turn < max(known) for turn in _turns(model))


def _turns(model: Any) -> Iterator[int]:
    """Lengths in tokens beyond which the model takes other frequencies; layers of one kind may have their own."""
    rope = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    for kind in (rope, *(own for own in rope.values() if isinstance(own, Mapping))):
        if kind.get("rope_type") == "longrope":
            yield int(kind["original_max_position_embeddings"])
