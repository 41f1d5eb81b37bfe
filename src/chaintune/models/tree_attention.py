"""A tree of tokens as one packed sequence through a model of transformers.

Positions are depths, and every token attends to its ancestors alone, so each branch is computed as if
it stood by itself. Because nodes come branch by branch, a block of consecutive queries needs the keys
of its first node's ancestors and of the block itself, and no others: attention costs in proportion to
depth and block size, not to the size of the tree, and no mask of tree size is ever built.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import AttentionInterface, DynamicCache

from chaintune.errors import ModelError
from chaintune.models.forward import are_read_alike, logits_only_at
from chaintune.models.memory import is_out_of_memory
from chaintune.models.token_tree import TokenTree
from chaintune.models.tree_layout import BLOCK, Blocks, TreeLayout, layout

NAME = "chaintune_tree"

_layout: ContextVar[TreeLayout] = ContextVar("layout")
# Windows that attention was called with since the probe began; None outside it.
_windows: ContextVar[set[int] | None] = ContextVar("windows", default=None)


@dataclass(frozen=True, slots=True)
class _Rule:
    """How weights come from products: the scale, the window, Gemma's cap, and dropout in training."""

    scale: float
    window: int | None
    softcap: float | None
    dropout: float


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


def takes_trees(model: Any, *, longest_tokens: int | None = None) -> bool:
    """Whether a model's forward pass over a tree equals its passes over the branches.

    It must take its attention from transformers' interface, in all layers, with the window where there is one, and
    know positions from `position_ids` alone. Two short branches are compared to make sure.

    Args:
        model: a causal language model of transformers, or a PEFT model around one.
        longest_tokens: of the longest branch that trees will have; None is any.

    Raises:
        RuntimeError: out of memory, which says nothing about the model.
    """
    base = _transformer(model)
    config = base.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    if not getattr(base, "_supports_attention_backend", False) or kinds - {"full_attention", "sliding_attention"}:
        return False
    if not are_read_alike(base, (1, longest_tokens or sys.maxsize)):
        return False
    probe = _probe(config.vocab_size)
    with torch.no_grad(), _recorded_windows() as windows:
        try:
            with tree_attention(model):
                got = forward_tree(model, probe).float()
        except (ModelError, TypeError, ValueError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            return False
        # The branches are shorter than most windows, so they agree even where the model hides the past by a mask that
        # a tree does not get.
        if _has_window(config) and not windows:
            return False
        return _agrees(model, probe, got)


@contextmanager
def _recorded_windows() -> Iterator[set[int]]:
    windows: set[int] = set()
    token = _windows.set(windows)
    try:
        yield windows
    finally:
        _windows.reset(token)


def _has_window(config: Any) -> bool:
    """Whether some layer sees a part of the past only."""
    if not getattr(config, "sliding_window", None):
        return False
    kinds = getattr(config, "layer_types", None)
    return "sliding_attention" in kinds if kinds else getattr(config, "use_sliding_window", True) is not False


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
    computed = {model.dtype}

    def see(_module: torch.nn.Module, _inputs: tuple[torch.Tensor, ...], logits: torch.Tensor) -> None:
        # Autocast and FSDP compute fp32 weights in bf16, and may hand their results on in fp32.
        computed.add(logits.dtype)

    handle = model.get_output_embeddings().register_forward_hook(see)
    try:
        out = model(input_ids=torch.tensor(branch, device=got.device)[None], use_cache=False)
    finally:
        handle.remove()
    alone = out.logits[0].float()[_TRUNK:]
    off = (got[_LENGTH:] - alone).square().mean(dim=-1).sqrt() / alone.std(dim=-1)
    return bool(off.median() < (1e-3 if computed == {torch.float32} else 0.2))


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
    if sliding_window and (windows := _windows.get()) is not None:
        windows.add(sliding_window)
    tree = _layout.get()
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    queries = _in_blocks(query[0])
    attend = _fused if _is_fused(query.device) and not softcap and not tree.before else _by_products
    rule = _Rule(scale, sliding_window, softcap, dropout)
    parts = [
        attend(tree, blocks, queries[blocks.places], key[0], value[0], rule).transpose(1, 2).flatten(0, 1)
        for blocks in tree.groups
    ]
    return torch.cat(parts)[tree.rows][None], None


def _is_fused(device: torch.device) -> bool:
    """On a CPU plain products are faster than the fused kernel; benchmarks/scoring.py shows it for short branches."""
    return bool(device.type != "cpu")


def _in_blocks(query: torch.Tensor) -> torch.Tensor:
    """Shape: `[H, T, D]` -> `[N, H, Q, D]`; the last block is filled up."""
    return functional.pad(query, (0, 0, 0, -query.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK)).transpose(0, 1)


def _by_products(
    tree: TreeLayout, blocks: Blocks, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: _Rule
) -> torch.Tensor:
    """Plain matrix products: all queries of a block, and all heads that share keys, in one.

    Shape:
        query `[N, H, Q, D]`, key and value `[G, P + T, D]` -> `[N, H, Q, D]`.
    """
    groups, before = len(key), tree.before
    query = (query * rule.scale).unflatten(1, (groups, -1)).flatten(2, 3)  # [N, G, R, D]
    weights = query @ _gathered(key, tree, blocks).transpose(2, 3)  # [N, G, R, K]
    mask = blocks.mask(rule.window, query.dtype)
    if before:
        # The cached tokens are the same for all blocks, so they are not gathered but multiplied where they lie.
        weights = torch.cat([query @ key[:, :before].transpose(1, 2), weights], dim=-1)
        mask = torch.cat([blocks.mask_before(before, rule.window, query.dtype), mask], dim=-1)
    if rule.softcap:
        weights = rule.softcap * torch.tanh(weights / rule.softcap)
    weights.unflatten(2, (-1, BLOCK)).add_(mask[:, None, None])
    shares = functional.dropout(torch.softmax(weights, dim=-1), rule.dropout)
    out = shares[..., before:] @ _gathered(value, tree, blocks)
    if before:
        out = out + shares[..., :before] @ value[:, :before]
    return out.unflatten(2, (-1, BLOCK)).flatten(1, 2)


def _fused(
    tree: TreeLayout, blocks: Blocks, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: _Rule
) -> torch.Tensor:
    """The same through torch's fused kernels, which hold no weights in memory; shapes as in `_by_products`."""
    heads = query.shape[1] // len(key)
    keys, values = (_gathered(tensor, tree, blocks).repeat_interleave(heads, dim=1) for tensor in (key, value))
    mask = blocks.mask(rule.window, query.dtype)[:, None]
    return functional.scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, dropout_p=rule.dropout, scale=rule.scale
    )


def _gathered(tensor: torch.Tensor, tree: TreeLayout, blocks: Blocks) -> torch.Tensor:
    """Shape: `[G, P + T, D]` -> `[N, G, K, D]`."""
    picked = tensor[:, tree.before :].index_select(1, blocks.keys.flatten())
    return picked.unflatten(1, blocks.keys.shape).transpose(0, 1)


AttentionInterface.register(NAME, _attend)
