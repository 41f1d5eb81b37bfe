"""Texts that are kept while their measurement is made."""

from pathlib import Path
from typing import Any

import pytest

from chaintune.execution.compute import PART, JobRunner
from chaintune.plan.nodes import MEASUREMENT_FILE, ScoreNode
from chaintune.records import GeneratedText, generation_measurement
from chaintune.records.generation import GENERATION, texts_kept
from chaintune.store.folder import FolderStore
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task


class WritingEngine(DummyEngine):
    """Writes the texts of each example as a part, and is killed before the third the first time."""

    killed = False

    def score(self, **how: Any) -> dict[str, Any]:
        texts = []
        for number, example in enumerate(how["task"].test):

            def compute(name: str = example.id) -> list[list[GeneratedText]]:
                self.calls.append(name)
                return [[GeneratedText(f"to {name}", "stop", 3)]]

            if number == 2 and not self.killed:
                self.killed = True
                raise KeyboardInterrupt
            texts += texts_kept(how["keep"])(example.id, compute)
        generation_measurement(how["task"].test, texts).write(how["out"] / MEASUREMENT_FILE)
        return {}


def test_a_run_that_was_killed_goes_on_behind_the_last_part(tmp_path: Path) -> None:
    plan, store = make_plan(make_study("ab")), FolderStore(tmp_path / "store")
    engine = WritingEngine(tmp_path)
    nodes = [node for node in plan.nodes if isinstance(node, ScoreNode) and not node.chain]
    node = nodes[0]
    object.__setattr__(node, "measure", GENERATION)
    tasks = {name: make_task(name) for name in "ab"}
    runner = JobRunner.of(plan, engine=engine, store=store, tasks=tasks, transient_keys=frozenset())
    with pytest.raises(KeyboardInterrupt):
        runner.run(node, on_start=lambda _: None, report=lambda _: None)
    assert len(store.keys(PART)) == 2
    (result,) = runner.run(node, on_start=lambda _: None, report=lambda _: None)
    assert result.kind == "made"
    names = [example.id for example in tasks[node.task].test]
    assert engine.calls == names
    assert not store.keys(PART)


def test_parts_of_a_run_that_was_killed_before_it_dropped_them_go_and_are_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = make_plan(make_study("ab")), FolderStore(tmp_path / "store")
    engine, tasks = WritingEngine(tmp_path), {name: make_task(name) for name in "ab"}
    engine.killed = True
    nodes = [node for node in plan.nodes if isinstance(node, ScoreNode) and not node.chain]
    for node in nodes:
        object.__setattr__(node, "measure", GENERATION)

    def run(runner: JobRunner, node: ScoreNode) -> str:
        return runner.run(node, on_start=lambda _: None, report=lambda _: None)[0].kind

    first = JobRunner.of(plan, engine=engine, store=store, tasks=tasks, transient_keys=frozenset())
    with monkeypatch.context() as patched:
        patched.setattr(store, "drop", lambda *_: None)
        assert [run(first, node) for node in nodes] == ["made"] * len(nodes)
    assert store.keys(PART)
    listed: list[str] = []
    entries = store.entries
    monkeypatch.setattr(store, "entries", lambda kind: listed.append(kind) or entries(kind))  # type: ignore[func-returns-value]
    second = JobRunner.of(plan, engine=engine, store=store, tasks=tasks, transient_keys=frozenset())
    assert [run(second, node) for node in nodes] == ["reused"] * len(nodes)
    assert not store.keys(PART)
    assert listed == [PART]
