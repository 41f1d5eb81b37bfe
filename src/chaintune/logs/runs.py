"""A run of a task by any harness, as rows of its examples -> a log."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.columns import columns_of
from chaintune.files.rows import Row, checked_text
from chaintune.logs.details import CHANCE, explain
from chaintune.logs.fields import Fields, scores_from_columns
from chaintune.logs.log import Log
from chaintune.logs.options import ReadOptions
from chaintune.records.examples import LABEL
from chaintune.records.margins import LOG_MARGIN

_DETAILS = ("answer", "outcome", CHANCE, LOG_MARGIN)
_DIGESTS = ("prompt", "target")
_TRIAL = "trial"
_LARGEST = 1e300


@dataclass(frozen=True)
class Run:
    """What one run of a task says of its examples.

    Attributes:
        task: its name.
        path: of the file or folder.
        rows: one an example, or one a trial of an example. Read of each are `id` and `score`; `trial`, which tells the
            trials of an example apart, so that they are averaged; `cluster`; `missing_reason`, where it has no score;
            `answer`, `outcome` and `label`, the right answer, which is kept where it is one of a few; `chance`,
            what guessing scores; `log_margin`, how far what is right lies ahead, in nats; and `digests.prompt` and
            `digests.target`. Every field may be a dimension.
        metric: what the score is called.
        range: the lowest and the highest score there can be; None where the run does not tell.
        less_is_better: whether a lower score is better.
        facts: what has to be the same on both sides.
        doubts: what speaks against comparing it with any other.
    """

    task: str
    path: Path
    rows: Sequence[Row]
    metric: str
    range: tuple[float, float] | None = None
    less_is_better: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


def log_of_run(run: Run, options: ReadOptions) -> Log:
    """The log of a run.

    Raises:
        DataError: it holds no rows, or one that cannot be read.
    """
    if not run.rows:
        raise DataError(f"{run.path}: holds no examples of task '{run.task}'")
    task = checked_text(run.task, f"{run.path}: the task's name")
    rows = averaged(run.rows, options.called("id"))
    names = dict.fromkeys(name for row in rows for name in row.columns())
    details = {name: name for name in _DETAILS if name in names}
    known = ([row.values.get(name) for row in rows] for name in ("score", LABEL, "answer"))
    details |= {LABEL: LABEL} if explain(*known) else {}
    cluster = options.cluster or options.columns.get("cluster") or ("cluster" if "cluster" in names else None)
    fields = Fields(
        id=options.called("id"),
        score="score",
        cluster=cluster,
        dimensions={dimension: options.called(dimension) for dimension in options.dimensions},
        digests={kind: f"digests.{kind}" for kind in _DIGESTS if f"digests.{kind}" in names},
        missing="missing_reason",
        details=details,
        scale=_scale(run, options),
        known=tuple(name for name in names if not name.startswith("digests")),
    )
    columns = columns_of(rows, fields.paths)
    scores, digests = scores_from_columns(columns, fields, task, str(run.path), metric=run.metric)
    return Log(scores, str(run.path), run.facts, digests, fields=fields.known, doubts=run.doubts)


def metric_of(candidates: Iterable[str], options: ReadOptions, where: Path, *, preferred: str = "") -> str:
    """The metric that the options name; else the preferred one where it is a candidate, or the only one.

    Raises:
        ConfigError: there is no such metric, or there are several and none was named.
    """
    names = list(dict.fromkeys(candidates))
    chosen = options.metric or options.columns.get("score")
    if chosen is not None and chosen not in names:
        raise ConfigError(f"{where}: there is no metric '{chosen}': {nearest(chosen, names)}")
    if chosen is None and preferred in names:
        return preferred
    if chosen is None and len(names) > 1:
        raise ConfigError(f"{where}: name the metric as --metric, there are several: {', '.join(names)}")
    if not names:
        raise DataError(f"{where}: no example has a score")
    return chosen or names[0]


def averaged(rows: Sequence[Row], id_field: str) -> list[Row]:
    """One row an example: the mean over its trials that have a score, and what else the first one says.

    Rows of one id that no trial tells apart are left as they are.
    """
    by_id: dict[Any, list[Row]] = {}
    for row in rows:
        name = row.get(id_field)
        by_id.setdefault(name if isinstance(name, str | int) else id(row), []).append(row)
    return [merged for trials in by_id.values() for merged in _merged(trials)]


def _merged(trials: list[Row]) -> list[Row]:
    numbers = {str(row.get(_TRIAL)) for row in trials}
    scores = [row.values.get("score") for row in trials]
    if len(trials) == 1 or len(numbers) < len(trials) or any(row.get(_TRIAL) is None for row in trials):
        return trials
    known = [score for score in scores if score is not None]
    if not known:
        return trials[:1]
    # What cannot be averaged is left for the message that refuses it.
    strange = [score for score in known if not isinstance(score, int | float) or not abs(score) <= _LARGEST]
    values = {name: value for name, value in trials[0].values.items() if name != "missing_reason"}
    score = strange[0] if strange else math.fsum(known) / len(known)
    return [replace(trials[0], values=values | {"score": score})]


def _scale(run: Run, options: ReadOptions) -> tuple[float, float]:
    if options.scale != (0.0, 1.0):
        return options.scale
    low, high = run.range or options.scale
    return (high, low) if run.less_is_better else (low, high)
