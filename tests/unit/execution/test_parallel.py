"""A plan computed by several workers: the same results as alone, whatever happens to workers and store."""

import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaintune.errors import ConfigError, DataError, ModelError, StageError
from chaintune.execution.events import Event
from chaintune.execution.local import run_plan
from chaintune.execution.ray import ray_crew
from chaintune.execution.ray.bench import Answer, Bench, Job
from chaintune.execution.ray.connection import connected
from chaintune.execution.ray.parallel import News, run_parallel
from chaintune.execution.ray.pool import Ask, Machine
from chaintune.execution.state import RunOutcome, RunState
from chaintune.execution.status import read_status
from chaintune.plan.nodes import Node
from chaintune.plan.plan import Plan
from chaintune.store.folder import FolderStore
from chaintune.study.study import Keep
from tests.dummy_engine import DummyEngine, failing, make_plan, make_study, make_task

TASKS = {name: make_task(name) for name in "abcd"}
Hook = Callable[[str, str], None]


class InTurn:
    """Workers that take turns in this process; the one that waits longest answers next."""

    def __init__(self, job: Job, machines: Sequence[Machine] = (Machine("one", cpus=2),)) -> None:
        self.job, self.there = job, list(machines)
        self.benches: dict[str, Bench] = {}
        self.work: deque[tuple[str, Node, bool]] = deque()
        self.log: list[tuple[str, str]] = []
        self.losses: list[str] = []
        self._news: list[News] = []
        self.never_ready = ""
        self.wishes: list[tuple[Ask, ...]] = []
        self.grows = False

    def machines(self) -> Sequence[Machine]:
        return self.there

    def hire(self, machine: str, ask: Ask) -> str:
        name = f"w{len(self.log)}"
        self.log.append(("hire", f"{machine}: {ask}"))
        if self.never_ready:
            self._news.append(News(name, lost=self.never_ready))
            return name
        self.benches[name] = Bench(self.job)
        self.benches[name].prepare()
        self._news.append(News(name))
        return name

    def dismiss(self, worker: str) -> None:
        self.log.append(("dismiss", worker))
        del self.benches[worker]

    def start(self, worker: str, node: Node, *, forced: bool) -> None:
        assert worker not in {other for other, _, _ in self.work}
        self.log.append(("start", f"{worker} {node.title.replace(', seed 0', '')}"))
        self.work.append((worker, node, forced))

    def wish(self, asks: Sequence[Ask]) -> bool:
        self.wishes.append(tuple(asks))
        if asks and self.grows and len(self.there) < 3:
            self.there.append(Machine(f"new-{len(self.there)}", cpus=asks[0].cpus))
            return True
        return False

    def news(self, _seconds: float) -> Sequence[News]:
        found, self._news = self._news, []
        if found or not self.work:
            return found
        worker, node, forced = self.work.popleft()
        if node.title in self.losses:
            self.losses.remove(node.title)
            del self.benches[worker]
            return [News(worker, lost="the machine is gone")]
        answer = self.benches[worker].compute(node, forced=forced)
        progress = self.benches[worker].progress()
        return [*([News(worker, progress=progress)] if progress else []), News(worker, answer=answer)]


