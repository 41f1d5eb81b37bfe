"""Which examples are scored together: equal prefix lengths, so that nothing is padded before the answer."""

from collections import defaultdict
from collections.abc import Sequence

from chaintune.models.encoding import Encoded


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
        batches += cut(by_length[length], encoded, batch_tokens=batch_tokens, batch_answers=batch_answers)
    return batches


def cut(
    indices: Sequence[int], encoded: Sequence[Encoded], *, batch_tokens: int, batch_answers: int
) -> list[list[int]]:
    """Runs of examples of one prefix length, each as long as one batch may be, in the order given."""
    batches: list[list[int]] = []
    tokens = answers = 0
    for index in indices:
        example = encoded[index]
        tokens += held_tokens(example)
        answers += sum(map(len, example.continuations))
        if not batches or tokens > batch_tokens or answers > batch_answers:
            batches.append([])
            tokens, answers = held_tokens(example), sum(map(len, example.continuations))
        batches[-1].append(index)
    return batches


def held_tokens(example: Encoded) -> int:
    """Tokens that an example holds in memory: the cached prefix is repeated for every choice."""
    return example.longest_tokens * len(example.continuations)
