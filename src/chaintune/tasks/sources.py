"""Where a task comes from: known by name, a file, a Hub data set, or lm-evaluation-harness."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from chaintune.errors import ConfigError, nearest
from chaintune.records import Role
from chaintune.tasks.definition import Pool, TaskDefinition
from chaintune.tasks.hub_items import VERSION as HUB_VERSION
from chaintune.tasks.hub_items import read_hub
from chaintune.tasks.lm_eval_items import PREFIX, read_lm_eval
from chaintune.tasks.local import VERSION, read_local
from chaintune.tasks.registry import definition, names

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class DataOptions(TypedDict, total=False):
    """Where a task's data is; None counts as not given.

    Attributes:
        path: of a file of your own, or of a known task's data in the shape that it is published in.
        test_path: of a file of your own with what is tested; `path` then holds what is taught.
        hub: a data set on the Hub, `owner/name`.
        config: its configuration.
        split: its split that is cut by cluster, or `train` and `test` -> split.
        columns: which column holds what; see `columns.resolve_columns`.
        lm_eval: a task of lm-evaluation-harness; a name that begins with `lm_eval:` says the same.
        fewshot: samples that lm-eval puts in front of each question.
        include_path: a folder with lm-eval task files of your own.
    """

    path: Path | str | None
    test_path: Path | str | None
    hub: str | None
    config: str | None
    split: str | Mapping[str, str] | None
    columns: Mapping[str, Any] | None
    lm_eval: str | None
    fewshot: int | None
    include_path: Path | str | None


Options = Mapping[str, Any]
TaskData = tuple[TaskDefinition, Pool]
KNOWN = "known"


@dataclass(frozen=True, slots=True)
class TaskSource:
    """One way in which a task's data comes.

    Attributes:
        what: how messages call such a task.
        takes: the options that have a meaning here.
        read: name, role and options -> the definition and the data.
        needs_role: whether the user must say what the task is for, even where it is only measured.
    """

    what: str
    takes: tuple[str, ...]
    read: Callable[[str, Role | None, Options], TaskData]
    needs_role: bool


def source_kind(name: str, options: Options) -> str:
    """The key in `SOURCES` of the way in which a task comes; `known` also when there is no such task.

    Args:
        name: of the task.
        options: those of `DataOptions` that are given.
    """
    if name in names():
        return KNOWN
    if "lm_eval" in options or name.startswith(PREFIX):
        return "lm_eval"
    return "hub" if "hub" in options else "file" if "path" in options else KNOWN


def refusals(name: str, role: Role | None, options: Options, *, taught: bool) -> Iterator[tuple[str, str]]:
    """The options that do not go together, each with the reason.

    Args:
        name: of the task.
        role: of the task, if the user says one.
        options: those of `DataOptions` that are given.
        taught: whether the task may be taught, which asks for a role of all data that has none of its own.
    """
    kind = source_kind(name, options)
    source = SOURCES[kind]
    for option in options:
        if option not in source.takes:
            shape = kind == KNOWN
            what = f"{source.what} has a shape of its own and" if shape else source.what
            meant = "choose another name for data of yours" if shape else nearest(option, source.takes)
            yield option, f"{what} takes no '{option}'; {meant}"
    if role is None and (source.needs_role or taught) and kind != KNOWN:
        yield "role", f"{source.what} needs a role, 'safety' or 'capability'"


def read(name: str, role: Role | None, options: Options) -> TaskData:
    """The definition and the data of a task.

    Raises:
        ConfigError: the options do not go together.
        DataError: no task has this name and no option says where its data is; it is missing or malformed.
    """
    kind = source_kind(name, options)
    if kind == KNOWN:
        definition(name)
    for _, reason in refusals(name, role, options, taught=False):
        raise ConfigError(f"task '{name}': {reason}")
    if kind != KNOWN and not NAME.fullmatch(name.removeprefix(PREFIX)):
        raise ConfigError(f"task name '{name}': begin with a letter or digit, then use letters, digits, '_', '.', '-'")
    return SOURCES[kind].read(name, role, options)


def _known(name: str, _role: Role | None, options: Options) -> TaskData:
    known = definition(name)
    return known, known.read(Path(options["path"]) if "path" in options else None)


def _file(name: str, role: Role | None, options: Options) -> TaskData:
    test_path = options.get("test_path")
    tested = None if test_path is None else Path(test_path)
    pool, dimensions = read_local(Path(options["path"]), options.get("columns", {}), tested)
    return _defined(name, role, pool, VERSION, dimensions), pool


def _hub(name: str, role: Role | None, options: Options) -> TaskData:
    pool, dimensions, licence = read_hub(
        name,
        options["hub"],
        config=options.get("config"),
        split=options.get("split"),
        columns=options.get("columns", {}),
    )
    found = _defined(name, role, pool, HUB_VERSION, dimensions)
    return (replace(found, licence=licence) if licence else found), pool


def _lm_eval(name: str, role: Role | None, options: Options) -> TaskData:
    include_path = options.get("include_path")
    pool, dimensions, version = read_lm_eval(
        options.get("lm_eval") or name.removeprefix(PREFIX),
        fewshot=options.get("fewshot"),
        include_path=None if include_path is None else Path(include_path),
        columns=options.get("columns", {}),
    )
    return _defined(name, role, pool, version, dimensions), pool


def _defined(name: str, role: Role | None, pool: Pool, version: str, dimensions: tuple[str, ...]) -> TaskDefinition:
    """The definition of a task that has none of its own; it is split by the groups of its first dimension."""
    return TaskDefinition(
        name=name,
        role=role or "capability",
        version=version,
        licence="not stated",
        dimensions=dimensions,
        read=lambda _: pool,
        stratify_by=dimensions[0] if dimensions else "",
    )


SOURCES: Mapping[str, TaskSource] = {
    KNOWN: TaskSource("a known task", ("path",), _known, needs_role=False),
    "file": TaskSource("a file of your own", ("path", "test_path", "columns"), _file, needs_role=True),
    "hub": TaskSource("a Hub data set", ("hub", "config", "split", "columns"), _hub, needs_role=True),
    "lm_eval": TaskSource(
        "a task of lm-eval",
        ("lm_eval", "fewshot", "include_path", "columns"),
        _lm_eval,
        needs_role=False,
    ),
}
