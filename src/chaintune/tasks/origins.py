"""Where a task comes from: known by name, a file, a Hub data set, or lm-evaluation-harness."""

import re
from collections.abc import Callable, Mapping
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
    """What a user may say about a task's data; None counts as not said.

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


Said = Mapping[str, Any]
Found = tuple[TaskDefinition, Pool]


@dataclass(frozen=True, slots=True)
class Origin:
    """One way in which a task's data comes.

    Attributes:
        what: how messages call such a task.
        takes: the options that have a meaning here.
        read: name, role and options -> the definition and the data.
        needs_role: whether the user must say what the task is for.
    """

    what: str
    takes: tuple[str, ...]
    read: Callable[[str, Role | None, Said], Found]
    needs_role: bool


def origin(name: str, options: Said) -> Origin:
    """Where the task of this name comes from.

    Args:
        name: of the task.
        options: those of `DataOptions` that are said.

    Raises:
        ConfigError: an option that has no meaning there.
        DataError: no task has this name, and no option says where its data is.
    """
    found = ORIGINS[which(name, options)]
    if found is ORIGINS["known"]:
        definition(name)
    for option in options:
        if option not in found.takes:
            raise ConfigError(_refusal(found, name, option))
    return found


def read(name: str, role: Role | None, options: Said) -> Found:
    """The definition and the data of a task.

    Raises:
        ConfigError: the options do not go together.
        DataError: the data is missing or malformed.
    """
    found = origin(name, options)
    if found is not ORIGINS["known"] and not NAME.fullmatch(name.removeprefix(PREFIX)):
        raise ConfigError(f"task name '{name}': begin with a letter or digit, then use letters, digits, '_', '.', '-'")
    if role is None and found.needs_role:
        raise ConfigError(f"task '{name}': {found.what} needs a role; write 'safety' or 'capability'")
    return found.read(name, role, options)


def which(name: str, options: Said) -> str:
    """The key in `ORIGINS` of the way in which a task comes; `known` also when there is no such task.

    Args:
        name: of the task.
        options: those of `DataOptions` that are said.
    """
    if name in names():
        return "known"
    if "lm_eval" in options or name.startswith(PREFIX):
        return "lm_eval"
    return "hub" if "hub" in options else "file" if "path" in options else "known"


def _refusal(found: Origin, name: str, option: str) -> str:
    if found is ORIGINS["known"]:
        return f"task '{name}' has a shape of its own, so it takes no {option}; choose another name for data of yours"
    return f"task '{name}': {found.what} takes no {option}; {nearest(option, found.takes)}"


def _known(name: str, _role: Role | None, options: Said) -> Found:
    found = definition(name)
    return found, found.read(Path(options["path"]) if "path" in options else None)


def _file(name: str, role: Role | None, options: Said) -> Found:
    test_path = options.get("test_path")
    tested = None if test_path is None else Path(test_path)
    pool, dimensions = read_local(Path(options["path"]), options.get("columns", {}), tested)
    return _defined(name, role, pool, VERSION, dimensions), pool


def _hub(name: str, role: Role | None, options: Said) -> Found:
    pool, dimensions, licence = read_hub(
        name,
        options["hub"],
        config=options.get("config"),
        split=options.get("split"),
        columns=options.get("columns", {}),
    )
    found = _defined(name, role, pool, HUB_VERSION, dimensions)
    return (replace(found, licence=licence) if licence else found), pool


def _lm_eval(name: str, role: Role | None, options: Said) -> Found:
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


ORIGINS: Mapping[str, Origin] = {
    "known": Origin("a known task", ("path",), _known, needs_role=False),
    "file": Origin("a file of your own", ("path", "test_path", "columns"), _file, needs_role=True),
    "hub": Origin("a Hub data set", ("hub", "config", "split", "columns"), _hub, needs_role=True),
    "lm_eval": Origin(
        "a task of lm-eval",
        ("lm_eval", "fewshot", "include_path", "columns"),
        _lm_eval,
        needs_role=False,
    ),
}
