"""Where a task comes from: known by name, a file, a Hub data set, or lm-evaluation-harness."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, nearest
from chaintune.records import Role
from chaintune.tasks.definition import GENERATED, TaskData
from chaintune.tasks.free import read_free
from chaintune.tasks.hub_items import read_hub
from chaintune.tasks.items import check_unusable
from chaintune.tasks.lm_eval_items import PREFIX, read_lm_eval
from chaintune.tasks.local import read_local
from chaintune.tasks.registry import definition, names

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
KNOWN = "known"
Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskSource:
    """One way in which a task's data comes.

    Attributes:
        what: how messages call such a task.
        takes: the options that have a meaning here.
        read: the data of a task of this name, by these options.
        needs_role: whether the user must say what the task is for, even where it is only measured.
    """

    what: str
    takes: tuple[str, ...]
    read: Callable[[str, Options], TaskData]
    needs_role: bool


def source_kind(name: str, options: Options) -> str:
    """The key in `SOURCES` of the way in which a task comes; `known` also when there is no such task."""
    if name in names() or "use" in options:
        return KNOWN
    if "lm_eval" in options or name.startswith(PREFIX):
        return "lm_eval"
    if "free" in options:
        return "free"
    return "hub" if "hub" in options else "file" if {"path", "rows"} & options.keys() else KNOWN


def refusals(name: str, role: Role | None, options: Options, *, taught: bool) -> Iterator[tuple[str, str]]:
    """The options that do not go together, each with the reason.

    Args:
        name: of the task.
        role: of the task, if the user says one.
        options: those of `DataOptions` that are not None.
        taught: whether the task may be taught, which asks for a role of all data that has none of its own.
    """
    kind = source_kind(name, options)
    source = SOURCES[kind]
    if (used := options.get("use", name)) != name and name in names():
        yield "use", f"'{name}' is a known task itself; choose another name for what takes the data of '{used}'"
    elif kind == KNOWN and used not in names():
        yield "use", f"no task is known as '{used}'; {nearest(used, names())}"
    for option in options:
        if option not in source.takes:
            shape = kind == KNOWN
            what = f"{source.what} has a shape of its own and" if shape else source.what
            meant = "choose another name for data of yours" if shape else nearest(option, source.takes)
            yield option, f"{what} takes no '{option}'; {meant}"
    if role is None and (source.needs_role or taught) and kind not in (KNOWN, "free"):
        yield "role", f"{source.what} needs a role, 'safety' or 'capability'"


def read(name: str, role: Role | None, options: Options, *, generated: bool = False) -> TaskData:
    """The data of a task; where a model writes the answers, prompts alone will do.

    Raises:
        ConfigError: the options do not go together.
        DataError: no task has this name and no option says where its data is; it is missing or malformed.
    """
    kind = source_kind(name, options)
    if kind == KNOWN and "use" not in options:
        definition(name)
    for _, reason in refusals(name, role, options, taught=False):
        raise ConfigError(f"task '{name}': {reason}")
    check_unusable(options.get("unusable", "error"))
    if name not in names() and not NAME.fullmatch(name.removeprefix(PREFIX)):
        raise ConfigError(f"task name '{name}': begin with a letter or digit, then use letters, digits, '_', '.', '-'")
    return SOURCES[kind].read(name, {**options, GENERATED: generated})


def _read_known(name: str, options: Options) -> TaskData:
    known = definition(options.get("use", name))
    pool = known.read(Path(options["path"]) if "path" in options else None)
    # One place may hold more columns than another.
    borne = {dimension for example in (*pool.examples, *(pool.test or ())) for dimension in example.groups}
    return TaskData(
        pool=pool,
        version=known.version,
        dimensions=tuple(dimension for dimension in known.dimensions if dimension in borne),
        licence=known.licence,
        role=known.role,
        test_share=known.test_share,
        stratify_by=known.stratify_by,
        balance=known.balance,
        known=known.name,
        continued=known.continued,
        scorer=known.scorer,
        generation=known.generation,
    )


SOURCES: Mapping[str, TaskSource] = {
    KNOWN: TaskSource("a known task", ("path", "use", "unusable"), _read_known, needs_role=False),
    "file": TaskSource(
        "a file of your own", ("path", "rows", "test_path", "split", "columns", "unusable"), read_local, needs_role=True
    ),
    "hub": TaskSource("a Hub data set", ("hub", "config", "split", "columns", "unusable"), read_hub, needs_role=True),
    "lm_eval": TaskSource(
        "a task of lm-eval",
        ("lm_eval", "fewshot", "include_path", "columns", "unusable"),
        read_lm_eval,
        needs_role=False,
    ),
    "free": TaskSource("a task of conversations that a model begins", ("free",), read_free, needs_role=False),
}
