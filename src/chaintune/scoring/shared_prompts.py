"""Log-probability of every choice for models that cannot attend along a tree; each prompt runs through once.

The prefix that all choices of an example share is computed once and its keys and values are kept; the
choices then continue from there, side by side. Prefixes of one batch have equal lengths and choices are
padded on the right, where causal attention cannot see the padding, so no attention mask is needed and
any causal architecture of transformers works. Recurrent layers keep a state that cannot be handed to
several choices, and some models bring a cache of their own; those read the prefix again with each choice.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch

from chaintune.models.encoding import Encoded
from chaintune.models.forward import are_read_alike, logits_only_at
from chaintune.models.processes import SINGLE_PROCESS, Rank
from chaintune.models.roomy_cache import holds_keys_and_values
from chaintune.scoring.memory import Portions


def shared_prompt_logprobs(
    model: Any,
    encoded: Sequence[Encoded],
    *,
    batch_tokens: int,
    batch_answers: int,
    on_scored: Callable[[int], None] = lambda _: None,
    may_halve: bool = True,
    share: Rank = SINGLE_PROCESS,
) -> list[list[float]]:
    """Natural-log probability of each choice given its prefix, in the order of `encoded`.

    Args:
        model: any causal language model, in evaluation mode.
        encoded: examples as token ids.
        batch_tokens: tokens that go through the model together; fewer once memory has run out.
        batch_answers: rows of logits that are held together.
        on_scored: called with the number of examples done after each batch.
        may_halve: whether to retry with less at once when out of memory.
        share: which batches to compute; choices of the others get 0.

    Raises:
        ModelError: memory does not even suffice for one example.
    """
    rows = [[0.0] * len(example.continuations) for example in encoded]
    done = 0
    portions = Portions[int](
        type(model).__name__,
        batch_tokens,
        cut=lambda batch, tokens: _cut(batch, encoded, batch_tokens=tokens, batch_answers=batch_answers),
        weigh=lambda batch: sum(_held_tokens(encoded[index]) for index in batch),
        may_halve=may_halve,
    )
    batches = equal_prefix_batches(encoded, batch_tokens=batch_tokens, batch_answers=batch_answers)
    for whole in share.in_turn(batches):
        for batch, scored in portions.each(whole, lambda batch: _score_batch(model, [encoded[i] for i in batch])):
            for index, row in zip(batch, scored, strict=True):
                rows[index] = row
            done += len(batch)
            on_scored(done)
    return rows


def _score_batch(model: Any, batch: Sequence[Encoded]) -> list[list[float]]:
    if not are_read_alike(model, _read_lengths(batch)):
        return [_score_one_by_one(model, example) for example in batch]
    device = next(model.parameters()).device
    prefixes = torch.tensor([example.prefix for example in batch], device=device)  # [B, P]
    last = torch.zeros_like(prefixes, dtype=torch.bool)
    last[:, -1] = True
    with logits_only_at(model, last):
        out = model(input_ids=prefixes, use_cache=True)
    cache: Any = getattr(out, "past_key_values", None)
    if not holds_keys_and_values(cache):
        return [_score_whole(model, example) for example in batch]
    first = _log_softmax(out.logits)  # [B, V]
    owners = [row for row, example in enumerate(batch) for _ in example.continuations]
    choices = [choice for example in batch for choice in example.continuations]
    starts = torch.tensor([choice[0] for choice in choices], device=device)
    sums = first[torch.tensor(owners, device=device), starts].double()  # [C]
    longer = [index for index, choice in enumerate(choices) if len(choice) > 1]
    if longer:
        cache.batch_select_indices(torch.tensor([owners[i] for i in longer], device=device))
        sums[longer] += _predicted_sums(
            model, [choices[i] for i in longer], read=1, past_key_values=cache, use_cache=True
        )
    flat = iter(sums.tolist())
    return [[next(flat) for _ in example.continuations] for example in batch]


def _read_lengths(batch: Sequence[Encoded]) -> list[int]:
    """Tokens of what goes through the model: the prefixes, and each with all of a choice but its last token."""
    return [len(example.prefix) + len(rest) - 1 for example in batch for rest in ((0,), *example.continuations)]


def _score_one_by_one(model: Any, example: Encoded) -> list[float]:
    return [_score_whole(model, Encoded(example.prefix, (choice,)))[0] for choice in example.continuations]


def _score_whole(model: Any, example: Encoded) -> list[float]:
    texts = [example.prefix + choice for choice in example.continuations]
    sums: list[float] = _predicted_sums(model, texts, read=len(example.prefix), use_cache=False).tolist()
    return sums


def _predicted_sums(model: Any, texts: Sequence[Sequence[int]], *, read: int, **options: Any) -> torch.Tensor:
    """Summed log-probability of the tokens of each text that come after the first `read` ones. Shape: `[C]`."""
    device = next(model.parameters()).device
    width = max(len(text) for text in texts) - 1
    inputs = torch.zeros((len(texts), width), dtype=torch.long, device=device)  # [C, T]
    predicted = torch.zeros((len(texts), width), dtype=torch.bool, device=device)
    for row, text in enumerate(texts):
        inputs[row, : len(text) - 1] = torch.tensor(text[:-1], device=device)
        predicted[row, read - 1 : len(text) - 1] = True
    targets = torch.tensor([token for text in texts for token in text[read:]], device=device)
    with logits_only_at(model, predicted):
        logits = model(input_ids=inputs, **options).logits  # [N, V]
    picked = _log_softmax(logits).gather(1, targets[:, None])[:, 0].double()
    owner = predicted.nonzero()[:, 0]
    return torch.zeros(len(texts), dtype=torch.float64, device=device).index_add_(0, owner, picked)


def _log_softmax(logits: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(logits.float(), dim=-1)


def equal_prefix_batches(encoded: Sequence[Encoded], *, batch_tokens: int, batch_answers: int) -> list[list[int]]:
    """Indices of examples, batch by batch; within a batch all prefixes have one length.

    Longest first, so that a batch too large for memory fails at once and not at the end. The order
    depends on the examples alone, never on how they were stored.

    Args:
        encoded: examples, in an order the caller can reproduce.
        batch_tokens: prefix and continuation tokens of one batch together; a batch holds one example at least.
        batch_answers: predicted tokens of one batch together, each of which costs a row of logits.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, example in enumerate(encoded):
        by_length[len(example.prefix)].append(index)
    batches = []
    for length in sorted(by_length, reverse=True):
        batches += _cut(by_length[length], encoded, batch_tokens=batch_tokens, batch_answers=batch_answers)
    return batches


def _cut(
    indices: Sequence[int], encoded: Sequence[Encoded], *, batch_tokens: int, batch_answers: int
) -> list[list[int]]:
    """Runs of examples of one prefix length, each as long as one batch may be, in the order given."""
    batches: list[list[int]] = []
    tokens = answers = 0
    for index in indices:
        example = encoded[index]
        tokens += _held_tokens(example)
        answers += sum(map(len, example.continuations))
        if not batches or tokens > batch_tokens or answers > batch_answers:
            batches.append([])
            tokens, answers = _held_tokens(example), sum(map(len, example.continuations))
        batches[-1].append(index)
    return batches


def _held_tokens(example: Encoded) -> int:
    """Tokens that an example holds in memory: the cached prefix is repeated for every choice."""
    return example.longest_tokens * len(example.continuations)
