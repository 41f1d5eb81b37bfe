"""Several checkpoints, in order or as rivals: what was forgotten between them, and by whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from chaintune.records.audit import Compared
from chaintune.records.comparison import Comparison
from chaintune.records.gate import Gate
from chaintune.records.scores import Scores

Pair = tuple[str, str]


def series_pairs(names: Sequence[str], *, against_first: bool = False) -> list[Pair]:
    """The pairs that are compared: each checkpoint with the one before it, then each later one with the first.

    Args:
        names: of the checkpoints, in order.
        against_first: they are rivals: each with the first, and no other pair.

    Example:
        >>> series_pairs(["base", "sft", "dpo"])
        [('base', 'sft'), ('sft', 'dpo'), ('base', 'dpo')]
        >>> series_pairs(["base", "full", "lora"], against_first=True)
        [('base', 'full'), ('base', 'lora')]
    """
    first, *others = names
    if against_first:
        return [(first, name) for name in others]
    return [*pairwise(names), *((first, name) for name in others[1:])]


@dataclass(frozen=True, eq=False)
class Series(Compared):
    """Checkpoints in order, or rivals of one base, compared pair by pair.

    Attributes:
        comparisons: one a task and pair, each with `start` and `end`; see `series_pairs`.
        gate: what a policy says of them; None without one.
        scores: checkpoint -> task -> scores, of an audit.
    """

    comparisons: tuple[Comparison, ...]
    gate: Gate | None = None
    scores: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict)

    @property
    def pairs(self) -> list[Pair]:
        """The two checkpoints of each comparison, each pair once."""
        return list(dict.fromkeys((one.start, one.end) for one in self.comparisons))

    @property
    def names(self) -> list[str]:
        """The checkpoints in order."""
        depth = dict.fromkeys((name for pair in self.pairs for name in pair), 0)
        for _ in depth:  # as many times as a series is long at most
            for start, end in self.pairs:
                depth[end] = max(depth[end], depth[start] + 1)
        return sorted(depth, key=depth.__getitem__)

    @property
    def against_first(self) -> bool:
        """Whether they are rivals: each is compared with the first one only."""
        return len({start for start, _ in self.pairs}) == 1

    @property
    def steps(self) -> list[Pair]:
        """Each checkpoint with the one before it; of rivals each with the first one."""
        return [pair for pair in self.pairs if self.against_first or pair in self._neighbours]

    @property
    def whole(self) -> list[Pair]:
        """The first checkpoint with the last; of rivals each with the first one."""
        names = self.names
        return self.pairs if self.against_first else [(names[0], names[-1])]

    @property
    def tasks(self) -> list[str]:
        """The tasks that any pair has in common."""
        return list(dict.fromkeys(one.task for one in self.comparisons))

    def at(self, pairs: Sequence[Pair]) -> list[Comparison]:
        """The comparisons of some pairs, in the order of the pairs."""
        return [one for pair in pairs for one in self.comparisons if (one.start, one.end) == pair]

    @property
    def _neighbours(self) -> list[Pair]:
        names = self.names
        return list(pairwise(names))
