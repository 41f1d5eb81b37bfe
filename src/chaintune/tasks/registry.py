"""The names of tasks: built in, or offered by an installed package."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from chaintune.errors import DataError, nearest
from chaintune.tasks.definition import TaskDefinition

GROUP = "chaintune.tasks"
BUILT_IN: Mapping[str, str] = {
    "arc_challenge": "chaintune.tasks.arc:CHALLENGE",
    "arc_easy": "chaintune.tasks.arc:EASY",
    "bbq": "chaintune.tasks.bbq:TASK",
    "crows_pairs": "chaintune.tasks.crows_pairs:TASK",
    "csqa": "chaintune.tasks.csqa:TASK",
    "csqa2": "chaintune.tasks.csqa2:TASK",
    "openbookqa": "chaintune.tasks.openbookqa:TASK",
    "stereoset": "chaintune.tasks.stereoset:TASK",
    "toxigen": "chaintune.tasks.toxigen:TASK",
}


def names() -> tuple[str, ...]:
    """Every task that can be loaded by name, sorted."""
    return tuple(sorted({*BUILT_IN, *_offered()}))


def definition(name: str) -> TaskDefinition:
    """The definition of a task.

    Raises:
        DataError: no task has this name, or a package offers something else under it.
    """
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name].split(":")
        found = getattr(import_module(module), attribute)
    elif name in (offered := _offered()):
        found = offered[name].load()
    else:
        raise DataError(
            f"task '{name}' is not known; {nearest(name, names())}; a file of your own is a task by "
            "tasks.NAME.path=FILE in a study file or after --set of score and audit, in Python by "
            "chaintune.tasks.load(name, path=...)"
        )
    if not isinstance(found, TaskDefinition):
        raise DataError(f"task '{name}': its entry point gives a {type(found).__name__}, expected a TaskDefinition")
    return found


def is_offensive(name: str) -> bool:
    """Whether a task is known to be full of slurs or hate; False also where that is not stated."""
    return name in names() and definition(name).offensive


def _offered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
