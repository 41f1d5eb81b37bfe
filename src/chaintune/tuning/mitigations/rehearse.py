"""Rehearse: rows of the stage that would forget are swapped for a dose of the task that would be forgotten.

Use when: the earlier data are at hand while the later task is taught. Rows are swapped, not added, so that the number
of steps, the schedule and the cost stay what they were, and a difference is not one of more training.

On your own Trainer: the data set is the new task's rows followed by the dose, and `_get_train_sampler` of a subclass
returns `RehearsalSampler(rows, dose_rows)`.

Source:
    Robins 1995, Catastrophic forgetting, rehearsal and pseudorehearsal; swapped and interleaved as here:
    Scialom et al. 2022 (arXiv:2205.12393).
"""

import random
from collections.abc import Iterator, Sequence

from chaintune.tuning.mitigations.mitigation import Mitigation
from chaintune.tuning.mitigations.specs import DoseSpec


class RehearseSpec(DoseSpec):
    """Swapped in for rows of the stages that would cause the loss."""


def interleave(rows: Sequence[int], others: Sequence[int]) -> list[int]:
    """The rows with as many of them as there are others swapped for these, at even distances.

    Example:
        >>> interleave([0, 1, 2, 3, 4, 5], [8, 9])
        [0, 8, 2, 3, 9, 5]
    """
    mixed = list(rows)
    for turn, other in enumerate(others):
        mixed[(2 * turn + 1) * len(rows) // (2 * len(others))] = other
    return mixed


class RehearsalSampler:
    """Indices of one pass after another: the first rows shuffled, the last ones swapped in at even distances.

    A sampler for torch's data loaders, which take whatever can be iterated and has a length.

    Args:
        rows: of the new task, the indices from 0.
        dose_rows: of the earlier task, the indices that follow.
        seed: of the shuffles; every pass is shuffled anew.
    """

    def __init__(self, rows: int, dose_rows: int, *, seed: int = 0) -> None:
        if not 0 <= dose_rows <= rows:
            raise ValueError(f"dose_rows: expected 0 to {rows}, as many as there are rows to swap, got {dose_rows}")
        self._rows, self._dose_rows = rows, dose_rows
        self._rng = random.Random(seed)  # noqa: S311 - shuffling, not secrecy

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[int]:
        return iter(one_pass(self._rng, self._rows, self._dose_rows))


def one_pass(rng: random.Random, rows: int, dose_rows: int) -> list[int]:
    """One shuffled pass over `rows` indices, with the `dose_rows` that follow them swapped in."""
    order = list(range(rows))
    rng.shuffle(order)
    return swap_in(rng, order, range(rows, rows + dose_rows))


def swap_in(rng: random.Random, order: list[int], others: Sequence[int]) -> list[int]:
    """An order with others, shuffled, in place of as many of its indices."""
    if not others:
        return order
    return interleave(order, rng.sample(others, len(others)))


MITIGATION = Mitigation(spec=RehearseSpec, place="later stages", own_trainer="RehearsalSampler")
