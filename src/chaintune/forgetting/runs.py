"""The checkpoints of a study and their item scores, found by what made them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chaintune.errors import DataError
from chaintune.forgetting.grouping import Grouping, grouping
from chaintune.forgetting.pairing import pair
from chaintune.records import Measured, MitigationRef, Scores
from chaintune.records.results import Taught
from chaintune.stats.clusters import Floats

Chain = tuple[str, ...]
Variant = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Condition:
    """A checkpoint but for its seed."""

    base: str
    chain: Chain
    variant: Variant

    def at(self, chain: Chain) -> "Condition":
        """The same base and variant after another chain."""
        return Condition(self.base, chain, self.variant)


@dataclass(frozen=True, eq=False)
class Runs:
    """Item scores of every task under every checkpoint, on the same examples in the same order.

    Attributes:
        items: by condition, seed and task.
        scores: the tables, sorted by example.
        groups: clusters and groups of each task's examples, on all its dimensions.
        mitigates: what a mitigated checkpoint is held against; plain ones are absent.
        costs: tokens and seconds of the last stage, by condition and seed.
        taught: tasks that each step teaches whole, by chain; of every chain measured.
    """

    items: Mapping[tuple[Condition, int, str], Floats]
    scores: Mapping[tuple[Condition, int, str], Scores]
    groups: Mapping[str, Grouping]
    mitigates: Mapping[Condition, tuple[MitigationRef, ...]]
    costs: Mapping[tuple[Condition, int], tuple[float, float]]
    taught: Mapping[Chain, Taught]

    @classmethod
    def of(cls, measured: Sequence[Measured]) -> "Runs":
        """Every checkpoint's scores, checked to be of the same examples.

        Raises:
            DataError: a checkpoint is given twice, or two have different examples of a task.
        """
        scores: dict[tuple[Condition, int, str], Scores] = {}
        first: dict[str, Scores] = {}
        for one in measured:
            condition = Condition(one.base, one.chain, one.variant)
            for task, found in one.scores.items():
                key = (condition, one.seed, task)
                if key in scores:
                    raise DataError(f"scores of task '{task}' under {named(one.chain)}, seed {one.seed}, given twice")
                known = first.setdefault(task, Scores(task, found.table.sort_by("example_id"), found.provenance))
                scores[key] = pair(known, found).after
        items = {key: found.item_scores() for key, found in scores.items()}
        conditions = [Condition(one.base, one.chain, one.variant) for one in measured]
        mitigates = {condition: one.mitigates for condition, one in zip(conditions, measured, strict=True)}
        costs = {
            (condition, one.seed): (one.train_tokens, one.train_seconds)
            for condition, one in zip(conditions, measured, strict=True)
        }
        groups = {task: grouping(found, found.dimensions) for task, found in first.items()}
        held = {c: found for c, found in mitigates.items() if found}
        return cls(items, scores, groups, held, costs, {one.chain: taught_of(one) for one in measured})

    @property
    def conditions(self) -> list[Condition]:
        """Every condition once, in the order given."""
        return list(dict.fromkeys(condition for condition, _, _ in self.items))

    def tasks(self, condition: Condition) -> list[str]:
        """Tasks measured under a condition, in the order given."""
        return list(dict.fromkeys(task for found, _, task in self.items if found == condition))

    def seeds(self, conditions: Sequence[Condition], task: str) -> list[int]:
        """Seeds under which all the conditions were measured on the task; a base counts for every seed."""
        tuned = [condition for condition in conditions if condition.chain] or list(conditions)
        if any(not self._base_keys(c, task) for c in conditions if not c.chain):
            return []
        found = [{seed for known, seed, t in self.items if known == condition and t == task} for condition in tuned]
        return sorted(set.intersection(*found)) if found else []

    def values(self, condition: Condition, seed: int, task: str) -> Floats:
        """Item scores of a task. A base that was measured once stands for every seed and variant."""
        key = (condition, seed, task)
        if key not in self.items and not condition.chain:
            key = self._base_keys(condition, task)[0]
        return self.items[key]

    def stacked(self, condition: Condition, seeds: Sequence[int], task: str) -> Floats:
        """Item scores of a task, a row for each seed. Shape: `[S, E]`."""
        return np.stack([self.values(condition, seed, task) for seed in seeds])

    def is_plain(self, chain: Chain) -> bool:
        """Whether every step of a chain is an ordinary stage on the whole of one task."""
        return self._taught(chain) == _plain(chain)

    def trained_at(self, chain: Chain, task: str) -> Chain:
        """The part of the chain that ends with the task's last tuning before the chain's final step; empty if none."""
        ends = [stage for stage, tasks in enumerate(self._taught(chain)[:-1], start=1) if task in tasks]
        return chain[: ends[-1]] if ends else ()

    def earlier_tasks(self, chain: Chain) -> list[str]:
        """Tasks that were tuned on before the final step and are not tuned on in it."""
        earlier = dict.fromkeys(task for tasks in self._taught(chain)[:-1] for task in tasks)
        return [task for task in earlier if task not in self.last_tasks(chain)]

    def last_tasks(self, chain: Chain) -> list[str]:
        """Tasks that the final step teaches whole."""
        return list(dict.fromkeys(task for tasks in self._taught(chain)[-1:] for task in tasks))

    def _taught(self, chain: Chain) -> Taught:
        # A chain of which nothing was measured is only ever a plain one that a mitigation is held against.
        return self.taught.get(chain, _plain(chain))

    def _base_keys(self, condition: Condition, task: str) -> list[tuple[Condition, int, str]]:
        bases = [key for key in self.items if key[0].base == condition.base and not key[0].chain and key[2] == task]
        return sorted(bases, key=lambda key: key[0].variant != condition.variant)


def named(chain: Chain) -> str:
    """A chain's name: its tasks in order, `base` when there are none."""
    return ">".join(chain) or "base"


def taught_of(one: Measured) -> Taught:
    """Tasks that each step of a checkpoint's chain teaches whole."""
    return _plain(one.chain) if one.taught is None else one.taught


def _plain(chain: Chain) -> Taught:
    return tuple((task,) for task in chain)
