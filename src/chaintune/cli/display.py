"""Tables and progress for people: rich on a terminal, plain text elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import zip_longest
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.text import Text

from chaintune.cli.amounts import doing, duration, rate_of
from chaintune.cli.output import echo, printing
from chaintune.errors import message, visible
from chaintune.report.cells import Table
from chaintune.report.layout import table_lines, text_lines

if TYPE_CHECKING:
    from chaintune.cli.live import LiveView
    from chaintune.execution.events import Event
    from chaintune.execution.events import Progress as NodeProgress
    from chaintune.plan.plan import Plan
    from chaintune.report.printed import TableChoice
    from chaintune.report.results import Results

_SECONDS_BETWEEN_LINES = 30.0
_PLAIN_WIDTH = 118
_DONE = {"made": "done", "reused": "already there", "failed": "FAILED", "skipped": "skipped"}


def print_tables(tables: Sequence[Table], console: Console | None = None) -> None:
    """Print tables to stdout, one under the other."""
    console = console or _stdout()
    with printing():
        for table, after in zip_longest(tables, tables[1:]):
            _print_text(console, table.title, "bold")
            for line in table_lines(table, console.width):
                console.print(Text(line), soft_wrap=True)
            if table.note and not (after and after.note == table.note):
                _print_text(console, table.note, "dim")
            console.print()


def _print_text(console: Console, text: str, style: str) -> None:
    for line in text_lines(visible(text), console.width):
        console.print(Text(line, style=style), soft_wrap=True)


def print_results(results: "Results", tables: "TableChoice", where: str = "") -> None:
    """Print the tables that are chosen and what they say: of a study the sentences last, of comparisons first."""
    from chaintune.report.gate import gate_sentence, gate_table  # load scipy, which a table alone does not need
    from chaintune.report.printed import printout

    for part in results.parts:
        shown = printout(part, tables)
        texts = [*shown.texts, *shown.closing]
        if part.comparisons:
            print_texts([*texts, shown.others_line(where)])
            if shown.tables:
                echo("")
        print_tables(shown.tables)
        if not part.comparisons:
            print_texts([shown.others_line(where), *texts])
    if results.gate:
        print_tables([gate_table(results.gate)])
        print_texts([gate_sentence(results.gate)])


def print_texts(texts: Iterable[str]) -> None:
    """Print paragraphs to stdout, an empty line between two: in lines of words on a terminal, else each as one line."""
    wide = _stdout().width if sys.stdout.isatty() else None
    shown = ["\n".join(text_lines(text, wide)) if wide else text for text in texts]
    if any(shown):
        echo("\n\n".join(filter(None, shown)))


def _stdout() -> Console:
    return Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)


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