class Setting:
    """A store, and runs over it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, FolderStore(folder / "store")
        self.engines: list[DummyEngine] = []
        self.events: list[Event] = []
        self.crew: InTurn

    def engine(self, _store: FolderStore, hook: Hook | None = None) -> DummyEngine:
        self.engines.append(DummyEngine(self.folder, hook=hook))
        return self.engines[-1]

    def run(self, plan: Plan, *, hook: Hook | None = None, keep: Keep | None = None, **crew: Any) -> RunOutcome:
        self.prepare(plan, hook=hook, keep=keep)
        for name, value in crew.items():
            setattr(self.crew, name, value)
        return self.go()

    def prepare(self, plan: Plan, *, hook: Hook | None = None, keep: Keep | None = None) -> None:
        self.engines, self.events = [], []
        self.ledger = RunState.of(plan, self.store, keep or plan.keep)
        make_engine = partial(self.engine, hook=hook)
        self.crew = InTurn(Job.of(self.ledger, TASKS, open_store=lambda: self.store, make_engine=make_engine))

    def go(self, growth_seconds: float | None = None) -> RunOutcome:
        out, seen = self.folder / "out", self.events.append
        return run_parallel(
            self.ledger, self.crew, out=out, on_event=seen, first_pause=0.01, growth_seconds=growth_seconds
        )

    def calls(self) -> list[str]:
        return sorted(call for engine in self.engines for call in engine.calls)

    def scores(self, plan: Plan) -> dict[str, bytes]:
        return scores_of(plan, self.store)


def scores_of(plan: Plan, store: FolderStore) -> dict[str, bytes]:
    entries = {node.title: store.get("score", node.key) for node in plan.scores}
    return {title: (entry.path / "scores.parquet").read_bytes() for title, entry in entries.items() if entry}


def alone(plan: Plan, folder: Path, hook: Hook | None = None) -> tuple[dict[str, bytes], RunOutcome, list[str]]:
    """Scores, outcome and work of one process that goes through the plan."""
    store, engine = FolderStore(folder / "store"), DummyEngine(folder, hook=hook)
    outcome = run_plan(plan, store=store, engine=engine, out=folder / "out", tasks=TASKS)
    return scores_of(plan, store), outcome, engine.calls


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


REPLAY = {"replay": {"task": "a", "dose": [0.5], "who": "targeted"}}
STUDIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "keep none": {"keep": "none"},
    "keep final": {"keep": "final"},
    "mitigated": {"chains": [["a", "b"]], "mitigations": [REPLAY], "keep": "none"},
    "blended": {
        "chains": [["a", "b"]],
        "mitigations": [{"interpolate": {"task": "a", "fraction": [0.5]}}],
        "keep": "none",
    },
}


@pytest.mark.parametrize("keys", STUDIES.values(), ids=STUDIES)
def test_the_same_scores_and_the_same_work_as_one_process(keys: dict[str, Any], setting: Setting) -> None:
    plan = make_plan(make_study("ab", **keys))
    outcome = setting.run(plan)
    scores, straight, calls = alone(plan, setting.folder / "alone")
    assert setting.scores(plan) == scores
    assert {r.node.key for r in outcome.of("made")} == {r.node.key for r in straight.of("made")}
    assert setting.calls() == sorted(calls)
    assert setting.store.keys("stage") == FolderStore(setting.folder / "alone" / "store").keys("stage")
    assert len([entry for entry in setting.crew.log if entry[0] == "hire"]) == 2
    assert read_status(setting.folder / "out").state == "done"


def test_a_second_run_computes_nothing_and_calls_nobody(setting: Setting) -> None:
    plan = make_plan(make_study("abc"))
    setting.run(plan)
    outcome = setting.run(plan)
    assert (len(outcome.of("made")), len(outcome.of("reused"))) == (0, len(plan.nodes))
    assert setting.crew.log == []


def test_what_fails_by_itself_is_tried_once_and_takes_its_descendants_only(setting: Setting) -> None:
    plan = make_plan(make_study("ab"))
    outcome = setting.run(plan, hook=failing("a"))
    scores, straight, _ = alone(plan, setting.folder / "alone", failing("a"))
    assert setting.scores(plan) == scores
    told = {(r.kind, r.node.title, r.cause) for r in outcome.results}
    assert told == {(r.kind, r.node.title, r.cause) for r in straight.results}
    assert setting.calls().count("tune a") == 1
    assert read_status(setting.folder / "out").state == "failed"


@pytest.mark.parametrize("error", [StageError("diverged"), DataError("empty"), ModelError("no such file")])
def test_failures_of_scores_are_told_and_nothing_else_is_lost(error: Exception, setting: Setting) -> None:
    def hook(when: str, what: str) -> None:
        if (when, what) == ("score", "b>a"):
            raise error

    plan = make_plan(make_study("ab"))
    outcome = setting.run(plan, hook=hook)
    assert {(r.node.title, r.cause) for r in outcome.of("failed")} == {
        ("b>a, seed 0 on a", str(error)),
        ("b>a, seed 0 on b", str(error)),
    }
    assert len(outcome.of("made")) == len(plan.nodes) - 2


def test_a_bug_is_not_hidden(setting: Setting) -> None:
    def hook(_when: str, _what: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        setting.run(make_plan(make_study("ab")), hook=hook)
    assert read_status(setting.folder / "out").state == "failed"


def test_a_node_whose_worker_is_lost_is_computed_by_another(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    plan = make_plan(make_study("ab"))
    outcome = setting.run(plan, losses=["a, seed 0", "a, seed 0", "b>a, seed 0 on a"])
    assert outcome.complete
    assert setting.scores(plan) == alone(plan, setting.folder / "alone")[0]
    assert Counter(setting.calls()) == Counter(alone(plan, setting.folder / "again")[2])
    lost = [(event.node.title, event.cause) for event in setting.events if event.kind == "lost"]
    assert lost == [(title, "the machine is gone") for title in ("a, seed 0", "a, seed 0", "b>a, seed 0 on a")]
    assert "a, seed 0 is computed again, as its worker is gone: the machine is gone" in caplog.text
    # Whether the last one to be lost is replaced hangs on what is left to do by then.
    assert len([entry for entry in setting.crew.log if entry[0] == "hire"]) in {4, 5}


def test_a_node_that_costs_every_worker_its_life_fails_in_the_end(setting: Setting) -> None:
    plan = make_plan(make_study("ab"))
    outcome = setting.run(plan, losses=["a, seed 0"] * 9)
    (failed,) = outcome.of("failed")
    assert failed.cause == "its worker was lost 5 times; the last time: the machine is gone"
    assert {r.node.title for r in outcome.of("skipped")} == {
        n.title for n in plan.nodes if n.chain[:1] == ("a",) and n is not failed.node
    }


def test_workers_that_cannot_be_started_end_the_run(setting: Setting) -> None:
    with pytest.raises(StageError, match=r"no worker could be started in 5 attempts.*no space left"):
        setting.run(make_plan(make_study("ab")), never_ready="no space left")


def test_more_than_any_machine_has_is_told(setting: Setting) -> None:
    plan = make_plan(make_study("ab", recipe={"cpus": 64}))
    with pytest.raises(ConfigError, match="asks for 64 cores, 0 GPUs, and no machine of the cluster has that"):
        setting.run(plan)


def test_a_node_that_nobody_can_compute_is_told_once_all_others_are_done(setting: Setting) -> None:
    tasks = {"a": {"role": "safety", "path": "x"}, "b": {"role": "safety", "path": "x", "recipe": {"cpus": 8}}}
    plan = make_plan(make_study("ab", tasks=tasks, chains=[["a"], ["b"]]))
    with pytest.raises(ConfigError, match="b, seed 0 asks for 8 cores, 0 GPUs, and no machine of the cluster"):
        setting.run(plan)
    assert set(setting.scores(plan)) == {f"{name} on {task}" for name in ("base", "a, seed 0") for task in "ab"}


def test_workers_that_are_lost_now_and_then_while_they_start_do_not_end_a_run(setting: Setting) -> None:
    plan = make_plan(make_study("ab", vary={"seed": [0, 1, 2, 3]}))
    setting.prepare(plan)
    hire, hired = setting.crew.hire, Counter[bool]()

    def hire_in_vain(machine: str, ask: Ask) -> str:
        in_vain = hired.total() % 2 == 1
        hired[in_vain] += 1
        if not in_vain:
            return hire(machine, ask)
        setting.crew._news.append(News(f"gone-{hired.total()}", lost="a spot machine went away"))
        return f"gone-{hired.total()}"

    setting.crew.hire = hire_in_vain  # type: ignore[method-assign]
    setting.crew.losses = [node.title for node in plan.scores if node.chain]
    assert setting.go().complete
    assert hired[True] > 5


def test_progress_that_comes_after_the_end_of_its_node_is_not_told(setting: Setting) -> None:
    plan = make_plan(make_study("ab"))
    setting.prepare(plan)
    news, late = setting.crew.news, deque[News]()

    def tardy(_seconds: float) -> Sequence[News]:
        found = news(_seconds)
        late.extend(one for one in found if one.progress)
        told = [one for one in found if not one.progress]
        return [*told, *(late.popleft() for _ in range(len(late)) if told)]

    setting.crew.news = tardy  # type: ignore[method-assign]
    assert setting.go().complete
    assert "progress" not in {event.kind for event in setting.events}
    assert read_status(setting.folder / "out").journal["running"] == []


def test_recipes_of_different_shapes_take_turns(setting: Setting) -> None:
    plan = make_plan(make_study("ab", vary={"recipe.cpus": [1, 2]}))
    assert len(plan.stages) == 4  # what a stage asks for does not change it
    tasks = {name: {"role": "safety", "path": "x", "recipe": {"cpus": cpus}} for name, cpus in (("a", 1), ("b", 2))}
    outcome = setting.run(make_plan(make_study("ab", tasks=tasks)))
    assert outcome.complete
    kinds = Counter(what for what, _ in setting.crew.log)
    assert kinds["dismiss"] >= 1
    assert Counter(setting.calls()) == Counter(alone(plan, setting.folder / "alone")[2])


def test_a_machine_that_joins_is_used(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaintune.execution.ray.parallel._SECONDS_BETWEEN_LOOKS", 0.0)
    plan = make_plan(make_study("abc"))
    setting.prepare(plan)
    start = setting.crew.start

    def joining(worker: str, node: Node, *, forced: bool) -> None:
        if len(setting.crew.there) == 1:
            setting.crew.there.append(Machine("two", cpus=1))
        start(worker, node, forced=forced)

    monkeypatch.setattr(setting.crew, "start", joining)
    assert setting.go().complete
    assert {text.split(":")[0] for what, text in setting.crew.log if what == "hire"} == {"one", "two"}


def test_a_cluster_that_grows_is_asked_for_room_while_nodes_wait(setting: Setting) -> None:
    plan = make_plan(make_study("abc", recipe={"cpus": 2}))
    setting.prepare(plan)
    setting.crew.there, setting.crew.grows = [Machine("head", cpus=0)], True
    assert setting.go(growth_seconds=30).complete
    hired = {text.split(":")[0] for what, text in setting.crew.log if what == "hire"}
    assert hired == {"new-1", "new-2"}
    assert setting.crew.wishes[0][0] == Ask(cpus=2)
    assert setting.crew.wishes[-1] == ()
    assert setting.scores(plan) == alone(plan, setting.folder / "alone")[0]


def test_a_cluster_that_does_not_grow_in_time_is_told(setting: Setting) -> None:
    setting.prepare(make_plan(make_study("ab", recipe={"cpus": 64})))
    with pytest.raises(ConfigError, match="asks for 64 cores, 0 GPUs, and no machine of the cluster has that"):
        setting.go(growth_seconds=0.05)
    assert len(setting.crew.wishes) > 1
    assert set(map(len, setting.crew.wishes)) == {4}  # two stages, and two scores of their base


def test_only_where_it_is_said_does_a_cluster_grow(setting: Setting) -> None:
    assert setting.run(make_plan(make_study("abc")), grows=True).complete
    assert setting.crew.wishes == []


def test_a_worker_without_work_leaves_a_cluster_that_shrinks(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaintune.execution.ray.parallel._SECONDS_IDLE", 0.0)
    plan = make_plan(make_study("ab", chains=[["a", "b"]]))
    setting.prepare(plan)
    assert setting.go(growth_seconds=30).complete
    assert [text for what, text in setting.crew.log if what == "dismiss"]
    assert Counter(setting.calls()) == Counter(alone(plan, setting.folder / "alone")[2])


def test_what_another_process_dropped_is_made_again_first(setting: Setting) -> None:
    plan = make_plan(make_study("ab"))
    setting.run(plan)
    for node in plan.scores:
        if node.chain == ("a", "b"):
            setting.store.drop("score", node.key)
    ab, a = (next(n for n in plan.stages if n.chain == chain) for chain in (("a", "b"), ("a",)))
    setting.prepare(plan)
    start = setting.crew.start
    dropped: list[str] = []

    def dropping(worker: str, node: Node, *, forced: bool) -> None:
        if not dropped:  # once the run has looked, a checkpoint goes, and its parent too
            dropped.extend([ab.key, a.key])
            for key in dropped:
                setting.store.drop("stage", key)
        start(worker, node, forced=forced)

    setting.crew.start = dropping  # type: ignore[method-assign]
    outcome = setting.go()
    assert outcome.complete
    assert setting.scores(plan) == alone(plan, setting.folder / "alone")[0]
    assert {call for call in setting.calls() if call.startswith("tune")} == {"tune a", "tune a>b"}


def test_a_damaged_checkpoint_is_rebuilt_though_nothing_needs_it(setting: Setting) -> None:
    plan = make_plan(make_study("ab"))
    setting.run(plan)
    stage = next(node for node in plan.stages if node.chain == ("a", "b"))
    entry = setting.store.peek("stage", stage.key)
    assert entry
    (entry.path / "weights").write_text("worse")
    os.utime(entry.path / "weights", ns=(1, 1))
    setting.store = FolderStore(setting.folder / "store")
    outcome = setting.run(plan)
    assert setting.calls() == ["tune a>b"]
    assert {r.node.key for r in outcome.of("made")} == {stage.key}
    assert not setting.store.damage("stage", stage.key)


def test_events_tell_of_every_start_and_end(setting: Setting) -> None:
    plan = make_plan(make_study("ab", keep="none"))
    setting.run(plan)
    kinds = Counter(event.kind for event in setting.events)
    assert kinds["start"] == kinds["made"] == len(plan.nodes)
    assert kinds["progress"] == len(plan.nodes)
    assert kinds["dropped"] == len(plan.stages)


def test_an_answer_says_what_the_store_lacks(setting: Setting) -> None:
    plan = make_plan(make_study("ab"))
    setting.prepare(plan)
    bench = Bench(setting.crew.job)
    bench.prepare()
    child = next(node for node in plan.stages if node.chain == ("a", "b"))
    assert bench.compute(child) == Answer("missing", missing=child.parent_key)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The actor died unexpectedly.\n\tclass_name: Bench", "The actor died unexpectedly."),
        ("\x1b[36mray::Bench\x1b[39m\nTraceback (most recent call last):\n  x\nModuleNotFoundError: chaintune\n",
         "ModuleNotFoundError: chaintune"),
        ("", "RuntimeError"),
    ],
)  # fmt: skip
def test_why_a_worker_is_gone_is_one_line(text: str, said: str) -> None:
    assert ray_crew._said(RuntimeError(text)) == said


def test_a_worker_that_ray_ended_for_want_of_memory_is_lost_and_lets_go_of_what_it_held() -> None:
    ray = pytest.importorskip("ray")
    killed: list[object] = []

    def get(_call: object) -> None:
        raise ray.exceptions.OutOfMemoryError("Task was killed due to the node running low on memory.")

    crew = object.__new__(ray_crew.RayCrew)
    crew._ray = SimpleNamespace(exceptions=ray.exceptions, get=get, kill=killed.append)
    crew._actors = {"w1": "actor"}
    (news,) = crew._heard("w1", "work", "call")
    assert news == News("w1", lost="Task was killed due to the node running low on memory.")
    assert (killed, crew._actors) == (["actor"], {})


def test_a_cluster_of_another_version_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def init(*_: Any, **__: Any) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.40.0\n    Python: 3.10.1")

    monkeypatch.setattr(ray, "init", init)
    sentence = "has other versions; install the same on both sides .*Ray: 2.40.0 Python: 3.10.1"
    with pytest.raises(ConfigError, match=sentence), connected("auto"):
        pass
