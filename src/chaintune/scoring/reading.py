"""How a task is measured, and the scores that its item metrics make of measurements in the store."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.records import (
    PREFERENCE_METRICS,
    Example,
    ItemMetric,
    Measurement,
    Scores,
    Task,
    canonical_digest,
    scores_of,
)
from chaintune.records.amounts import mismatch
from chaintune.records.choice import CHOICE, CHOICE_METRICS
from chaintune.records.margins import NO_VERDICT, SCALED_MARGIN
from chaintune.records.preference import DIFFERENCE, PREFERENCE
from chaintune.scoring.backends import BACKENDS
from chaintune.scoring.measures import MEASURES, Measure
from chaintune.scoring.scorers.metric import configured, metric_of

SCORES_FORMAT = 1


def measures_of(task: Task) -> tuple[Measure, ...]:
    """The measures that the task names, else the first one that takes its examples.

    Raises:
        ConfigError: there is no such measure.
        DataError: no measure takes its examples.
    """
    if task.measures:
        return tuple(measure_of(task, name) for name in task.measures)
    first = next(iter((*task.test, *task.train)), None)
    for name in MEASURES.shipped:
        measure = measure_of(task, name)
        if first is None or measure.takes(first.target):
            return (measure,)
    raise DataError(f"task '{task.name}': no measure takes examples like '{first.id if first else ''}'; name a measure")


def measure_of(task: Task, name: str) -> Measure:
    """The measure of a name as the task asks by it: of one that asks for texts, how they are written, and its scorers.

    Raises:
        ConfigError: there is no such measure.
    """
    measure = MEASURES.get(name)
    if not measure.generation:
        return measure
    scorers = tuple(metric_of(ref, task) for ref in task.scorers)
    return replace(measure, generation=task.generation, metrics=scorers)


def deciding_measure(task: Task) -> Measure:
    """How checkpoints are asked for the task's first item metric; of a scorer with a model, for texts.

    Raises:
        ConfigError, DataError: as `measures_of` and `metrics_of` have it.
    """
    measures, metric = {measure.name: measure for measure in measures_of(task)}, metrics_of(task)[0]
    return measures.get(metric.measure) or next(measure for measure in measures.values() if measure.generation)


def check_measurable(task: Task, backend: str) -> None:
    """Refuse, before anything runs, a task that a backend cannot measure.

    Raises:
        ConfigError: the backend cannot compute what a measure needs, or no measure has such an item metric.
        DataError: a measure does not take the task's examples.
    """
    for measure in measures_of(task):
        BACKENDS.get(backend).check(measure.needs, measure.name)
        measure.check(task.test, task.name)
        for ref in task.scorers if measure.generation else ():
            scorer, settings = configured(ref, f"task '{task.name}': ")
            scorer.check(task.test, settings, task.name)
    metrics_of(task)


def metrics_of(task: Task, usual: str = "") -> tuple[ItemMetric, ...]:
    """The item metrics of a task's scores, the deciding one first; each measure has at least one.

    Args:
        task: may name some; `auto` is balanced accuracy of a labelling task, else the first of its first measure.
        usual: where it names none, and this one suits it.

    Raises:
        ConfigError: its measures have no such metric, one is balanced over labels and the task has none, the first
            one decides nothing, two scorers have one name, or the task's margin is in another unit.
    """
    measures = measures_of(task)
    if any(measure.generation and not measure.metrics for measure in measures):
        raise ConfigError(
            f"task '{task.name}': texts that are written need a scorer to judge them, and none is named; write "
            "'scorer: refusal' where a model should refuse, 'scorer: {classifier: {model: ...}}' where it may write "
            "something toxic (scorers='refusal' in Python)"
        )
    _check_told_apart(task, measures)
    known = {metric.name: metric for measure in reversed(measures) for metric in measure.metrics}
    for name in task.metrics:
        if name not in ("auto", *known):
            own = " and ".join(f"'{measure.name}'" for measure in measures)
            raise ConfigError(f"task '{task.name}': metric '{name}' of measure {own}: {nearest(name, known)}")
        if name in known and known[name].average == "balanced" and not task.is_labelling:
            raise ConfigError(
                f"task '{task.name}': metric '{name}' is for labelling tasks, and its examples do not all offer the "
                "same texts; leave it out, or write 'labelling: true' where its answers are labels"
            )
    chosen = [_usual(measures[0], task) if name == "auto" else known[name] for name in task.metrics]
    for measure in measures:
        if all(metric.measure != measure.name for metric in chosen):
            if measure.generation:
                chosen += measure.metrics  # every scorer that the task names, in its order
                continue
            suits = [one.name for one in measure.metrics if task.is_labelling or one.average == "mean"]
            named = not task.metrics and usual in suits
            chosen.append(measure.metric(usual) if named else _usual(measure, task))
    if chosen[0].name == SCALED_MARGIN:
        raise ConfigError(f"task '{task.name}': metric '{SCALED_MARGIN}' {NO_VERDICT}")
    if task.margin is not None:
        if wrong := mismatch(task.margin, chosen[0].unit, chosen[0].name):
            raise ConfigError(f"task '{task.name}': margin {wrong}")
        chosen[0] = replace(chosen[0], margin=task.margin.value)
    averages = [one.average for one in chosen if one.measure == CHOICE and one.name != SCALED_MARGIN]
    return tuple(
        replace(one, average=averages[0]) if one.name == SCALED_MARGIN and averages else one
        for one in dict.fromkeys(chosen)
    )


def _check_told_apart(task: Task, measures: Sequence[Measure]) -> None:
    """Refuse scorers of one name, as results tell item metrics of a task apart by nothing else.

    Raises:
        ConfigError: there are some, or a scorer bears the name of an item metric that another measure has.
    """
    names = [one.name for measure in measures if not measure.generation for one in measure.metrics]
    for one in (one for measure in measures if measure.generation for one in dict.fromkeys(measure.metrics)):
        if one.name in names:
            raise ConfigError(
                f"task '{task.name}': two item metrics are called '{one.name}', and results tell them apart by name; "
                "name the function in one of the files otherwise, or give one of the scorers a task of its own"
            )
        names.append(one.name)


def with_second_lines(metrics: Sequence[ItemMetric]) -> tuple[ItemMetric, ...]:
    """The item metrics of a task, and behind them the scaled margin of choices and the difference of preferences."""
    beside: list[ItemMetric] = []
    if averages := [one.average for one in metrics if one.measure == CHOICE]:
        beside.append(replace(CHOICE_METRICS[SCALED_MARGIN], average=averages[0]))
    if any(one.measure == PREFERENCE for one in metrics):
        beside.append(PREFERENCE_METRICS[DIFFERENCE])
    names = {one.name for one in metrics}
    return (*metrics, *(one for one in beside if one.name not in names))


def _usual(measure: Measure, task: Task) -> ItemMetric:
    """The first item metric of a measure, or the first that is balanced where the task has labels."""
    balanced = [one for one in measure.metrics if one.average == "balanced" and task.is_labelling]
    return (*balanced, *measure.metrics)[0]


def scores_key(measurement_key: str, examples: Sequence[Example], metric: ItemMetric) -> str:
    """The address of scores: the measurement, what of the examples a metric or scorer reads, and the metric.

    Args:
        measurement_key: of the measurement that is read.
        examples: in any order.
        metric: that reads it.
    """
    rows = sorted((example.judged_content() for example in examples), key=lambda row: str(row["id"]))
    parts = {"format": SCORES_FORMAT, "kind": "scores", "measurement": measurement_key}
    return canonical_digest(parts | {"examples": rows, "metric": metric.content()})


def read_scores(
    path: Path, task: Task, *, split: str = "test", metric: ItemMetric | None = None, key: str = ""
) -> Scores:
    """The scores of a measurement in a file.

    Args:
        path: that `Measurement.write` wrote.
        task: whose examples were asked.
        split: of its examples.
        metric: that reads the measurement; None is the task's first.
        key: of the measurement, so that the scores keep their own.

    Raises:
        ConfigError: the metric reads another measure.
        DataError: the file is no measurement of these examples.
    """
    examples, digest = (task.test, task.test_digest) if split == "test" else (task.train, task.train_digest)
    metric = metric or metrics_of(task)[0]
    about = {"task_version": task.version, f"{split}_digest": digest}
    about |= {"scores_key": scores_key(key, examples, metric)} if key else {}
    return scores_of(task.name, Measurement.read(path), examples, metric, about)
