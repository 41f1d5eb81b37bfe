"""Suites: the `tasks:` part of a study file, shipped under a name or in a file of the user's own."""

from importlib import resources
from pathlib import Path
from typing import Any

from chaintune.config.source import Source, parse_source, read_source
from chaintune.errors import ConfigError, nearest
from chaintune.files.reading import user_path
from chaintune.study.schema import StudySpec, or_empty

_SHIPPED = resources.files("chaintune.study")
TASK_FILES = (".yaml", ".yml")
_EXPECTED = "a task file: a mapping with 'tasks'"


def suite_names() -> tuple[str, ...]:
    """Names of the shipped suites."""
    found = (Path(file.name) for file in _SHIPPED.iterdir())
    return tuple(sorted(file.stem for file in found if file.suffix == ".yaml"))


def suite_text(name: str) -> str:
    """The file of a shipped suite, as people copy and change it.

    Raises:
        ConfigError: there is no such suite.
    """
    if name not in suite_names():
        raise ConfigError(f"no suite is known as '{name}'; {nearest(name, suite_names())}")
    return _SHIPPED.joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def read_suite(named: str) -> Source:
    """The tasks of a suite, with the line of each key; of a study file's other keys those that say how tasks are asked.

    Args:
        named: a shipped suite, or a file: a study file, or one that has its `tasks` alone.

    Raises:
        ConfigError: there is neither, or it is no such file.
    """
    if named in suite_names():
        source = parse_source(suite_text(named), f"suite {named}", folder=Path(), expected=_EXPECTED)
    elif Path(named).suffix in TASK_FILES or user_path(named).exists():
        source = read_source(user_path(named), expected=_EXPECTED)
    else:
        raise ConfigError(f"no suite is known as '{named}', and there is no such file; {nearest(named, suite_names())}")
    known = StudySpec.model_fields
    for key in source.data.keys() - known.keys():
        source.report((key,), f"unknown key '{key}'; a file of tasks has the keys of a study file, and 'tasks' is read")
    tasks = or_empty(source.data.get("tasks"))
    if not isinstance(tasks, dict) or not tasks:
        source.report(("tasks",), f"expected {_EXPECTED.partition(': ')[2]}, each a name with its keys")
    source.stop_if_wrong()
    chat = {"chat": source.data["chat"]} if source.data.get("chat") is not None else {}
    kept: dict[str, Any] = {name: or_empty(task) for name, task in tasks.items()}
    kept = {name: {**chat, **task} if isinstance(task, dict) else task for name, task in kept.items()}
    overlap = {"allow_overlap": source.data["allow_overlap"]} if "allow_overlap" in source.data else {}
    source.data = {"tasks": kept, **overlap}
    return source
