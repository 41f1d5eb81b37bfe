"""How far one model is from another, on the answers of examples: the Kullback-Leibler divergence of the next token."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import torch

from chaintune.models.encoding import check_lengths, errors_of
from chaintune.models.forward import logits_only_at
from chaintune.models.loading import LoadedModel
from chaintune.models.taught import encode_taught
from chaintune.models.token_tree import grow, last_nodes
from chaintune.models.tree_attention import logits_at, takes_trees, tree_attention
from chaintune.records import Example, Measurement
from chaintune.records.measurements import MEASUREMENT_SCHEMA
from chaintune.scoring.trees import Branch, bins

KL = "kl"
MEASURED = pa.schema(
    [*MEASUREMENT_SCHEMA, ("forward", pa.float64()), ("backward", pa.float64()), ("tokens", pa.int32())]
)
_BIN_TOKENS = 2048
# Two models' logits and their logarithms are held for each row.
_LOGITS = 2**25


def divergence(
    parent: LoadedModel,
    child: LoadedModel,
    examples: Sequence[Example],
    *,
    task: str,
    provenance: Mapping[str, str] | None = None,
    on_scored: Callable[[int], None] = lambda _: None,
) -> Measurement:
    """How far a model moved from its parent at each position that predicts a token of an answer, summed by example.

    The answers are those that a stage teaches, each in its context. Columns: `forward`, the sum of KL(parent ‖ child)
    in nats, large where the child no longer does what the parent did; `backward`, of KL(child ‖ parent), large where
    the child does what the parent did not; `tokens`, over how many positions they are summed. One is infinite where the
    second model rules out a token (its logit is -inf) that the first does not.

    Args:
        parent: before the stage.
        child: after it; both read the same tokens.
        examples: in any order.
        task: named in errors.
        provenance: what made it.
        on_scored: called with the number of examples done.

    Raises:
        DataError: an example is longer than the model's context, or cannot be read.

    Source:
        Shenfeld et al. 2025, RL's Razor (arXiv:2509.04259), measure the forward divergence on the new task as a
        predictor of forgetting.
    """
    ordered = sorted(examples, key=lambda example: example.id)
    with errors_of(task):
        turns = encode_taught(child.tokenizer, ordered)
    lengths = [max(turn.longest_tokens for turn in own) for own in turns]
    check_lengths(ordered, lengths, child.context_tokens, task=task)
    encoded = [turn for own in turns for turn in own]
    owners = [number for number, own in enumerate(turns) for _ in own]
    sums = torch.zeros((2, len(ordered)), dtype=torch.float64)
    models, left = (parent.model, child.model), [sum(len(turn.continuations) for turn in own) for own in turns]
    rows = max(1, _LOGITS // int(child.model.config.get_text_config().vocab_size))
    with torch.no_grad():
        trees = all(takes_trees(model, longest_tokens=max(lengths, default=1)) for model in models)
        read = _tree_logits if trees else _row_logits
        for branches in bins(encoded, bin_tokens=_BIN_TOKENS, bin_answers=rows):
            whose = torch.tensor([owners[branch.example] for branch in branches for _ in branch.predicted])
            before, after = (torch.log_softmax(read(model, branches).float(), dim=-1) for model in models)  # [N, V]
            for place, (p, q) in enumerate(((before, after), (after, before))):
                apart = _terms(p, q).sum(dim=-1).double().cpu()
                sums[place].index_add_(0, whose, apart)
            for branch in branches:
                left[owners[branch.example]] -= 1
            on_scored(left.count(0))
    tokens = [sum(len(answer) for turn in own for answer in turn.continuations) for own in turns]
    # Rounding may leave a divergence of 0 a hair below it.
    return Measurement.of(KL, MEASURED, ordered, [*sums.clamp(min=0).tolist(), tokens], provenance)


def _terms(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Each token's part of KL(p ‖ q), from logarithms: 0 of one that p rules out, infinite of one that q alone does."""
    weights = p.exp()
    return torch.where(weights > 0, weights * (p - q), 0.0)


def _tree_logits(model: Any, branches: Sequence[Branch]) -> torch.Tensor:
    """Logits that predict each token of each branch, in their order. Shape: `[N, V]`."""
    tree = grow([branch.read for branch in branches])
    nodes, places = last_nodes(tree, [len(branch.predicted) for branch in branches])
    with tree_attention(model):
        return logits_at(model, tree, nodes)[torch.tensor(places)]


def _row_logits(model: Any, branches: Sequence[Branch]) -> torch.Tensor:
    """The same of a model that cannot attend along a tree: one branch after another."""
    return torch.cat(list(_each(model, branches)))


def _each(model: Any, branches: Sequence[Branch]) -> Iterator[torch.Tensor]:
    for branch in branches:
        tokens = torch.tensor([branch.read], device=next(model.parameters()).device)
        last = torch.zeros_like(tokens, dtype=torch.bool)
        last[0, len(branch.read) - len(branch.predicted) :] = True
        with logits_only_at(model, last):
            yield model(input_ids=tokens, use_cache=False).logits.reshape(-1, model.config.get_text_config().vocab_size)
