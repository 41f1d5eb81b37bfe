"""A step of a chain that another program trains: a checkpoint that is there, or a command that makes one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chaintune.config.source import KeyPath, Source
from chaintune.config.validation import Spec, as_name, as_names, check, check_distinct
from chaintune.errors import nearest
from chaintune.store.manifest import is_plain

EXTERNAL = "external"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SHAPE = "{external: {path: FOLDER or HUB ID, task: NAME}} or {external: {command: TEXT, task: NAME}}"


class ExternalSpec(Spec):
    """The keys of `external`.

    Attributes:
        path: of a checkpoint that is there, a folder or a Hub id.
        command: that makes the checkpoint.
        task: that the stage teaches; left out where that is not known.
        name: of the stage in chains; left out, the task's.
        files: that the command reads.
        folder: where they lie; left out, the study file's.
    """

    path: Annotated[str, Field(min_length=1)] | None = None
    command: Annotated[str, Field(min_length=1)] | None = None
    task: Annotated[str, BeforeValidator(as_name)] | None = None
    name: Annotated[str, BeforeValidator(as_name)] | None = None
    files: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(as_names)] = Field(default_factory=list)
    folder: Annotated[str, Field(min_length=1)] | None = None


@dataclass(frozen=True, slots=True)
class ExternalStage:
    """A step of a chain that another program trains.

    Attributes:
        label: its name in chains.
        task: that it teaches, a name of the study's; empty where that is not known.
        path: of the checkpoint, a folder or a Hub id; empty where a command makes it.
        command: that makes the checkpoint; empty where there is one.
        files: that the command reads, by names that start at `folder`.
        folder: where they lie; empty where there is a path.
    """

    label: str
    task: str = ""
    path: str = ""
    command: str = ""
    files: tuple[str, ...] = ()
    folder: str = ""

    def to_mapping(self) -> dict[str, Any]:
        """As a step is written in a study file."""
        written: dict[str, Any] = {"path": self.path, "command": self.command, "task": self.task, "name": self.label}
        written |= {"files": list(self.files), "folder": self.folder}
        return {EXTERNAL: {key: value for key, value in written.items() if value}}


ChainItem = str | ExternalStage


def task_of(item: ChainItem) -> str:
    """The task that a step of a chain teaches; empty where it is not known."""
    return item if isinstance(item, str) else item.task


def label_of(item: ChainItem) -> str:
    """The name of a step in the chain's label."""
    return item if isinstance(item, str) else item.label


def read_external(value: Any, at: KeyPath, source: Source, tasks: Sequence[str]) -> ExternalStage | None:
    """The stage that a mapping in a chain describes; None, with the problems noted, where it describes none."""
    if not isinstance(value, dict) or list(value) != [EXTERNAL]:
        source.report(at, f"expected a task's name, or {_SHAPE}, got {value!r}")
        return None
    at = (*at, EXTERNAL)
    spec = check(ExternalSpec, value[EXTERNAL], at, source)
    if spec is None or not _is_sound(spec, at, source, tasks):
        return None
    label = spec.name or spec.task or EXTERNAL
    files = tuple(name.removeprefix("./") for name in spec.files)
    folder = "" if spec.path else spec.folder or "."
    return ExternalStage(label, spec.task or "", spec.path or "", spec.command or "", files, folder)


def _is_sound(spec: ExternalSpec, at: KeyPath, source: Source, tasks: Sequence[str]) -> bool:
    """Whether the keys go together; what does not is noted."""
    before = len(source.problems)
    if (spec.path is None) == (spec.command is None):
        got = "both" if spec.path else "neither"
        source.report(at, f"expected either 'path', of a checkpoint that is there, or 'command', got {got}")
    if spec.task is not None and spec.task not in tasks:
        source.report((*at, "task"), f"no task is named '{spec.task}'; {nearest(spec.task, tasks)}")
    if spec.name is not None and (not _LABEL.fullmatch(spec.name) or spec.name == "base"):
        source.report(
            (*at, "name"), f"{spec.name!r} cannot name a stage; use letters, digits, '-' and '_', and not 'base'"
        )
    if spec.path is not None and (spec.files or spec.folder):
        key = "files" if spec.files else "folder"
        source.report((*at, key), "says what a command reads; a checkpoint that is there is read whole")
    for index, name in enumerate(spec.files):
        if not is_plain(name.removeprefix("./")):
            source.report(
                (*at, "files", index),
                f"{name!r} leads outside the folder of the study file; name files below it, or set 'folder' to the one "
                "that they lie in",
            )
    check_distinct(spec.files, (*at, "files"), source)
    return len(source.problems) == before
