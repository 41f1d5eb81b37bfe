"""Tables and progress for people: rich on a terminal, plain text elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from chaintune.cli.amounts import doing, duration, rate_of
from chaintune.cli.output import printing
from chaintune.errors import message, visible
from chaintune.report.tables import Table

if TYPE_CHECKING:
    from chaintune.cli.live import LiveView
    from chaintune.execution.events import Event
    from chaintune.execution.events import Progress as NodeProgress
    from chaintune.plan.plan import Plan

_SECONDS_BETWEEN_LINES = 30.0
_PLAIN_WIDTH = 118
_LONGEST_WORD = 10
_DONE = {"made": "done", "reused": "already there", "failed": "FAILED", "skipped": "skipped"}


def print_tables(tables: Sequence[Table], console: Console | None = None) -> None:
    """Print tables to stdout, one under the other."""
    console = console or Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    with printing():
        for table in tables:
            console.print(Text(visible(table.title), style="bold"))
            console.print(_rich(table))
            if table.note:
                console.print(Text(visible(table.note), style="dim"))
            console.print()


def _rich(table: Table) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(table.header):
        # The numbers in a variant's name stay whole.
        words = (word for row in table.rows for word in row[place].split() if name == "variant" and "=" in word)
        least = min(max(map(len, words), default=0), _LONGEST_WORD) or None
        shown.add_column(_cell(name), overflow="fold", no_wrap=name == "verdict", min_width=least)
    for row in table.rows:
        shown.add_row(*map(_cell, row))
    return shown


def _cell(text: str) -> Text:
    """Text, not markup, as it comes from data; where a long one is folded, any two colons may begin a line."""
    return Text(visible(text).replace("::", "\\u003a:"))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows on stderr how many of something are done: always on a terminal, elsewhere a line now and then."""
    console, last = Console(stderr=True, highlight=False), time.monotonic()

    def line(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            with suppress(OSError):  # that nobody can see it is no reason to stop
                console.print(Text(f"{what}: {done:,} of {total:,}"), soft_wrap=True)

    if not console.is_terminal or console.is_dumb_terminal:
        yield line
        return
    with console.status(what) as status:
        yield lambda done, total: status.update(f"{what}: {done:,} of {total:,}")


class RunDisplay:
    """Shows on stderr what a run is doing: its graph on a terminal, else a line now and then.

    Use as a context manager; `note` takes the run's events.

    Args:
        plan: what is run.
        console: stderr, unless a test looks.
    """

    def __init__(self, plan: "Plan", console: Console | None = None) -> None:
        self._plan = plan
        self._ended = 0
        self._console = console or Console(stderr=True, highlight=False)
        self._live: LiveView | None = None
        self._last_line = 0.0
        self._began: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            from chaintune.cli.live import LiveView

            self._live = LiveView(self._console, self._plan)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, event: "Event") -> None:
        """Show one event."""
        if event.kind == "start":
            self._began[event.node.key] = time.monotonic()
        if self._live is not None:
            self._live.note(event)
        if event.kind == "progress" and event.progress:
            self._progress(event.progress, event)
        elif event.kind in _DONE:
            self._ended += 1
            # The graph shows the rest; a cause would not fit into it.
            if self._live is None or event.kind == "failed":
                self._finish(event)

    def _count(self) -> str:
        return f"[{self._ended}/{len(self._plan.nodes)}]"

    def _progress(self, progress: "NodeProgress", event: "Event") -> None:
        if self._live is None and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._line(f"{self._count()} {doing(event)} {event.node.title}: {rate_of(progress)}")

    def _finish(self, event: "Event") -> None:
        began = self._began.pop(event.node.key, None)
        took = f", {duration(time.monotonic() - began)}" if event.kind == "made" and began is not None else ""
        cause = f": {event.cause}" if event.cause else ""
        self._line(f"{self._count()} {event.node.kind} {event.node.title}: {_DONE[event.kind]}{took}{cause}")

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        with suppress(OSError):  # that nobody can see it is no reason to stop
            self._console.print(Text(message(text)), soft_wrap=True)
