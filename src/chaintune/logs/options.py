"""Options of a comparison: how logs are read, and how what they hold is compared."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from typing import Any, TypeAlias

from chaintune.arguments import check_argument
from chaintune.errors import ConfigError
from chaintune.forgetting.options import Inference
from chaintune.forgetting.pairing import OnMissing
from chaintune.records.amounts import USUAL_MARGIN
from chaintune.records.choice import BALANCED
from chaintune.records.crossing import joined, parts_of
from chaintune.records.results import MOST_RESAMPLES
from chaintune.stats import Adjustment, Reference

Crossing = tuple[str, str]
# One, or a list whose first decides, for all tasks or task -> either.
Metrics: TypeAlias = "str | Sequence[str] | Mapping[str, str | Sequence[str]] | None"
# Checkpoints that one is chosen of, and draws beyond the ends of an interval that these are read from.
_MOST = 1_000
_BEYOND = 10


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading a log.

    Attributes:
        dimensions: fields that hold an example's groups, dotted where they lie deeper (`doc.category`).
        columns: what a field is called in the log, where it has another name: `{"id": "qid"}`; `answer` compares a
            column `prediction` with it, `trial` tells several rows of one example apart, and `task` may be empty where
            no column names the task.
        cluster: the field that says which examples are not independent, dotted where it lies deeper.
        metric: which score, where a log has several.
        metrics: task -> which score, where it is another one.
        filter: whose answers, where a log holds those of several: a filter of lm-eval, for the tasks that have it, or
            a provider of promptfoo.
        tasks: the only ones to read; none for all.
        scale: the worst and the best score there can be, where they are not 0 and 1.
        reader: name of the reader; None to tell by the file.
        side: the column of a table that is one of two sides, as `FILE#COLUMN` names it; empty where the file is.
        further: task -> scores that stand beside the one that decides; the name of all other tasks is empty.

    Raises:
        ConfigError: an invalid value.
    """

    dimensions: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    cluster: str | None = None
    metric: str | None = None
    filter: str | None = None
    tasks: tuple[str, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)
    reader: str | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    side: str = ""
    further: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("cluster", "metric", "filter", "reader"):
            if not isinstance(getattr(self, name), str | None):
                raise ConfigError(f"{name} {getattr(self, name)!r}: expected a name")
        texts = [*self.columns.keys(), *self.columns.values()] if isinstance(self.columns, Mapping) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise ConfigError(
                f"columns {self.columns!r}: expected a mapping of field to column such as {{'id': 'qid'}}"
            )
        named = [*self.metrics.keys(), *self.metrics.values()]
        if not all(isinstance(text, str) and text for text in named):
            raise ConfigError(f"metric {self.metrics!r}: expected a name, or a mapping of task to name")
        _check_scale(self.scale)

    def called(self, name: str) -> str:
        """The name of a field in the log."""
        return self.columns.get(name, name)

    def metric_of(self, task: str) -> str | None:
        """Which score of a task is read; None where none is named."""
        return self.metrics.get(task, self.metric)

    def further_of(self, task: str) -> tuple[str, ...]:
        """Which other scores of a task stand beside that one."""
        return self.further.get(task, () if task in self.metrics else self.further.get("", ()))

    def of_task(self, task: str) -> "ReadOptions":
        """The options of reading one task."""
        return replace(self, metric=self.metric_of(task), metrics={})

    def wants(self, task: str) -> bool:
        """Whether a task is to be read."""
        return not self.tasks or task in self.tasks


