"""The live view of a run on a terminal: its graph with states, what runs now, its rate and the time left."""

import math
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from chaintune.cli.amounts import doing, duration, rate_of
from chaintune.cli.graph import GraphRow, RunGraph, State, folded
from chaintune.errors import visible
from chaintune.execution.eta import Eta

if TYPE_CHECKING:
    from chaintune.execution.events import Event
    from chaintune.plan.plan import Plan

# The mark and the word say it; colour only repeats it.
_MARKS: dict[State, str] = {
    "waiting": "·", "running": "▶", "done": "✓", "from store": "=", "failed": "✗", "skipped": "-",
}  # fmt: skip
_STYLES: dict[State, str] = {
    "running": "bold cyan", "done": "green", "from store": "dim", "failed": "bold red", "skipped": "yellow",
}  # fmt: skip
_PLAIN = str.maketrans("·▶✓✗└├─│█░…", ".>+x`|-|#..")
_STATE_WIDTH, _SCORED_WIDTH, _BAR_WIDTH = 12, 7, 20
_MOST_LINES = 4
_OTHER_LINES, _USUAL_FOOT = 3, 2
_FEWEST_ROWS = 3


class LiveView:
    """Draws a run anew several times a second; `note` takes its events.

    Args:
        console: a terminal.
        plan: what is run.
    """

    def __init__(self, console: Console, plan: "Plan") -> None:
        self._console, self._name = console, plan.study
        self._total = len(plan.nodes)
        self._graph = RunGraph(plan)
        self._eta = Eta(plan.nodes)
        self._now: dict[str, Event] = {}
        self._began = time.monotonic()
        self._live = Live(get_renderable=self.render, console=console, refresh_per_second=4)

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def stop(self) -> None:
        """Draw once more, and leave that on the screen."""
        self._now.clear()
        self._live.stop()

    def note(self, event: "Event") -> None:
        """Take up one event of the run."""
        self._graph.note(event)
        self._eta.note(event)
        if event.kind in {"start", "progress"}:
            self._now[event.node.key] = event
        elif event.kind != "dropped":
            self._now.pop(event.node.key, None)

    def render(self) -> Group:
        """Everything as it stands now, in as many lines as the terminal has."""
        width, room = self._console.width, self._console.height - _OTHER_LINES
        foot = self._foot(width, room - _FEWEST_ROWS)
        height = max(room - max(len(foot), _USUAL_FOOT), _FEWEST_ROWS)
        lines = [self._head(), _cells("  checkpoint", "state", "scored", width, "dim")]
        lines += [_line(row, width) for row in folded(self._graph.rows(), height)]
        lines += foot
        ascii_only = self._console.options.ascii_only
        for line in lines:
            shown = visible(line.plain.replace("\n", " "))
            line.plain = shown.translate(_PLAIN) if ascii_only else shown
            line.truncate(width)
            line.no_wrap = True
        return Group(*lines)

    def _head(self) -> Text:
        ended = self._total - self._graph.count("waiting", "running")
        parts = [f"{self._name}: {ended} of {self._total} done", duration(time.monotonic() - self._began)]
        left = self._eta.seconds_left()
        if left is not None and ended < self._total:
            parts.append(f"about {duration(left)} left")
        failed = self._graph.count("failed")
        return Text(", ".join([*parts, *([f"{failed} failed"] if failed else [])]), style="bold")

    def _foot(self, width: int, height: int) -> list[Text]:
        """The running nodes: one in two lines; of several, a line each."""
        if len(self._now) > 1:
            return self._many(width, height)
        lines: list[Text] = []
        for event in self._now.values():
            lines.append(Text(f"{doing(event)} {event.node.title}"))
            lines[0].truncate(width, overflow="ellipsis")
            progress = event.progress
            if progress and progress.total > 0:
                share = min(progress.done / progress.total, 1.0)
                full = math.floor(share * _BAR_WIDTH)
                bar = "█" * full + "░" * (_BAR_WIDTH - full)
                lines.append(Text(f"{bar} {100 * share:.0f} %  {rate_of(progress)}"))
        return lines

    def _many(self, width: int, height: int) -> list[Text]:
        lines = []
        for event in list(self._now.values())[: max(min(_MOST_LINES, height - 1), 1)]:
            progress = event.progress
            share = min(progress.done / progress.total, 1.0) if progress and progress.total else 0.0
            lines.append(Text(f"{100 * share:3.0f} %  {doing(event)} {event.node.title}"))
            lines[-1].truncate(width, overflow="ellipsis")
        more = len(self._now) - len(lines)
        return [*lines, *([Text(f"       and {more} more")] if more else [])]


def _line(row: GraphRow | str, width: int) -> Text:
    if isinstance(row, str):
        return Text(f"  … {row}", style="dim")
    scored = f"{row.measured}/{row.measures}" if row.measures else ""
    return _cells(f"{_MARKS[row.state]} {row.tree}{row.label}", row.state, scored, width, _STYLES.get(row.state, ""))


def _cells(name: str, state: str, scored: str, width: int, style: str) -> Text:
    """One line: a name as long as there is room, then two columns."""
    text = Text(name, style=style)
    text.truncate(width - _STATE_WIDTH - _SCORED_WIDTH - 1, overflow="ellipsis", pad=True)
    return text.append(f" {state:<{_STATE_WIDTH}}{scored:>{_SCORED_WIDTH}}")
