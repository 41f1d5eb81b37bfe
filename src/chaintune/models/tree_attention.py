"""A tree of tokens as one packed sequence through a model of transformers.

Positions are depths, and every token attends to its ancestors alone, so each branch is computed as if
it stood by itself. Because nodes come branch by branch, a block of consecutive queries needs the keys
of its first node's ancestors and of the block itself, and no others: attention costs in proportion to
depth and block size, not to the size of the tree, and no mask of tree size is ever built.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import AttentionInterface, DynamicCache

from chaintune.errors import ModelError
from chaintune.models.answer_logits import logits_only_at
from chaintune.models.token_tree import TokenTree

NAME = "chaintune_tree"
# Queries of one block. Fewer keys against more and smaller products; benchmarks/scoring.py was fastest with it.
_BLOCK = 32


@dataclass(slots=True)
class TreeLayout:
    """Which keys each block of queries sees.

    Attributes:
        nodes: of the tree.
        before: cached tokens in front of the tree, which every node sees.
        keys: indices of nodes for each block, filled up with 0.
        visible: which of them each query sees.
        depths: of the queries, how many tokens stand before each; of the keys likewise.

    Shape:
        keys and key_depths `[N, K]`, visible `[N, Q, K]`, depths `[N, Q]`: blocks x queries x keys of a block.
    """

    nodes: int
    before: int
    keys: torch.Tensor
    visible: torch.Tensor
    depths: torch.Tensor
    key_depths: torch.Tensor
    _masks: dict[Any, torch.Tensor] = field(default_factory=dict)

    def mask(self, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        """What to add to attention weights: 0 where a query sees a key, very little elsewhere. Shape: `[N, Q, K]`."""
        return self._mask(window, dtype, self.visible, self.key_depths)

    def mask_before(self, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        """The same for the cached tokens. Shape: `[N, Q, P]`."""
        depths = torch.arange(self.before, device=self.depths.device)[None]
        return self._mask(window, dtype, torch.ones_like(self.depths[..., None], dtype=torch.bool), depths)

    def _mask(
        self, window: int | None, dtype: torch.dtype, visible: torch.Tensor, key_depths: torch.Tensor
    ) -> torch.Tensor:
        wanted = (visible is self.visible, window, dtype)
        if wanted not in self._masks:
            near = self.depths[..., None] - key_depths[:, None] < (window or self.nodes + self.before)
            # The smallest number and not minus infinity: what lies beyond the tree's end sees nothing at all.
            hidden = torch.zeros(near.shape, dtype=dtype, device=near.device)
            self._masks[wanted] = hidden.masked_fill_(~(visible & near), torch.finfo(dtype).min)
        return self._masks[wanted]


_layout: ContextVar[TreeLayout] = ContextVar("layout")


def layout(tree: TokenTree, *, before: int = 0, device: torch.device | str = "cpu") -> TreeLayout:
    """Blocks of queries and what they see, for one tree.

    Args:
        tree: that is sent through a model.
        before: tokens in front of it whose keys and values are cached.
        device: where the model is.
    """
    starts = range(0, len(tree), _BLOCK)
    paths = [tree.path(int(tree.parents[start])) for start in starts]
    rows = [
        path + list(range(start, min(start + _BLOCK, len(tree)))) for path, start in zip(paths, starts, strict=True)
    ]
    # A multiple of 8, as the fused kernels of GPUs want their masks.
    width = -(-max(map(len, rows)) // 8) * 8
    keys = np.zeros((len(rows), width), np.int64)
    visible = np.zeros((len(rows), _BLOCK, width), np.bool_)
    for row, nodes, path, start, seen in zip(keys, rows, paths, starts, visible, strict=True):
        row[: len(nodes)] = nodes
        _see(seen, tree.parents[start : start + _BLOCK] - start, {node - start: k for k, node in enumerate(path)})
    depths = np.zeros((len(rows), _BLOCK), np.int64)
    depths.flat[: len(tree)] = tree.depths
    arrays = (keys, visible, depths, tree.depths[keys])
    return TreeLayout(len(tree), before, *(torch.from_numpy(array).to(device) for array in arrays))


def _see(seen: np.ndarray[Any, Any], parents: np.ndarray[Any, Any], before: dict[int, int]) -> None:
    """Fill in what the queries of one block see: what their parents see, and themselves."""
    for query, parent in enumerate(parents):
        if parent >= 0:
            seen[query] = seen[parent]
        elif parent in before:
            seen[query, : before[parent] + 1] = True
        seen[query, len(before) + query] = True


@contextmanager
def tree_attention(model: Any) -> Iterator[None]:
    """Within this context the model attends along trees; each forward pass must lie within `attending_to`."""
    base = _transformer(model)
    usual = base.config._attn_implementation
    base.set_attn_implementation(NAME)
    try:
        yield
    finally:
        base.set_attn_implementation(usual)


@contextmanager
def attending_to(tree: TreeLayout) -> Iterator[None]:
    """Within this context, forward passes under `tree_attention` are of this tree."""
    token = _layout.set(tree)
    try:
        yield
    finally:
        _layout.reset(token)


def forward_tree(model: Any, tree: TokenTree, *, cache: DynamicCache | None = None) -> torch.Tensor:
    """Logits of a tree's nodes; call it under `tree_attention`.

    Args:
        model: a causal language model of transformers, or a PEFT model around one.
        tree: at least one node.
        cache: keys and values of the tokens in front of the tree; left as it was.

    Shape:
        `[T, V]`, or what `logits_only_at` makes of it.
    """
    device = next(model.parameters()).device
    before = cache.get_seq_length() if cache is not None else 0
    inputs = torch.from_numpy(tree.tokens).to(device)[None]
    positions = torch.from_numpy(tree.depths).to(device)[None]
    with attending_to(layout(tree, before=before, device=device)):
        out = model(input_ids=inputs, position_ids=positions, past_key_values=cache, use_cache=cache is not None)
    if cache is not None:
        cache.crop(-len(tree))
    logits: torch.Tensor = out.logits
    return logits[0] if logits.dim() == 3 else logits


def logits_at(model: Any, tree: TokenTree, nodes: list[int], *, cache: DynamicCache | None = None) -> torch.Tensor:
    """Logits of some of a tree's nodes, ascending; call it under `tree_attention`. Shape: `[N, V]`."""
    chosen = torch.zeros((1, len(tree)), dtype=torch.bool, device=next(model.parameters()).device)
    chosen[0, nodes] = True
    with logits_only_at(model, chosen):
        return forward_tree(model, tree, cache=cache)


