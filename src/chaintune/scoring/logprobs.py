"""Log-probability of every choice; each prompt runs through the model once.

The prefix that all choices of an example share is computed once and its keys and values are kept; the
choices then continue from there, side by side. Prefixes of one batch have equal lengths and choices are
padded on the right, where causal attention cannot see the padding, so no attention mask is needed and
any causal architecture of transformers works.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from chaintune.models.answer_logits import logits_only_at
from chaintune.models.encoding import Encoded
from chaintune.scoring.batches import equal_prefix_batches

# Enough for the matrix products of a CPU and a small GPU; more only costs memory.
BATCH_TOKENS = 8192


def choice_logprobs(
    model: Any,
    encoded: Sequence[Encoded],
    *,
    batch_tokens: int = BATCH_TOKENS,
    on_scored: Callable[[int], None] = lambda _: None,
) -> list[list[float]]:
    """Natural-log probability of each choice given its prefix, in the order of `encoded`.

    The model's mode is restored; random state is not touched.

    Args:
        model: a causal language model of transformers, or a PEFT model around one.
        encoded: examples as token ids.
        batch_tokens: tokens that go through the model together.
        on_scored: called with the number of examples done after each batch.

    Shape:
        One row an example, one column a choice.
    """
    rows: list[list[float]] = [[] for _ in encoded]
    was_training = model.training
    model.eval()
    done = 0
    try:
        with torch.inference_mode():
            for batch in equal_prefix_batches(encoded, batch_tokens=batch_tokens):
                for index, row in zip(batch, _score_batch(model, [encoded[i] for i in batch]), strict=True):
                    rows[index] = row
                done += len(batch)
                on_scored(done)
    finally:
        model.train(was_training)
    return rows


def _score_batch(model: Any, batch: Sequence[Encoded]) -> list[list[float]]:
    device = next(model.parameters()).device
    prefixes = torch.tensor([example.prefix for example in batch], device=device)  # [B, P]
    last = torch.zeros_like(prefixes, dtype=torch.bool)
    last[:, -1] = True
    with logits_only_at(model, last):
        out = model(input_ids=prefixes, use_cache=True)
    first = _log_softmax(out.logits)  # [B, V]
    owners = [row for row, example in enumerate(batch) for _ in example.continuations]
    choices = [choice for example in batch for choice in example.continuations]
    starts = torch.tensor([choice[0] for choice in choices], device=device)
    sums = first[torch.tensor(owners, device=device), starts].double()  # [C]
    longer = [index for index, choice in enumerate(choices) if len(choice) > 1]
    if longer:
        out.past_key_values.batch_select_indices(torch.tensor([owners[i] for i in longer], device=device))
        sums[longer] += _continue(model, out.past_key_values, [choices[i] for i in longer])
    flat = iter(sums.tolist())
    return [[next(flat) for _ in example.continuations] for example in batch]


def _continue(model: Any, cache: Any, choices: Sequence[Sequence[int]]) -> torch.Tensor:
    """Summed log-probability of the tokens after the first of each choice; the cache holds the prefixes."""
    device = next(model.parameters()).device
    width = max(len(choice) for choice in choices) - 1
    inputs = torch.zeros((len(choices), width), dtype=torch.long, device=device)  # [C, T]
    predicted = torch.zeros((len(choices), width), dtype=torch.bool, device=device)
    for row, choice in enumerate(choices):
        inputs[row, : len(choice) - 1] = torch.tensor(choice[:-1], device=device)
        predicted[row, : len(choice) - 1] = True
    targets = torch.tensor([token for choice in choices for token in choice[1:]], device=device)
    with logits_only_at(model, predicted):
        logits = model(input_ids=inputs, past_key_values=cache, use_cache=True).logits  # [N, V]
    picked = _log_softmax(logits).gather(1, targets[:, None])[:, 0].double()
    owner = predicted.nonzero()[:, 0]
    return torch.zeros(len(choices), dtype=torch.float64, device=device).index_add_(0, owner, picked)


def _log_softmax(logits: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(logits.float(), dim=-1)
