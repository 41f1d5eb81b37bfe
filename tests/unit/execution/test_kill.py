"""Processes that are killed without warning, and processes that share a store."""

import os
from collections import Counter
from pathlib import Path

import pytest

from chaintune.execution.run import run_plan
from chaintune.execution.status import read_status
from chaintune.store.folder import FolderStore
from tests import dummy_engine as dummy
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task
from tests.programs import Start

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that kills without warning")


def scores_after_a_run(folder: Path, keep: str) -> tuple[dict[str, bytes], list[str]]:
    study = make_study("ab", keep=keep)
    tasks = {name: make_task(name) for name in "ab"}
    plan, store, engine = make_plan(study, tasks), FolderStore(folder / "store"), DummyEngine(folder)
    outcome = run_plan(plan, store=store, engine=engine, out=folder / "out", tasks=tasks)
    assert outcome.complete
    entries = [store.get("score", node.key) for node in plan.scores]
    return {e.info["title"]: (e.path / "measurement.parquet").read_bytes() for e in entries if e}, engine.calls


@pytest.mark.parametrize(
    ("when", "what", "keep"),
    [
        ("tune", "a>b", "all"),
        ("tune", "b", "none"),
        ("score", "a", "final"),
        ("publish", "a>b, seed 0", "none"),
        ("publish", "a, seed 0 on b", "all"),
    ],
)
def test_killed_in_the_middle_the_next_run_has_the_same_scores(
    when: str, what: str, keep: str, start: Start, tmp_path: Path
) -> None:
    process = start(dummy.__file__, str(tmp_path), when, what, keep)
    process.wait_until((tmp_path / "stopped").exists)
    assert read_status(tmp_path / "out").state == "running"
    process.kill()
    assert read_status(tmp_path / "out").state == "dead"
    assert list((tmp_path / "store").rglob("*.partial"))

    again, calls = scores_after_a_run(tmp_path, keep)
    straight, every_call = scores_after_a_run(tmp_path / "straight", keep)
    assert again == straight
    assert 0 < len(calls) < len(every_call)
    assert list((tmp_path / "store").rglob("*.partial")) == []
    assert read_status(tmp_path / "out").state == "done"


@pytest.mark.parametrize("keep", ["all", "none"])
def test_two_processes_on_one_store_do_the_work_once(keep: str, start: Start, tmp_path: Path) -> None:
    processes = [start(dummy.__file__, str(tmp_path), "never", "", keep) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    calls = Counter((tmp_path / "calls").read_text().splitlines())
    assert calls == {"score base": 2} | {f"tune {c}": 1 for c in CHAINS} | {f"score {c}": 2 for c in CHAINS}
    assert scores_after_a_run(tmp_path, keep)[1] == []


CHAINS = ("a", "a>b", "b", "b>a")