def takes_trees(model: Any) -> bool:
    """Whether a model's forward pass over a tree equals its passes over the branches.

    It must take its attention from transformers' interface, in all layers, and know positions from
    `position_ids` alone. Two short branches are compared to make sure.
    """
    base = _transformer(model)
    kinds = set(getattr(base.config.get_text_config(), "layer_types", None) or ())
    if not getattr(base, "_supports_attention_backend", False) or kinds - {"full_attention", "sliding_attention"}:
        return False
    probe = _probe(base.config.get_text_config().vocab_size)
    with torch.inference_mode():
        try:
            with tree_attention(model):
                got = forward_tree(model, probe).float()
        except (ModelError, TypeError, ValueError, RuntimeError):
            return False
        return _agrees(model, probe, got)


# Two branches of 24 tokens with 8 in common. The first tokens of a vocabulary are often special, and rounding
# is worst on them, so words from further on are taken.
_TRUNK, _LENGTH = 8, 24
_PARENTS = [*range(-1, _LENGTH - 1), _TRUNK - 1, *range(_LENGTH, 2 * _LENGTH - _TRUNK - 1)]
_DEPTHS = [*range(_LENGTH), *range(_TRUNK, _LENGTH)]


def _probe(vocabulary: int) -> TokenTree:
    tokens = np.random.default_rng(0).integers(vocabulary // 4, vocabulary, len(_PARENTS))
    return TokenTree(tokens, np.array(_PARENTS), np.array(_DEPTHS), np.array([_LENGTH - 1, len(_PARENTS) - 1]))


def _agrees(model: Any, probe: TokenTree, got: torch.Tensor) -> bool:
    """Whether the second branch came out as it does alone. Half of its positions must, as some are mostly rounding."""
    branch = probe.tokens[probe.path(int(probe.ends[1]))]
    alone = model(input_ids=torch.tensor(branch, device=got.device)[None], use_cache=False).logits[0].float()[_TRUNK:]
    off = (got[_LENGTH:] - alone).square().mean(dim=-1).sqrt() / alone.std(dim=-1)
    return bool(off.median() < (1e-3 if model.dtype == torch.float32 else 0.2))


def _transformer(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of transformers' interface, along the tree of `attending_to`.

    Shape:
        query `[1, H, T, D]`, key and value `[1, G, P + T, D]` -> `[1, T, H, D]`.
    """
    if others.get("s_aux") is not None or others.get("position_bias") is not None:
        raise ModelError(f"{type(module).__name__}: attention with sinks or biases cannot follow a tree")
    tree = _layout.get()
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if _is_fused(query.device) and not softcap and not tree.before:
        return _fused(tree, query[0], key[0], value[0], window=sliding_window, scale=scale, dropout=dropout), None
    out = _by_products(
        tree, query[0] * scale, key[0], value[0], window=sliding_window, softcap=softcap, dropout=dropout
    )
    return out, None


def _is_fused(device: torch.device) -> bool:
    """On a CPU plain products are faster than the fused kernel; benchmarks/scoring.py shows it for short branches."""
    return bool(device.type != "cpu")


def _by_products(
    tree: TreeLayout,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    window: int | None,
    softcap: float | None,
    dropout: float,
) -> torch.Tensor:
    """Plain matrix products: all queries of a block, and all heads that share keys, in one.

    Shape:
        query `[H, T, D]`, key and value `[G, P + T, D]` -> `[1, T, H, D]`.
    """
    groups, before, size = len(key), tree.before, query.shape[-1]
    rows = len(query) // groups * _BLOCK
    query = _blocks(tree, query).reshape(-1, groups, rows, size)  # [N, G, R, D]
    weights = query @ _gather(tree, key).transpose(2, 3)  # [N, G, R, K]
    mask = tree.mask(window, query.dtype)
    if before:
        # The cached tokens are the same for all blocks, so they are not gathered but multiplied where they lie.
        weights = torch.cat([query @ key[:, :before].transpose(1, 2), weights], dim=-1)
        mask = torch.cat([tree.mask_before(window, query.dtype), mask], dim=-1)
    if softcap:
        weights = softcap * torch.tanh(weights / softcap)
    weights.unflatten(2, (-1, _BLOCK)).add_(mask[:, None, None])
    shares = functional.dropout(torch.softmax(weights, dim=-1), dropout)
    out = shares[..., before:] @ _gather(tree, value)
    if before:
        out = out + shares[..., :before] @ value[:, :before]
    return _unblock(tree, out.unflatten(2, (-1, _BLOCK)).flatten(1, 2))


def _fused(
    tree: TreeLayout,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    window: int | None,
    scale: float,
    dropout: float,
) -> torch.Tensor:
    """The same through torch's fused kernels, which hold no weights in memory; shapes as in `_by_products`."""
    heads = len(query) // len(key)
    keys, values = (_gather(tree, tensor).repeat_interleave(heads, dim=1) for tensor in (key, value))
    mask = tree.mask(window, query.dtype)[:, None]
    out = functional.scaled_dot_product_attention(
        _blocks(tree, query), keys, values, attn_mask=mask, dropout_p=dropout, scale=scale
    )
    return _unblock(tree, out)


def _blocks(tree: TreeLayout, query: torch.Tensor) -> torch.Tensor:
    """Shape: `[H, T, D]` -> `[N, H, Q, D]`; the last block is filled up."""
    missing = len(tree.keys) * _BLOCK - tree.nodes
    return functional.pad(query, (0, 0, 0, missing)).unflatten(1, (-1, _BLOCK)).transpose(0, 1)


def _unblock(tree: TreeLayout, out: torch.Tensor) -> torch.Tensor:
    """Shape: `[N, H, Q, D]` -> `[1, T, H, D]`."""
    return out.transpose(1, 2).flatten(0, 1)[None, : tree.nodes].contiguous()


def _gather(tree: TreeLayout, tensor: torch.Tensor) -> torch.Tensor:
    """Shape: `[G, P + T, D]` -> `[N, G, K, D]`."""
    picked = tensor[:, tree.before :].index_select(1, tree.keys.flatten())
    return picked.unflatten(1, tree.keys.shape).transpose(0, 1)


AttentionInterface.register(NAME, _attend)