@dataclass(frozen=True)
class CompareOptions:
    """Options of comparing two logs.

    Attributes:
        by: dimensions whose groups are compared, each of which some task has to have; `a x b` crosses two.
        also_by: the same of dimensions that no task need have, as those of a policy.
        on_missing: what becomes of examples and tasks that only one side has: `error`, `intersect` or `drop`; see
            `chaintune.compare`.
        force: compare what is not comparable, and say so in the result.
        read: how both logs are read.
        inference: how sure, and relative to what.
        chosen_of: how many checkpoints the later one, of a series the last and of rivals each, was chosen of by these
            very scores: the error rate is divided by it, so that the intervals hold for whichever was chosen.
        power: simulate comparisons like this one, to tell how often they show a loss of 5 and of 10 points.

    Raises:
        ConfigError: an empty name, or more than two dimensions are crossed.
    """

    by: tuple[str, ...] = ()
    also_by: tuple[str, ...] = ()
    on_missing: OnMissing = "error"
    force: bool = False
    read: ReadOptions = field(default_factory=ReadOptions)
    inference: Inference = field(default_factory=Inference)
    chosen_of: int = 1
    power: bool = False

    def __post_init__(self) -> None:
        check_argument("on_missing", self.on_missing, str)
        check_argument("force", self.force, bool)
        check_argument("power", self.power, bool)
        if isinstance(self.chosen_of, bool) or not isinstance(self.chosen_of, int) or not 1 <= self.chosen_of <= _MOST:
            raise ConfigError(f"chosen_of {self.chosen_of!r}: expected how many there were, from 1 to {_MOST:,}")
        for text in (*self.by, *self.also_by):
            parts_of(text)

    @property
    def plain(self) -> tuple[str, ...]:
        """Dimensions whose own groups are compared."""
        return tuple(dict.fromkeys(parts[0] for parts in self._parts if len(parts) == 1))

    @property
    def crossings(self) -> tuple[Crossing, ...]:
        """Pairs of dimensions whose groups are crossed."""
        return tuple(dict.fromkeys((parts[0], parts[1]) for parts in self._parts if len(parts) == 2))

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension that is read."""
        return tuple(dict.fromkeys([*self.plain, *(name for pair in self.crossings for name in pair)]))

    @property
    def required(self) -> frozenset[str]:
        """Dimensions that some task has to have."""
        return frozenset(name for text in self.by for name in parts_of(text))

    def judged(self, pairs: int = 1) -> Inference:
        """How sure pairs of checkpoints are compared, whichever the chosen one was chosen to be."""
        inference = replace(self.inference, pairs=pairs)
        if self.chosen_of == 1:
            return inference
        error_rate = (1 - inference.level) / self.chosen_of
        least = min(math.ceil(_BEYOND * pairs / error_rate), MOST_RESAMPLES)
        return replace(inference, level=1 - error_rate, resamples=max(inference.resamples, least))

    @cached_property
    def reading(self) -> ReadOptions:
        """The options of reading, with the dimensions; balanced accuracy is made of what was read."""
        metric = None if self.read.metric == BALANCED else self.read.metric
        return replace(self.read, dimensions=self.dimensions, metric=metric)

    @property
    def _parts(self) -> list[tuple[str, ...]]:
        return [parts_of(text) for text in (*self.by, *self.also_by)]


def compare_options(
    *,
    by: str | Sequence[str] = (),
    also_by: str | Sequence[str] = (),
    intersections: Sequence[Crossing] = (),
    reference: Reference = "overall",
    level: float = 0.95,
    margin: float | str = USUAL_MARGIN,
    adjust: Adjustment = "minp",
    resamples: int = 10_000,
    seed: int = 0,
    on_missing: OnMissing = "error",
    force: bool = False,
    chosen_of: int = 1,
    power: bool = False,
    task: str | Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    cluster: str | None = None,
    metric: Metrics = None,
    filter: str | None = None,  # noqa: A002 - as readers call it
    scale: tuple[float, float] = (0.0, 1.0),
    reader: str | None = None,
) -> CompareOptions:
    """The options that the keyword arguments of `chaintune.compare` name, checked.

    Raises:
        ConfigError: an invalid value.
    """
    by_task = metric if isinstance(metric, Mapping) else {} if metric is None else {"": metric}
    crossed = [joined(*pair) for pair in _pairs(intersections)]
    return CompareOptions(
        by=(*names_of("by", by), *crossed),
        also_by=names_of("also_by", also_by),
        on_missing=on_missing,
        force=force,
        chosen_of=chosen_of,
        power=power,
        read=ReadOptions(
            columns={} if columns is None else columns,
            cluster=cluster,
            filter=filter,
            tasks=() if task is None else names_of("task", task),
            scale=scale,
            reader=reader,
            **metric_options({task: names_of("metric", named) for task, named in by_task.items()}),
        ),
        inference=Inference(level, resamples, seed, adjust, reference, margin),
    )


def metric_options(metrics: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The options of reading for each task's metrics, the first of which decides; the empty name is all other tasks."""
    firsts = {task: names[0] for task, names in metrics.items() if names}
    further = {task: tuple(dict.fromkeys(names[1:])) for task, names in metrics.items()}
    further = {task: tuple(name for name in names if name != firsts[task]) for task, names in further.items() if names}
    return {"metric": firsts.pop("", None), "metrics": firsts, "further": further}


def names_of(option: str, value: Any) -> tuple[str, ...]:
    """One name or several, as several.

    Raises:
        ConfigError: it is neither.
    """
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{option} {value!r}: expected a name or a list of names")
    return tuple(names)


def _pairs(value: Any) -> list[Crossing]:
    listed = value if isinstance(value, list | tuple) else [value]
    pairs = [tuple(pair) if isinstance(pair, list | tuple) else () for pair in listed]
    if not all(len(pair) == 2 and all(isinstance(name, str) for name in pair) for pair in pairs):
        raise ConfigError(f"intersections {value!r}: expected pairs of dimensions such as [('category', 'polarity')]")
    return [(pair[0], pair[1]) for pair in pairs]


def _check_scale(scale: Any) -> None:
    ends = scale if isinstance(scale, list | tuple) and len(scale) == 2 else (None,)
    if not all(isinstance(end, Real) and not isinstance(end, bool) for end in ends):
        raise ConfigError(f"scale {scale!r}: expected two numbers, the worst and the best, such as (1, 5)")
    low, high = scale
    # An infinite end, or NaN, gives no finite length either.
    if not 0 < abs(high - low) < float("inf"):
        raise ConfigError(f"scale {low:g} to {high:g}: expected two different numbers, the worst and the best")
