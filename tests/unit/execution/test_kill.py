"""Processes that are killed without warning, and processes that share a store."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from chaintune.execution.run import run_plan
from chaintune.execution.status import read_status
from chaintune.store.folder import FolderStore
from tests import dummy_engine as dummy
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that kills without warning")


def start(folder: Path, when: str, what: str = "", keep: str = "all") -> subprocess.Popen[bytes]:
    """A process that runs the study of two tasks in `folder` and stops at a point."""
    return subprocess.Popen([sys.executable, dummy.__file__, str(folder), when, what, keep])  # noqa: S603 - our own file


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, "the process ended before it came to the point"
        time.sleep(0.01)


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
def test_killed_in_the_middle_the_next_run_has_the_same_scores(when: str, what: str, keep: str, tmp_path: Path) -> None:
    process = start(tmp_path, when, what, keep)
    wait_for(tmp_path / "stopped", process)
    assert read_status(tmp_path / "out").state == "running"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read_status(tmp_path / "out").state == "dead"
    assert list((tmp_path / "store").rglob("*.partial"))

    again, calls = scores_after_a_run(tmp_path, keep)
    straight, every_call = scores_after_a_run(tmp_path / "straight", keep)
    assert again == straight
    assert 0 < len(calls) < len(every_call)
    assert list((tmp_path / "store").rglob("*.partial")) == []
    assert read_status(tmp_path / "out").state == "done"


@pytest.mark.parametrize("keep", ["all", "none"])
def test_two_processes_on_one_store_do_the_work_once(keep: str, tmp_path: Path) -> None:
    processes = [start(tmp_path, "never", keep=keep) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    calls = Counter((tmp_path / "calls").read_text().splitlines())
    assert calls == {"score base": 2} | {f"tune {c}": 1 for c in CHAINS} | {f"score {c}": 2 for c in CHAINS}
    assert scores_after_a_run(tmp_path, keep)[1] == []


CHAINS = ("a", "a>b", "b", "b>a")
