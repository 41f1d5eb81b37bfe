"""Keys and values of texts that grow token by token side by side, in memory that is allocated once.

The layers of transformers concatenate: each token copies all that came before it, which at 64 rows is a seventh of a
small model's time.
"""

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

# What derives from these may hold more than can be handed to several continuations.
_KEYS_AND_VALUES = (DynamicLayer, DynamicSlidingWindowLayer)


def holds_keys_and_values(cache: Any) -> bool:
    """Whether a cache is keys and values alone, so that several texts can go on from it."""
    return isinstance(cache, DynamicCache) and all(type(layer) in _KEYS_AND_VALUES for layer in cache.layers)


def with_room(cache: DynamicCache, *, rows: int, tokens: int) -> DynamicCache:
    """A cache of so many rows with what a cache holds, and room for so many tokens more in each.

    Args:
        cache: of keys and values alone, as `holds_keys_and_values` has it, of one row or of as many.
        rows: of the new cache.
        tokens: that it will be given at most.
    """
    roomy = DynamicCache()
    roomy.layers = [
        _SlidingLayer(layer, rows, tokens)
        if isinstance(layer, DynamicSlidingWindowLayer)
        else _Layer(layer, rows, tokens)
        for layer in cache.layers
    ]
    roomy.layer_class_to_replicate = None
    return roomy


class _Room:
    """Memory for keys or values. Shape: `[B, H, T, D]`, of which some T are in use."""

    def __init__(self, states: torch.Tensor, rows: int, tokens: int) -> None:
        _, heads, self.used, width = states.shape
        self.memory = states.new_empty((rows, heads, self.used + tokens, width))
        self.memory[:, :, : self.used] = states

    def append(self, states: torch.Tensor) -> torch.Tensor:
        """All states, with these as the last ones."""
        end = self.used + states.shape[-2]
        self.memory[:, :, self.used : end] = states
        self.used = end
        return self.memory[:, :, :end]

    def select(self, rows: torch.Tensor) -> torch.Tensor:
        """All states of some rows, which are what is left."""
        kept = self.memory.new_empty((len(rows), *self.memory.shape[1:]))
        kept[:, :, : self.used] = self.memory[:, :, : self.used].index_select(0, rows)
        self.memory = kept
        return self.memory[:, :, : self.used]


class _WithRoom:
    """What both kinds of layers do: keys and values lie in memory of their own, and nothing is concatenated."""

    keys: torch.Tensor
    values: torch.Tensor

    def take(self, layer: Any, rows: int, tokens: int) -> None:
        """Begin with what another layer holds."""
        self.dtype, self.device, self.is_initialized = layer.dtype, layer.device, True
        self._rooms = tuple(_Room(states, rows, tokens) for states in (layer.keys, layer.values))
        self.keys, self.values = (room.memory[:, :, : room.used] for room in self._rooms)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values, with these as the last ones."""
        added = zip(self._rooms, (key_states, value_states), strict=True)
        self.keys, self.values = (room.append(states) for room, states in added)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep some rows only."""
        self.keys, self.values = (room.select(indices) for room in self._rooms)


class _Layer(_WithRoom, DynamicLayer):
    def __init__(self, layer: DynamicLayer, rows: int, tokens: int) -> None:
        super().__init__()
        self.take(layer, rows, tokens)


class _SlidingLayer(_WithRoom, DynamicSlidingWindowLayer):
    """Holds what has left the window as well, and shows what has not."""

    def __init__(self, layer: DynamicSlidingWindowLayer, rows: int, tokens: int) -> None:
        super().__init__(layer.sliding_window)
        self.take(layer, rows, tokens)
        self.cumulative_length = layer.cumulative_length

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        seen = min(self.keys.shape[-2], self.sliding_window - 1) + key_states.shape[-2]
        self.cumulative_length += key_states.shape[-2]
        keys, values = super().update(key_states, value_states)
        return keys[:, :, -seen:], values[:, :, -seen:]
