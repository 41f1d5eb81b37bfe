"""How a task is measured, and the scores that its item metric makes of a measurement in the store."""

from pathlib import Path

from chaintune.errors import DataError
from chaintune.records import ItemMetric, Measurement, Scores, Task, scores_of
from chaintune.scoring.backends import BACKENDS
from chaintune.scoring.measures import MEASURES, Measure


def measure_of(task: Task) -> Measure:
    """The measure that the task names, else the first one that takes its examples.

    Raises:
        ConfigError: there is no such measure.
        DataError: no measure takes its examples.
    """
    if task.measure:
        return MEASURES.get(task.measure)
    first = next(iter((*task.test, *task.train)), None)
    for name in MEASURES.shipped:
        measure = MEASURES.get(name)
        if first is None or measure.takes(first.target):
            return measure
    raise DataError(f"task '{task.name}': no measure takes examples like '{first.id if first else ''}'; name a measure")


def check_measurable(task: Task, backend: str) -> None:
    """Refuse, before anything runs, a task that a backend cannot measure.

    Raises:
        ConfigError: the backend cannot compute what the measure needs, or the measure has no such item metric.
        DataError: the measure does not take the task's examples.
    """
    measure = measure_of(task)
    BACKENDS.get(backend).check(measure.needs, measure.name)
    measure.check(task.test, task.name)
    metric_of(task)


def metric_of(task: Task, usual: str = "") -> ItemMetric:
    """The item metric of a task's scores.

    Args:
        task: may name one.
        usual: where it names none, and its measure has this one.

    Raises:
        ConfigError: its measure has no such metric.
    """
    measure = measure_of(task)
    known = {metric.name for metric in measure.metrics}
    return measure.metric(task.metric or (usual if usual in known else ""))


def read_scores(path: Path, task: Task, *, split: str = "test", metric: str = "") -> Scores:
    """The scores of a measurement in a file.

    Args:
        path: that `Measurement.write` wrote.
        task: whose examples were asked.
        split: of its examples.
        metric: the usual item metric, for a task that names none.

    Raises:
        DataError: the file is no measurement of these examples.
    """
    examples, digest = (task.test, task.test_digest) if split == "test" else (task.train, task.train_digest)
    about = {"task_version": task.version, f"{split}_digest": digest}
    return scores_of(task.name, Measurement.read(path), examples, metric_of(task, metric), about)
