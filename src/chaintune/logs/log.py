"""One log of one task."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from chaintune.errors import ConfigError, nearest
from chaintune.records import Scores

# What the one task of a log is called that names none.
UNNAMED = "items"

_LOG = logging.getLogger(__name__)

Digests: TypeAlias = "Mapping[str, pa.Array]"


@dataclass(frozen=True, eq=False)
class Log:
    """Scores of one task, and the facts that decide whether they may be compared with others.

    Attributes:
        scores: one row an example.
        where: the file they come from.
        facts: what has to be the same on both sides, by name: task version, few-shot examples.
        digests: what is known of each row of the scores, by name (`prompt`); null where nothing is.
        content: digest of all examples together; empty when not known.
        fields: names that a dimension could have had, for the message that one is not there.
        doubts: what speaks against comparing this log with any other, such as a run that did not end.
        further: the scores of the same examples by each metric that was named behind the first.
    """

    scores: Scores
    where: str
    facts: Mapping[str, str] = field(default_factory=dict)
    digests: Digests = field(default_factory=dict)
    content: str = ""
    fields: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    further: Mapping[str, Scores] = field(default_factory=dict)

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """Dimensions that at least one example bears."""
        return self.scores.dimensions

    def named(self, task: str) -> "Log":
        """The same log of a task by another name."""
        renamed = {name: _named(scores, task) for name, scores in self.further.items()}
        return replace(self, scores=_named(self.scores, task), further=renamed)


def _named(scores: Scores, task: str) -> Scores:
    table = scores.table
    names = pa.array([task] * len(table), pa.string())
    return replace(scores, task=task, table=table.set_column(table.schema.get_field_index("task"), "task", names))


def of_tasks(logs: Mapping[str, Log], tasks: Sequence[str], where: str) -> Mapping[str, Log]:
    """The logs of the named tasks; all of them when none is named.

    Raises:
        ConfigError: there is no log of a task.
    """
    for task in tasks:
        if task not in logs:
            raise ConfigError(f"{where}: there is no task '{task}': {nearest(task, logs)}")
    return {task: logs[task] for task in dict.fromkeys(tasks)} if tasks else logs


def of_finished_runs(runs: Sequence[tuple[Path, str, str]], where: Path) -> list[Path]:
    """The files of runs, without those that did not finish where one of the same task did; says which it leaves out.

    Args:
        runs: file, task, and how the run ended, empty where it finished.
        where: the folder.
    """
    finished = {task for _, task, ended in runs if not ended}
    for path, task, ended in runs:
        if ended and task in finished:
            _LOG.warning(
                "%s: task '%s' is read of the run that finished; left out is %s, which %s",
                where,
                task,
                path.relative_to(where),
                ended,
            )
    return [path for path, task, ended in runs if not ended or task not in finished]
