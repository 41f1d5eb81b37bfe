"""What a study file says about a task's data: whether it goes together, before anything is read; then the data."""

from chaintune import tasks
from chaintune.config.source import KeyPath, Source
from chaintune.errors import nearest
from chaintune.records import Task
from chaintune.scoring.measures import MEASURES
from chaintune.study.schema import TaskSpec
from chaintune.tasks.registry import names as known_tasks
from chaintune.tasks.sources import KNOWN, refusals, source_kind

ELSEWHERE = "a 'hub' data set or an 'lm_eval' task"


def check_data(spec: TaskSpec, name: str, source: Source) -> None:
    """Note the options that do not go together, each under its own key."""
    at: KeyPath = ("tasks", name)
    options, known = spec.data(), known_tasks()
    _check_measure(spec, at, source)
    if source_kind(name, options) == KNOWN and name not in known:
        meant = nearest(name, known)
        source.report(at, f"no task is known as '{name}' and no 'path' is given; {meant}; or name {ELSEWHERE}")
        return
    for key, reason in refusals(name, spec.role, options, taught=True):
        source.report((*at, key), reason)


def _check_measure(spec: TaskSpec, at: KeyPath, source: Source) -> None:
    """Note a measure that does not exist, and an item metric that it, or where none is named no measure, has."""
    if spec.measure and spec.measure not in MEASURES.names:
        meant = nearest(spec.measure, MEASURES.names)
        source.report((*at, "measure"), f"no measure is known as '{spec.measure}'; {meant}")
        return
    possible = [spec.measure] if spec.measure else MEASURES.names
    known = [metric.name for name in possible for metric in MEASURES.get(name).metrics]
    if spec.metric not in ("", "auto", *known):
        source.report((*at, "metric"), f"no metric is known as '{spec.metric}'; {nearest(spec.metric, known)}")


def load_spec(name: str, spec: TaskSpec) -> Task:
    """The task that a study file describes.

    Raises:
        DataError: its data cannot be loaded.
    """
    return tasks.load(
        name,
        role=spec.role,
        train=spec.train,
        test=spec.test,
        seed=spec.seed,
        test_share=spec.test_share,
        measure=spec.measure,
        metric=spec.metric,
        **spec.data(),
    )
