"""What a run trains and scores, what it reuses, and what it does when something goes wrong."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event as Gate
from threading import Thread
from typing import Any

import pytest

from chaintune.errors import DataError, ModelError, StageError, StoreError
from chaintune.execution.events import Event
from chaintune.execution.run import pending_nodes, run_plan
from chaintune.execution.state import RunOutcome
from chaintune.plan.nodes import StageNode
from chaintune.plan.plan import Plan
from chaintune.store.folder import FolderStore
from tests.dummy_engine import DummyEngine, failing, make_plan, make_study, make_task

Hook = Callable[[str, str], None]


class Bench:
    """A store, a plan and as many runs as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.engine = DummyEngine(folder)

    def run(self, plan: Plan, *, hook: Hook | None = None, store: FolderStore | None = None) -> RunOutcome:
        """One process more, as far as store and engine can tell."""
        self.engine = DummyEngine(self.folder, hook=hook)
        self.events = []
        return run_plan(
            plan,
            store=store or self.store,
            engine=self.engine,
            out=self.folder / "out",
            tasks={name: make_task(name) for name in "abcd"},
            on_event=self.events.append,
        )

    @property
    def store(self) -> FolderStore:
        return FolderStore(self.folder / "store")

    def scores(self, plan: Plan) -> dict[str, bytes]:
        entries = {node.title: self.store.get("score", node.key) for node in plan.scores}
        return {title: (entry.path / "measurement.parquet").read_bytes() for title, entry in entries.items() if entry}

    def checkpoints(self) -> set[str]:
        return {entry.info["title"].split(",")[0] for entry in self.store.entries("stage")}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def titles(outcome: RunOutcome, kind: Any) -> list[str]:
    return [result.node.title.replace(", seed 0", "") for result in outcome.of(kind)]


def test_each_node_runs_once_and_children_follow_their_parents(bench: Bench) -> None:
    plan = make_plan(make_study("ab"))
    outcome = bench.run(plan)
    assert bench.engine.calls == [
        "score base on a",
        "score base on b",
        "tune a",
        "score a on a",
        "score a on b",
        "tune a>b",
        "score a>b on a",
        "score a>b on b",
        "tune b",
        "score b on a",
        "score b on b",
        "tune b>a",
        "score b>a on a",
        "score b>a on b",
    ]
    assert outcome.complete
    assert len(outcome.of("made")) == len(plan.nodes)


def test_a_second_run_does_nothing(bench: Bench) -> None:
    plan = make_plan(make_study("abc"))
    bench.run(plan)
    outcome = bench.run(plan)
    assert bench.engine.calls == []
    assert len(outcome.of("reused")) == len(plan.nodes)


def test_a_larger_study_reuses_the_smaller_ones_work(bench: Bench) -> None:
    bench.run(make_plan(make_study("ab")))
    bench.run(make_plan(make_study("ab", mitigations=[{"replay": {"task": "a", "dose": [0.5]}}])))
    assert bench.engine.calls == ["tune a>b>a@50%", "score a>b>a@50% on a", "score a>b>a@50% on b"]


@pytest.mark.parametrize(
    ("keep", "kept"), [("all", {"a", "a>b", "b", "b>a"}), ("final", {"a>b", "b>a"}), ("none", set())]
)
def test_keep(keep: str, kept: set[str], bench: Bench) -> None:
    plan = make_plan(make_study("ab", keep=keep))
    bench.run(plan)
    assert bench.checkpoints() == kept
    assert len(bench.scores(plan)) == len(plan.scores)
    bench.run(plan)
    assert bench.engine.calls == []


def test_at_no_time_are_there_more_checkpoints_than_planned(bench: Bench) -> None:
    plan = make_plan(make_study("abc", keep="none"))
    seen: list[int] = []
    bench.run(plan, hook=lambda when, _what: seen.append(len(bench.checkpoints()) + (when == "tune")))
    assert max(seen) == plan.disk_bytes / 1_000


