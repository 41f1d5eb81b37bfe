"""The checkpoints of a study and their item scores, looked up by what made them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chaintune.errors import DataError
from chaintune.forgetting.grouping import Grouping, grouping
from chaintune.forgetting.pairing import align
from chaintune.forgetting.units import SHARES, Unit
from chaintune.records import Chain, Checkpoint, CheckpointScores, MitigationRef, Scores, SeedVariance, chain_label
from chaintune.records.amounts import SHARE, is_share
from chaintune.stats.clusters import Floats


@dataclass(frozen=True, eq=False)
class Runs:
    """Item scores of every task under every checkpoint, on the same examples in the same order.

    A condition is a checkpoint but for its seed (`Checkpoint.of_every_seed`).

    Attributes:
        study: its name.
        units: of each task's item scores.
        items: values from 0, the worst, to 1, the best, by condition, seed and task.
        scores: the tables, sorted by example.
        groups: clusters and groups of each task's examples, on all its dimensions.
        mitigates: what a mitigated checkpoint is compared with; plain ones are absent.
        final: at which a chain of the study ends.
        missing: examples without a score, by condition, seed and task, where there are any; these are left out of the
            task under every checkpoint.
        every_item, every_group, every_scores: as `items`, `groups` and `scores` with the examples that were left out,
            of the tasks that have some; NaN where there is no score.
        costs: tokens and seconds of the last stage, by condition and seed.
        keys: of the weights, by condition and seed.
    """

    study: str
    units: Mapping[str, Unit]
    items: Mapping[tuple[Checkpoint, int, str], Floats]
    scores: Mapping[tuple[Checkpoint, int, str], Scores]
    groups: Mapping[str, Grouping]
    mitigates: Mapping[Checkpoint, tuple[MitigationRef, ...]]
    final: frozenset[Checkpoint]
    missing: Mapping[tuple[Checkpoint, int, str], int]
    every_item: Mapping[tuple[Checkpoint, int, str], Floats]
    every_group: Mapping[str, Grouping]
    every_scores: Mapping[tuple[Checkpoint, int, str], Scores]
    costs: Mapping[tuple[Checkpoint, int], tuple[float, float]]
    keys: Mapping[tuple[Checkpoint, int], str]

    @classmethod
    def of(
        cls,
        checkpoints: Sequence[CheckpointScores],
        *,
        study: str = "",
        level: float = 0.95,
        seed_variance: SeedVariance = "over_groups",
    ) -> "Runs":
        """Every checkpoint's scores, checked to be of the same examples.

        Args:
            checkpoints: what they scored.
            study: its name.
            level: of the intervals.
            seed_variance: between seeds, as of `summarise`.

        Raises:
            DataError: a checkpoint is given twice or without a seed, or two have different examples of a task, or
                other item metrics.
        """
        scores: dict[tuple[Checkpoint, int, str], Scores] = {}
        first: dict[str, Scores] = {}
        for one in checkpoints:
            condition, seed = _place(one.checkpoint)
            for task, table in one.scores.items():
                key = (condition, seed, task)
                if key in scores:
                    label = chain_label(condition.labels)
                    raise DataError(f"scores of task '{task}' under {label}, seed {seed}, given twice")
                known = first.setdefault(task, replace(table, table=table.table.sort_by("example_id")))
                if table.metric != known.metric:
                    raise DataError(f"task '{task}': scores by '{known.metric.name}' and by '{table.metric.name}'")
                scores[key] = align(known, table).after
        missing = {key: table.n_missing for key, table in scores.items() if table.n_missing}
        lacking = {task for _, _, task in missing}
        every = {key: table for key, table in scores.items() if key[2] in lacking}
        scores = _with_scores(scores, lacking)
        tasks = dict.fromkeys(task for _, _, task in scores)
        first = {task: next(table for key, table in scores.items() if key[2] == task) for task in tasks}
        items = {key: table.item_scores() for key, table in scores.items()}
        units = {
            task: Unit.of(table.metric, (values for key, values in items.items() if key[2] == task))
            for task, table in first.items()
        }
        return cls(
            study=study,
            units=units,
            items={key: units[key[2]].inward(values) for key, values in items.items()},
            scores=scores,
            groups=_grouped(first, level, seed_variance),
            mitigates={one.checkpoint.of_every_seed: one.mitigates for one in checkpoints if one.mitigates},
            final=frozenset(one.checkpoint.of_every_seed for one in checkpoints if one.final),
            missing=missing,
            every_item={
                key: units[key[2]].inward(table.item_scores()) for key, table in every.items() if key[2] in units
            },
            every_group=_grouped({key[2]: table for key, table in every.items()}, level, seed_variance),
            every_scores=every,
            costs={_place(one.checkpoint): (one.train_tokens, one.train_seconds) for one in checkpoints},
            keys={_place(one.checkpoint): one.checkpoint.key for one in checkpoints},
        )

    @property
    def conditions(self) -> list[Checkpoint]:
        """Every condition once, in the order given."""
        return list(dict.fromkeys(condition for condition, _, _ in self.items))

    def tasks(self, condition: Checkpoint) -> list[str]:
        """Tasks measured under a condition, in the order given."""
        return list(dict.fromkeys(task for known, _, task in self.items if known == condition))

    def seeds(self, conditions: Sequence[Checkpoint], task: str) -> list[int]:
        """Seeds under which all the conditions were measured on the task; a base counts for every seed."""
        tuned = [condition for condition in conditions if condition.chain] or list(conditions)
        if any(not self._base_places(c, task) for c in conditions if not c.chain):
            return []
        seeds = [{seed for known, seed, t in self.items if known == condition and t == task} for condition in tuned]
        return sorted(set.intersection(*seeds)) if seeds else []

    def values(self, condition: Checkpoint, seed: int, task: str) -> Floats:
        """Values of a task's examples. A base that was measured once stands for every seed and variant."""
        return self.items[self._key(condition, seed, task)]

    def every_stacked(self, conditions: Sequence[Checkpoint], seeds: Sequence[int], task: str) -> Floats:
        """As `stacked_each`, of all examples of a task of which some lack a score, NaN there. Shape: `[S, E]`."""
        return np.stack([self.every_item[self._key(*at, task)] for at in zip(conditions, seeds, strict=True)])

    def tables(self, conditions: Sequence[Checkpoint], seeds: Sequence[int], task: str) -> list[Scores]:
        """Scores of a task, one a seed, each of a condition of its own; those of a base stand for every seed."""
        return [self.scores[self._key(one, seed, task)] for one, seed in zip(conditions, seeds, strict=True)]

    def every_table(self, conditions: Sequence[Checkpoint], seeds: Sequence[int], task: str) -> list[Scores]:
        """As `tables`, of all examples of a task of which some lack a score."""
        return [self.every_scores[self._key(one, seed, task)] for one, seed in zip(conditions, seeds, strict=True)]

    def stacked(self, condition: Checkpoint, seeds: Sequence[int], task: str) -> Floats:
        """Item scores of a task, a row for each seed. Shape: `[S, E]`."""
        return self.stacked_each([condition] * len(seeds), seeds, task)

    def stacked_each(self, conditions: Sequence[Checkpoint], seeds: Sequence[int], task: str) -> Floats:
        """Item scores of a task, a row for each seed, which has a condition of its own. Shape: `[S, E]`."""
        return np.stack([self.values(one, seed, task) for one, seed in zip(conditions, seeds, strict=True)])

    def left_out(self, task: str) -> str:
        """How many examples lack a score under some checkpoint, and are in no number; empty where none does."""
        if task not in self.every_group:
            return ""
        n, complete = (int(groups[task].design.n[0]) for groups in (self.every_group, self.groups))
        return f"{n - complete} of {n} examples without a score under some checkpoint"

    def unit(self, task: str) -> Unit:
        """Of a task's item scores; of several tasks together, the one that they share."""
        return self.units[task] if task in self.units else self.common_unit(list(self.units)) or SHARES

    def common_unit(self, tasks: Sequence[str]) -> Unit | None:
        """The unit in which tasks score, as wide as the widest of them; None where they score in different ones.

        Tasks in one unit may have several item metrics: it is named after all of them, in the order of the tasks.
        """
        units = [self.units[task] for task in tasks]
        same = len({SHARE if is_share(unit.metric.unit) else unit.metric.unit for unit in units}) == 1
        if not same:
            return None
        widest, names = max(units, key=lambda unit: unit.width), dict.fromkeys(unit.metric.name for unit in units)
        return replace(widest, metric=replace(widest.metric, name=" and ".join(names)))

    def key(self, condition: Checkpoint, seed: int) -> str:
        """Address of the weights; empty where it is not known."""
        if (condition, seed) in self.keys or condition.chain:
            return self.keys.get((condition, seed), "")
        return next((key for (c, _), key in self.keys.items() if c.base == condition.base and not c.chain), "")

    def _key(self, condition: Checkpoint, seed: int, task: str) -> tuple[Checkpoint, int, str]:
        key = (condition, seed, task)
        return key if key in self.items or condition.chain else self._base_places(condition, task)[0]

    def _base_places(self, condition: Checkpoint, task: str) -> list[tuple[Checkpoint, int, str]]:
        bases = [key for key in self.items if key[0].base == condition.base and not key[0].chain and key[2] == task]
        return sorted(bases, key=lambda key: key[0].variant != condition.variant)


