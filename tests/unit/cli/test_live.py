"""What a run shows while it goes on: the graph on a terminal, lines elsewhere."""

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from chaintune.cli import display
from chaintune.cli.amounts import rate_of
from chaintune.cli.display import RunDisplay
from chaintune.cli.graph import GraphRow, RunGraph, folded
from chaintune.cli.live import LiveView
from chaintune.execution.events import Event, Progress
from chaintune.execution.run import run_plan
from chaintune.plan.plan import Plan
from chaintune.store.folder import FolderStore
from tests.dummy_engine import DummyEngine, failing, make_plan, make_study, make_task

LARGE: dict[str, Any] = {"vary": {"seed": [0, 1], "recipe.learning_rate": [1e-4, 2e-5]}}
COLOUR = re.compile(r"\x1b\[[\d;]*3\d[\d;]*m")
STATES = ("waiting", "running", "done", "from store", "failed", "skipped")


class Screen(io.TextIOWrapper):
    """A file that knows what was written into it, and that cannot take what its encoding lacks."""

    def __init__(self, encoding: str) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, write_through=True)


def terminal(height: int = 24, *, encoding: str = "utf-8") -> tuple[Console, Screen]:
    file = Screen(encoding)
    return Console(file=file, width=80, height=height, force_terminal=True, highlight=False), file


def written(file: Screen) -> str:
    return file.bytes.getvalue().decode()


def lines(view: LiveView) -> list[str]:
    """What would be drawn now, without styles."""
    return [str(text) for text in view.render().renderables]


def events(plan: Plan, count: int) -> list[Event]:
    """The first nodes, done one after another; the next one runs."""
    ended = [Event(kind, node) for node in plan.nodes[:count] for kind in ("start", "made")]
    now = plan.nodes[count]
    return [*ended, Event("start", now), Event("progress", now, Progress(now, 30, 100, "steps", 210.0, 62.0))]


def view_of(plan: Plan, count: int, height: int = 24) -> LiveView:
    view = LiveView(terminal(height)[0], plan)
    for event in events(plan, count):
        view.note(event)
    return view


def test_the_graph_of_a_small_study_at_a_glance() -> None:
    shown = lines(view_of(make_plan(make_study("ab")), 6))
    assert shown[0].startswith("study: 6 of 14 done, 0s")
    assert [re.sub(" +", " ", line).strip() for line in shown[1:]] == [
        "checkpoint state scored",
        "✓ tiny done 2/2",
        "✓ ├─ a done 2/2",
        "▶ │ └─ b running 0/2",
        "· └─ b waiting 0/2",
        "· └─ a waiting 0/2",
        "scoring a>b, seed 0 on a",
        "██████░░░░░░░░░░░░░░ 30 % 30/100 steps, 210 tokens/s, 1m02s left",
    ]


@pytest.mark.parametrize("height", [8, 24, 50])
def test_a_large_graph_fits_every_terminal_at_every_moment(height: int) -> None:
    plan = make_plan(make_study("abc", **LARGE))
    rows = len(plan.stages) + 1
    for count in (0, 1, 20, 100, 200, len(plan.nodes) - 1):
        shown = lines(view_of(plan, count, height))
        assert len(shown) <= height
        assert max(map(len, shown)) <= 80
        assert sum("running" in line for line in shown) == 1
        gaps = sum(int(number) for line in shown if "…" in line[:4] for number in re.findall(r"\d+", line))
        assert gaps + sum(bool(re.search(r"\d/\d$", line)) for line in shown) == rows


def test_what_is_folded_is_told_and_what_failed_is_not_folded() -> None:
    states = ["done"] * 30 + ["failed"] + ["done"] * 30 + ["running"] + ["waiting"] * 30
    rows = [GraphRow(str(i), "", f"s{i}", state, 0, 1) for i, state in enumerate(states)]  # type: ignore[arg-type]
    shown = folded(rows, 9)
    assert len(shown) == 9
    told = [line if isinstance(line, str) else line.label for line in shown]
    assert told == ["30 done", "s30", "28 done", "s59", "s60", "s61", "s62", "s63", "28 waiting"]
    assert folded(rows, 92) == rows


def test_every_state_has_a_mark_and_a_word(tmp_path: Path) -> None:
    plan = make_plan(make_study("abc"))
    kinds = {"skipped": plan.stages[1], "failed": plan.stages[0], "made": plan.scores[0], "start": plan.stages[5]}
    stored = {plan.stages[7].key, *(node.key for node in plan.scores if node.checkpoint_key == plan.stages[7].key)}
    graph = RunGraph(plan)
    for kind, node in kinds.items():
        graph.note(Event(kind, node))  # type: ignore[arg-type]
    for node in [*plan.scores[1:3], *(node for node in plan.nodes if node.key in stored)]:
        graph.note(Event("reused", node))
    assert {row.state for row in graph.rows()} == set(STATES)
    assert next(row for row in graph.rows() if row.label == "tiny").state == "done"


def test_knobs_and_seeds_stand_where_they_set_apart() -> None:
    labels = [row.label for row in RunGraph(make_plan(make_study("ab", **LARGE))).rows()]
    assert labels[:3] == ["tiny", "a, lr=1e-4, seed 0", "b"]
    assert len({label for label in labels if label.startswith("a, ")}) == 4