def test_a_missing_score_of_a_dropped_checkpoint_retrains_its_chain_only(bench: Bench) -> None:
    plan = make_plan(make_study("ab", keep="none"))
    bench.run(plan)
    before = bench.scores(plan)
    (lost,) = [node for node in plan.scores if node.chain == ("a", "b") and node.task == "a"]
    bench.store.drop("score", lost.key)
    bench.run(plan)
    assert bench.engine.calls == ["tune a", "tune a>b", "score a>b on a"]
    assert bench.scores(plan) == before
    assert bench.checkpoints() == set()


def test_what_is_trained_again_after_its_turn_goes_too(bench: Bench) -> None:
    plan = make_plan(make_study("abc", chains=[["a", "b", "c"]], keep="none"))

    def damage_parent(when: str, what: str) -> None:
        if (when, what) == ("score", "a>b") and bench.engine.tuned == ["a", "a>b"]:
            (path,) = bench.store.root.glob(f"stage/{plan.stages[1].key}/weights")
            path.write_text("changed")

    outcome = bench.run(plan, hook=damage_parent)
    assert outcome.complete
    assert bench.engine.tuned == ["a", "a>b", "a", "a>b", "a>b>c"]
    assert bench.checkpoints() == set()


def test_a_checkpoint_that_nobody_reads_is_not_rebuilt(bench: Bench) -> None:
    plan = make_plan(make_study("ab"))
    bench.run(plan)
    for node in plan.stages:
        bench.store.drop("stage", node.key)
    bench.run(plan)
    assert bench.engine.calls == []


def test_a_damaged_score_is_rebuilt_from_its_checkpoint(bench: Bench) -> None:
    plan = make_plan(make_study("ab"))
    bench.run(plan)
    before = bench.scores(plan)
    entry = bench.store.get("score", plan.scores[2].key)
    assert entry is not None
    (entry.path / "measurement.parquet").write_bytes(b"changed")
    bench.run(plan)
    assert bench.engine.calls == ["score a on a"]
    assert bench.scores(plan) == before


def test_a_damaged_checkpoint_is_rebuilt_when_something_reads_it(bench: Bench) -> None:
    bench.run(make_plan(make_study("a", chains=[["a"]])))
    (entry,) = bench.store.entries("stage")
    weights = entry.path / "weights"
    size = weights.stat().st_size
    weights.write_bytes(b"x" * size)
    bench.run(make_plan(make_study("ab", chains=[["a", "b"]])))
    assert "tune a" in bench.engine.calls
    assert weights.read_bytes() != b"x" * size


def test_a_damaged_checkpoint_that_is_kept_is_rebuilt_though_nothing_reads_it(bench: Bench) -> None:
    plan = make_plan(make_study("ab"))
    bench.run(plan)
    path = bench.store.root / "stage" / plan.stages[1].key / "weights"
    right = path.read_bytes()
    path.write_bytes(right.replace(b"a", b"b"))
    bench.run(plan)
    assert bench.engine.calls == ["tune a>b"]
    assert path.read_bytes() == right


def test_another_studys_checkpoints_are_not_dropped(bench: Bench) -> None:
    bench.run(make_plan(make_study("ab", keep="all")))
    bench.run(make_plan(make_study("abc", keep="none")))
    assert bench.checkpoints() == {"a", "a>b", "b", "b>a"}


def test_a_study_that_keeps_claims_what_another_would_drop(bench: Bench) -> None:
    transient_keys = make_plan(make_study("ab", keep="none"))
    with pytest.raises(KeyboardInterrupt):
        bench.run(transient_keys, hook=interrupt("score", "a"))
    assert bench.checkpoints() == {"a"}
    bench.run(make_plan(make_study("ab", chains=[["a"]], keep="all")))
    bench.run(transient_keys)
    assert bench.checkpoints() == {"a"}