def trained_at(chain: Chain, task: str) -> Chain:
    """The part of the chain that ends with the task's last tuning before the chain's final step; empty if none."""
    ends = [stage for stage, step in enumerate(chain[:-1], start=1) if task in step.tasks]
    return chain[: ends[-1]] if ends else ()


def earlier_tasks(chain: Chain) -> list[str]:
    """Tasks that were tuned on before the final step and are not tuned on in it."""
    earlier = dict.fromkeys(task for step in chain[:-1] for task in step.tasks)
    return [task for task in earlier if task not in last_tasks(chain)]


def last_tasks(chain: Chain) -> list[str]:
    """Tasks that the final step teaches whole."""
    return list(dict.fromkeys(task for step in chain[-1:] for task in step.tasks))


def _grouped(tables: Mapping[str, Scores], level: float, seed_variance: SeedVariance) -> dict[str, Grouping]:
    """Clusters and groups of each task's examples, on all its dimensions."""
    groups = {task: grouping(table, table.dimensions, level=level) for task, table in tables.items()}
    return {task: one.seeds_apart() for task, one in groups.items()} if seed_variance == "separate" else groups


def _with_scores(
    scores: Mapping[tuple[Checkpoint, int, str], Scores], tasks: Collection[str]
) -> dict[tuple[Checkpoint, int, str], Scores]:
    """The scores, those of some tasks on the examples that have one under every checkpoint; no empty ones."""
    every: dict[str, pa.ChunkedArray] = {}
    for (_, _, task), table in scores.items():
        if task in tasks:
            valid = table.table.column("score").is_valid()
            every[task] = pc.and_(every[task], valid) if task in every else valid
    kept = {key: table.at(every[key[2]]) if key[2] in every else table for key, table in scores.items()}
    return {key: table for key, table in kept.items() if len(table) or key[2] not in every}


def _place(checkpoint: Checkpoint) -> tuple[Checkpoint, int]:
    if checkpoint.seed is None:
        raise DataError(f"scores under {chain_label(checkpoint.labels)}: the checkpoint has no seed")
    return checkpoint.of_every_seed, checkpoint.seed
