"""Tables and progress for people: rich on a terminal, plain text elsewhere."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table as RichTable
from rich.text import Text

from chaintune.report.tables import Table

if TYPE_CHECKING:
    from chaintune.study.plan import Plan
    from chaintune.study.progress import Event
    from chaintune.study.progress import Progress as NodeProgress

_SECONDS_BETWEEN_LINES = 30.0
_PLAIN_WIDTH = 118
_DONE = {"made": "done", "reused": "already there", "failed": "FAILED", "skipped": "skipped"}


def print_tables(tables: Sequence[Table], console: Console | None = None) -> None:
    """Print tables to stdout, one under the other."""
    console = console or Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    for table in tables:
        console.print(Text(table.title, style="bold"))
        console.print(_rich(table))
        if table.note:
            console.print(Text(table.note, style="dim"))
        console.print()


def duration(seconds: float) -> str:
    """A time span for people.

    Example:
        >>> duration(75), duration(3720)
        ('1m15s', '1h02m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _rich(table: Table) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in table.header:
        shown.add_column(Text(name), overflow="fold")
    for row in table.rows:
        # Text, not markup: the cells come from data.
        shown.add_row(*(Text(cell) for cell in row))
    return shown


class RunDisplay:
    """Shows on stderr what a run is doing: a bar on a terminal, else a line now and then.

    Use as a context manager; `note` takes the run's events.
    """

    def __init__(self, plan: "Plan") -> None:
        self._total = len(plan.nodes)
        self._ended = 0
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._last_line = 0.0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (TextColumn("{task.fields[count]}"), TextColumn("{task.description}"), BarColumn(bar_width=20))
            self._bar = Progress(*columns, TextColumn("{task.fields[rate]}"), console=self._console, transient=True)
            self._bar.add_task("starting", count="", rate="", total=1)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, event: "Event") -> None:
        """Show one event."""
        if event.kind == "start":
            self._began = time.monotonic()
            self._update(f"{_verb(event)} {event.node.title}", 0, 1, "")
        elif event.kind == "progress" and event.progress:
            self._progress(event.progress, event)
        elif event.kind in _DONE:
            self._ended += 1
            self._finish(event)

    def _count(self) -> str:
        return f"[{self._ended}/{self._total}]"

    def _progress(self, progress: "NodeProgress", event: "Event") -> None:
        unit = "tokens/s" if progress.unit == "steps" else "items/s"
        rate = f"{progress.rate:,.0f} {unit}, {duration(progress.seconds_left)} left"
        self._update(f"{_verb(event)} {event.node.title}", progress.done, progress.total, rate)
        if self._bar is None and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            done = f"{progress.done:.0f}/{progress.total:.0f} {progress.unit}"
            self._line(f"{self._count()} {_verb(event)} {event.node.title}: {done}, {rate}")

    def _update(self, what: str, done: float, total: float, rate: str) -> None:
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, description=what, completed=done, total=total, count=self._count(), rate=rate)

    def _finish(self, event: "Event") -> None:
        took = f", {duration(time.monotonic() - self._began)}" if event.kind == "made" else ""
        cause = f": {event.cause}" if event.cause else ""
        self._line(f"{self._count()} {event.node.kind} {event.node.title}: {_DONE[event.kind]}{took}{cause}")

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(Text(text), soft_wrap=True)


def _verb(event: "Event") -> str:
    return {"stage": "training", "score": "scoring"}.get(event.node.kind, "measuring")
