"""Runs that are killed without warning, and runs that share a store, with real models."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaintune.execution.processes.job import PARENT, Job
from chaintune.execution.status import read_status
from chaintune.records import Recipe
from tests import tiny
from tests.integration import program
from tests.integration.conftest import BRIEF, STUDY, Smoke, scores
from tests.programs import Program, Start

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that kills without warning")


def run_until(point: str, start: Start, smoke: Smoke, folder: Path) -> Program:
    """A process that runs the smoke study in a folder, when it has come to a point."""
    process = start(program.__file__, str(folder), point, str(STUDY), *smoke.places, BRIEF)
    process.wait_until((folder / "stopped").exists)
    return process


# Where it is killed, and how many of the 4 stages and 10 scores were finished then.
POINTS = {"stage": (1, 4), "score": (2, 4), "save": (0, 2), "publish": (0, 2)}


@pytest.mark.parametrize("point", POINTS)
def test_killed_in_the_middle_the_next_run_has_the_same_scores(
    point: str, start: Start, smoke: Smoke, brief: dict[str, bytes], tmp_path: Path
) -> None:
    run_until(point, start, smoke, tmp_path).kill()
    assert read_status(tmp_path / "out").state == "dead"
    assert list((tmp_path / "store").rglob("*.partial"))

    session = smoke.open(tmp_path / "store", BRIEF)
    outcome = session.run(tmp_path / "out").outcome
    assert outcome.complete
    reused = [result.node.kind for result in outcome.of("reused")]
    assert (reused.count("stage"), reused.count("score")) == POINTS[point]
    assert scores(session) == brief
    assert not list((tmp_path / "store").rglob("*.partial"))
    assert read_status(tmp_path / "out").state == "done"


def test_two_runs_at_once_on_one_store_do_the_work_once(
    start: Start, smoke: Smoke, brief: dict[str, bytes], tmp_path: Path
) -> None:
    session = smoke.open(tmp_path / "store", BRIEF)
    other = run_until("start", start, smoke, tmp_path)
    (tmp_path / "go").write_text("")
    outcome = session.run(tmp_path / "mine").outcome
    assert other.wait() == 0
    made_here = {result.node.title for result in outcome.of("made")}
    made_there = {
        title for title, kind in json.loads((tmp_path / "outcome.json").read_text()).items() if kind == "made"
    }
    assert outcome.complete
    assert made_here.isdisjoint(made_there)
    assert made_here | made_there == {node.title for node in session.plan.nodes}
    assert scores(session) == brief


def test_one_of_several_processes_ends_with_the_one_that_wants_the_result(start: Start, tmp_path: Path) -> None:
    """Also while it waits for the others, which may never come."""
    weights = tiny.write_model(tmp_path / "model")
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    out.mkdir()
    job = Job("tune", weights, None, "fp32", "balls", tuple(tiny.examples(4)), out, scratch, recipe=Recipe(devices=2))
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    rank = start(
        "-m", "chaintune.execution.processes.ranks", str(job.write()), environment=alone | {PARENT: str(parent.pid)}
    )
    try:
        time.sleep(1)
    finally:
        parent.kill()
        parent.wait()
    assert rank.wait() == 3