def ran(tmp_path: Path, console: Console, hook: Callable[[str, str], None] | None = None) -> None:
    plan = make_plan(make_study("ab"))
    store = FolderStore(tmp_path / "store")
    tasks = {name: make_task(name) for name in "ab"}
    engine = DummyEngine(tmp_path / "engine", hook=hook)
    with RunDisplay(plan, console) as shown:
        run_plan(plan, store=store, engine=engine, out=tmp_path / "out", tasks=tasks, on_event=shown.note)


def test_a_run_on_a_terminal_leaves_its_graph(tmp_path: Path) -> None:
    console, file = terminal()
    ran(tmp_path, console)
    last = written(file).split("study: 14 of 14 done")[-1]
    assert len(re.findall(r"done +2/2", last)) == 5
    assert "left" not in last
    again, file = terminal()
    ran(tmp_path, again)
    assert len(re.findall(r"from store +2/2", written(file).split("study: 14 of 14 done")[-1])) == 5


def test_a_failure_is_told_in_a_line_of_its_own(tmp_path: Path) -> None:
    console, file = terminal(height=30)
    ran(tmp_path, console, failing("a"))
    text = written(file)
    assert "stage a, seed 0: FAILED: the loss is NaN at step 3" in text
    assert ", 1 failed" in text
    assert re.search(r"✗ ├─ a +failed +0/2", text)
    assert re.search(r"- │  └─ b +skipped +0/2", text)


def test_no_color_is_no_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    console, file = terminal()
    ran(tmp_path / "colour", console)
    assert COLOUR.search(written(file))
    monkeypatch.setenv("NO_COLOR", "1")
    console, file = terminal()
    ran(tmp_path / "none", console)
    assert "✓" in written(file)
    assert not COLOUR.search(written(file))


def test_a_terminal_that_knows_ascii_only_gets_it(tmp_path: Path) -> None:
    console, file = terminal(encoding="ascii")
    ran(tmp_path, console)
    assert re.search(r"\+ \|- a +done +2/2", written(file))


@pytest.mark.parametrize("dumb", [False, True])
def test_in_a_log_file_there_are_lines(dumb: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "_SECONDS_BETWEEN_LINES", -1.0)
    file = io.StringIO()
    environment = {"TERM": "dumb"} if dumb else {}
    ran(tmp_path, Console(file=file, width=80, force_terminal=dumb, _environ=environment), failing("a>b"))
    told = file.getvalue().splitlines()
    assert "\x1b" not in file.getvalue()
    assert told[:2] == ["[0/14] scoring base on a: 4/4 examples", "[1/14] score base on a: done, 0s"]
    assert "[2/14] training a, seed 0: 1/2 steps, 4 tokens/s, 0s left" in told
    assert "[6/14] stage a>b, seed 0: FAILED: the loss is NaN at step 3" in told
    assert "[7/14] score a>b, seed 0 on a: skipped: 'a>b, seed 0' failed: the loss is NaN at step 3" in told


def test_markup_in_a_name_is_text() -> None:
    plan = make_plan(make_study("ab", chains=[["a", "b"]], base="[bold red]tiny[/]"))
    assert any("[bold red]tiny[/]" in line for line in lines(view_of(plan, 2)))


def test_the_time_left_is_that_of_all_that_will_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    plan = make_plan(make_study("ab"))
    view = LiveView(terminal()[0], plan)
    for node in plan.nodes[5:]:
        view.note(Event("reused", node))
    assert "left" not in lines(view)[0]
    for node in plan.nodes[:3]:
        view.note(Event("start", node))
        clock[0] += node.tokens / 10
        view.note(Event("made", node))
    # Two scores of 40 tokens, ten a second; the other nodes are in the store.
    assert lines(view)[0] == "study: 12 of 14 done, 1m28s, about 8s left"


@pytest.mark.parametrize("height", [8, 24])
def test_several_nodes_at_work_have_a_line_each(height: int) -> None:
    plan = make_plan(make_study("abcd", chains="all orders"))
    view = LiveView(terminal(height)[0], plan)
    for node in plan.stages[:6]:
        view.note(Event("start", node))
    view.note(Event("progress", plan.stages[0], Progress(plan.stages[0], 1, 4, "steps")))
    shown = lines(view)
    assert len(shown) <= height
    assert f" 25 %  training {plan.stages[0].title}" in [line.rstrip() for line in shown]
    assert shown[-1].strip() == f"and {5 if height == 8 else 2} more"
    for node in plan.stages[1:6]:
        view.note(Event("made", node))
    assert lines(view)[-2].startswith(f"training {plan.stages[0].title}")


def test_a_chain_of_a_thousand_stages_is_drawn() -> None:
    rows = RunGraph(make_plan(make_study("ab", chains=[["a", "b"] * 500]))).rows()
    assert len(rows) == 1001
    assert folded(rows, 5)[-1] == "997 waiting"


@pytest.mark.parametrize(
    ("unit", "rate"),
    [("steps", "tokens/s"), ("texts", "tokens/s"), ("examples", "examples/s"), ("verdicts", "verdicts/s")],
)
def test_a_rate_is_of_what_it_counts(unit: str, rate: str) -> None:
    progress = Progress(make_plan(make_study("ab")).nodes[0], 1, 4, unit, 20.0)
    assert rate_of(progress) == f"1/4 {unit}, 20 {rate}"
