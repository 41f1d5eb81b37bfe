"""The order in which a stage reads its training examples, and which of them make a step."""

import math
import random
from collections.abc import Sequence
from itertools import pairwise

from chaintune.models.token_tree import common_beginning
from chaintune.tuning.mitigations.rehearse import swap_in

# Examples with a smaller share of their tokens in common do not profit from standing in one step.
_FAMILY_SHARE = 0.25


def training_order(
    texts: Sequence[tuple[int, ...]],
    *,
    batch_size: int,
    epochs: float,
    seed: int,
    replayed: int = 0,
    keep_together: bool = False,
) -> list[int]:
    """Indices in training order; each consecutive `batch_size` of them is one optimizer step.

    Every pass is shuffled anew. Within a step the examples are sorted by length, so that the
    micro-batches it is cut into need little padding while the step itself stays a random sample:
    grouping whole steps by length would order the examples by their content.

    Args:
        texts: tokens of each example.
        batch_size: examples a step.
        epochs: passes; a fraction is a part of the last one.
        seed: of the shuffles.
        replayed: how many examples, the last of all, stand in every pass in place of as many others, evenly spaced.
        keep_together: shuffle families of examples that begin alike and not single ones. A step is then no longer
            a random sample of examples.
    """
    rng = random.Random(seed)  # noqa: S311 - shuffling, not secrecy
    rows = len(texts) - replayed
    members = families(texts[:rows]) if keep_together else [[index] for index in range(rows)]
    order: list[int] = []
    while len(order) < math.ceil(epochs) * rows:
        order += swap_in(rng, _one_pass(rng, members), range(rows, len(texts)))
    order = order[: max(1, round(epochs * rows))]
    steps = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
    return [index for step in steps for index in sorted(step, key=lambda i: (len(texts[i]), i))]


def families(texts: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Indices of texts that share a good part of their beginning, beyond what all of them share.

    Example:
        >>> families([(9, 1, 1, 1), (9, 2, 2, 2), (9, 1, 1, 3), (9, 2, 2, 4)])
        [[0, 2], [1, 3]]
    """
    order = sorted(range(len(texts)), key=lambda index: (texts[index], index))
    common = common_beginning(texts[order[0]], texts[order[-1]]) if order else 0
    alike = [order[:1]] if order else []
    for before, after in pairwise(order):
        shared = common_beginning(texts[before], texts[after]) - common
        if shared >= _FAMILY_SHARE * (min(len(texts[before]), len(texts[after])) - common):
            alike[-1].append(after)
        else:
            alike.append([after])
    return alike


def _one_pass(rng: random.Random, members: Sequence[Sequence[int]]) -> list[int]:
    shuffled = [list(family) for family in members]
    rng.shuffle(shuffled)
    for family in shuffled:
        rng.shuffle(family)
    return [index for family in shuffled for index in family]