def test_a_checkpoint_that_was_waited_for_is_claimed_too(bench: Bench) -> None:
    """One run makes it and would drop it; the other one, which keeps it, waits for its lock meanwhile."""
    transient_keys = make_plan(make_study("ab", chains=[["a", "b"]], keep="none"))
    keeping = make_plan(make_study("ab", chains=[["a"]], keep="all"))
    waiting = Thread(target=Bench(bench.folder).run, args=(keeping,))

    def hook(when: str, what: str) -> None:
        if (when, what) == ("tune", "a"):
            waiting.start()
            time.sleep(0.5)
        if (when, what) == ("tune", "a>b"):
            waiting.join()

    assert bench.run(transient_keys, hook=hook).complete
    assert bench.checkpoints() == {"a"}


def test_a_job_that_another_process_is_at_is_passed_over_while_there_is_another(bench: Bench) -> None:
    plan = make_plan(make_study("ab", chains=[["a"], ["b"]]))
    begun, go_on = Gate(), Gate()

    def make(out: Path) -> dict[str, Any]:
        begun.set()
        assert go_on.wait(600)
        (out / "weights").write_text("base\n['a'] 0 a\n")
        return {}

    other = Thread(target=bench.store.get_or_make, args=("stage", plan.stages[0].key, make))
    other.start()
    assert begun.wait(600)
    outcome = bench.run(plan, hook=lambda when, what: go_on.set() if (when, what) == ("score", "b") else None)
    other.join()
    assert outcome.complete
    assert bench.engine.tuned == ["b"]
    assert bench.engine.calls.index("tune b") < bench.engine.calls.index("score a on a")


def interrupt(when: str, what: str) -> Hook:
    def hook(now: str, chain: str) -> None:
        if (now, chain) == (when, what):
            raise KeyboardInterrupt

    return hook


@pytest.mark.parametrize(("when", "what"), [("tune", "a"), ("score", "base"), ("tune", "a>b"), ("score", "b>a")])
@pytest.mark.parametrize("keep", ["all", "final", "none"])
def test_interrupted_anywhere_it_goes_on_with_the_same_scores(when: str, what: str, keep: str, tmp_path: Path) -> None:
    plan = make_plan(make_study("ab", keep=keep))
    straight, broken = Bench(tmp_path / "straight"), Bench(tmp_path / "broken")
    straight.run(plan)
    with pytest.raises(KeyboardInterrupt):
        broken.run(plan, hook=interrupt(when, what))
    first = broken.engine.calls
    outcome = broken.run(plan)
    assert outcome.complete
    assert broken.scores(plan) == straight.scores(plan)
    assert set(first[:-1]).isdisjoint(broken.engine.calls)  # nothing that was finished is done again
    assert broken.checkpoints() == straight.checkpoints()
    assert list((tmp_path / "broken").rglob("*.partial")) == []


def test_a_failed_stage_takes_its_descendants_and_nothing_else(bench: Bench) -> None:
    plan = make_plan(make_study("ab"))
    outcome = bench.run(plan, hook=failing("a"))
    assert not outcome.complete
    assert titles(outcome, "failed") == ["a"]
    assert titles(outcome, "skipped") == ["a on a", "a on b", "a>b", "a>b on a", "a>b on b"]
    assert {result.cause for result in outcome.of("skipped")} == {"'a, seed 0' failed: the loss is NaN at step 3"}
    assert titles(outcome, "made") == ["base on a", "base on b", "b", "b on a", "b on b", "b>a", "b>a on a", "b>a on b"]
    assert bench.engine.tuned == ["a", "b", "b>a"]


def test_a_failed_stage_is_tried_again_by_the_next_run(bench: Bench) -> None:
    plan = make_plan(make_study("ab", keep="none"))
    bench.run(plan, hook=failing("a>b"))
    assert bench.run(plan).complete
    assert bench.engine.tuned == ["a", "a>b"]


