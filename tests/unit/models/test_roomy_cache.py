"""Keys and values with room for more are those of transformers' own layers."""

from collections.abc import Iterator

import pytest
import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionLayer

from chaintune.models.roomy_cache import holds_keys_and_values, with_room


def cache_of(rows: int, tokens: int, *, window: int = 5) -> DynamicCache:
    """A layer that sees everything and one that sees a window, both filled."""
    cache = DynamicCache()
    cache.layers = [DynamicLayer(), DynamicSlidingWindowLayer(window)]
    for layer, states in enumerate(drawn(rows, tokens, seed=tokens)):
        cache.update(states, -states, layer)
    return cache


def drawn(rows: int, tokens: int, *, seed: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, 2, tokens, 3, generator=generator) for _ in range(2))


@pytest.mark.parametrize("tokens", [2, 5, 9])
def test_it_grows_and_loses_rows_as_the_layers_of_transformers_do(tokens: int) -> None:
    usual = cache_of(1, tokens)
    roomy = with_room(usual, rows=4, tokens=12)
    usual.batch_repeat_interleave(4)
    left = 4
    for step, further in enumerate((3, 1, 1, 1, 2)):
        for layer, states in enumerate(drawn(left, further, seed=step)):
            for one, other in zip(
                usual.update(states, -states, layer), roomy.update(states, -states, layer), strict=True
            ):
                assert torch.equal(one, other)
            assert usual.get_mask_sizes(2, layer) == roomy.get_mask_sizes(2, layer)
            assert usual.get_seq_length(layer) == roomy.get_seq_length(layer)
        if step == 2:
            for cache in (usual, roomy):
                cache.batch_select_indices(torch.tensor([0, 3]))
            left = 2
    assert usual.is_sliding == roomy.is_sliding


def test_rows_of_their_own_stay_what_they_are() -> None:
    usual = cache_of(3, 4)
    roomy = with_room(usual, rows=3, tokens=1)
    (states, _) = drawn(3, 1, seed=0)
    assert torch.equal(roomy.update(states, states, 0)[0], usual.update(states, states, 0)[0])


def test_only_keys_and_values_can_be_handed_on() -> None:
    cache = cache_of(1, 2)
    assert holds_keys_and_values(cache)
    cache.layers.append(LinearAttentionLayer())
    assert not holds_keys_and_values(cache)
    assert not holds_keys_and_values(None)