def test_finished_scores_below_a_stage_that_now_fails_are_still_there(bench: Bench) -> None:
    plan = make_plan(make_study("ab", keep="none"))
    bench.run(plan)
    (lost,) = [node for node in plan.scores if node.chain == ("a",) and node.task == "a"]
    bench.store.drop("score", lost.key)
    outcome = bench.run(plan, hook=failing("a"))
    assert titles(outcome, "failed") == ["a"]
    assert titles(outcome, "skipped") == ["a on a"]


@pytest.mark.parametrize("error", [DataError("an example is too long"), ModelError("no such file"), StageError("NaN")])
def test_a_failed_score_fails_alone(error: Exception, bench: Bench) -> None:
    def hook(when: str, what: str) -> None:
        if (when, what) == ("score", "a"):
            raise error

    outcome = bench.run(make_plan(make_study("ab")), hook=hook)
    assert titles(outcome, "failed") == ["a on a", "a on b"]
    assert titles(outcome, "skipped") == []
    assert outcome.of("failed")[0].cause == str(error)


def test_a_bug_is_not_swallowed(bench: Bench) -> None:
    def hook(_when: str, _what: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bench.run(make_plan(make_study("ab")), hook=hook)


def test_a_full_disk_stops_the_run(bench: Bench) -> None:
    def hook(when: str, _what: str) -> None:
        if when == "tune":
            raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="disk full"):
        bench.run(make_plan(make_study("ab")), hook=hook)
    assert bench.run(make_plan(make_study("ab"))).complete


def test_events_tell_start_progress_and_end(bench: Bench) -> None:
    bench.run(make_plan(make_study("a", chains=[["a"]], keep="none")))
    told = [(event.kind, event.node.title) for event in bench.events]
    assert told == [
        *((kind, "base on a") for kind in ("start", "progress", "made")),
        *((kind, "a, seed 0") for kind in ("start", "progress", "made")),
        *((kind, "a, seed 0 on a") for kind in ("start", "progress", "made")),
        ("dropped", "a, seed 0"),
    ]


def test_the_manifest_tells_what_the_node_was_and_what_it_took(bench: Bench) -> None:
    plan = make_plan(make_study("ab"))
    bench.run(plan)
    stage = next(node for node in plan.nodes if isinstance(node, StageNode))
    entry = bench.store.get("stage", stage.key)
    assert entry is not None
    manifest = json.loads((entry.path / "manifest.json").read_bytes())
    assert manifest["info"]["title"] == "a, seed 0"
    assert manifest["info"]["train_tokens"] == 800
    assert manifest["info"]["final_loss"] == 0.5
    assert math.isfinite(manifest["info"]["seconds"])
    assert not manifest["info"]["transient"]


def test_a_score_that_fails_is_tried_once_whoever_reads_it(bench: Bench) -> None:
    replay = {"replay": {"task": "a", "dose": [0.125, 0.25, 0.5], "who": "targeted"}}
    plan = make_plan(make_study("ab", chains=[["a", "b"]], mitigations=[replay]))

    def hook(when: str, what: str) -> None:
        if (when, what) == ("score", "a") and "(train)" in bench.engine.calls[-1]:
            raise StageError("no number")

    outcome = bench.run(plan, hook=hook)
    assert bench.engine.calls.count("score a on a (train)") == 1
    assert len(outcome.of("failed")) == 1
    assert [result.cause for result in outcome.of("skipped") if isinstance(result.node, StageNode)] == [
        "'a, seed 0 on a (train)' failed: no number"
    ] * 3


def test_a_chain_of_a_thousand_stages_is_no_trouble(bench: Bench) -> None:
    plan = make_plan(make_study("ab", chains=[["a", "b"] * 500], keep="none"))
    assert len(plan.stages) == 1000
    assert pending_nodes(plan, bench.store) == list(plan.nodes)
    assert plan.disk_bytes == 2_000
