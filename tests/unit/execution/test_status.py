"""What another terminal is told about a run."""

import json
import os
import re
import socket
import time
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from chaintune.cli import main
from chaintune.errors import ConfigError, DataError, StoreError
from chaintune.execution import status
from chaintune.execution.events import Event, Progress
from chaintune.execution.status import Journal, read_status
from chaintune.files import atomic
from chaintune.plan.nodes import StageNode
from chaintune.plan.plan import Plan
from tests.dummy_engine import make_plan, make_study


@pytest.fixture
def plan() -> Plan:
    return make_plan(make_study("ab"))


def journal(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_bytes())
    return found


def test_while_it_runs(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_SECONDS_BETWEEN_WRITES", 0)
    stage = plan.stages[0]
    with Journal(tmp_path, plan) as open_journal:
        assert read_status(tmp_path).state == "running"
        assert journal(tmp_path)["seconds_left"] is None
        for node in plan.nodes[:2]:
            open_journal.note(Event("start", node))
            open_journal.note(Event("made", node))
        open_journal.note(Event("start", stage))
        open_journal.note(Event("progress", stage, Progress(stage, 30, 100, "tokens", 15.0, 4.5)))
        now = journal(tmp_path)
    assert now["nodes"] == {"total": 14, "made": 2, "reused": 0, "failed": 0, "skipped": 0}
    (running,) = now["running"]
    assert running == {
        "kind": "stage",
        "title": "a, seed 0",
        "base": "tiny",
        "unit": "tokens",
        "done": 30,
        "total": 100,
        "rate": 15.0,
        "seconds_left": 4.5,
    }


def test_several_nodes_at_work_share_the_time_that_is_left(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    score, (stage, *others) = plan.scores[0], plan.stages
    with Journal(tmp_path, plan) as open_journal:
        for scored in plan.scores[1:]:
            open_journal.note(Event("reused", scored))
        for node in (score, stage):
            open_journal.note(Event("start", node))
        clock[0] += 10.0
        for node in (score, stage):
            open_journal.note(Event("made", node))
        for node in others[:2]:
            open_journal.note(Event("start", node))
        now = journal(tmp_path)
    assert [node["title"] for node in now["running"]] == [node.title for node in others[:2]]
    assert now["seconds_left"] == pytest.approx(10.0 * sum(n.tokens for n in others) / stage.tokens / 2)


def test_time_left_comes_from_the_rates_of_this_run(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with Journal(tmp_path, plan) as open_journal:
        for node in plan.nodes[:3]:
            open_journal.note(Event("start", node))
            clock[0] += node.tokens / (50 if isinstance(node, StageNode) else 20)
            open_journal.note(Event("made", node))
        # 3 stages of 800 tokens at 50 a second and 8 scores of 40 tokens at 20 a second are left
        assert journal(tmp_path)["seconds_left"] == pytest.approx(3 * 800 / 50 + 8 * 40 / 20)


def test_a_rate_that_nobody_knows_is_null(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_SECONDS_BETWEEN_WRITES", 0)
    with Journal(tmp_path, plan) as open_journal:
        open_journal.note(Event("progress", plan.stages[0], Progress(plan.stages[0], 0, 0)))
        assert journal(tmp_path)["running"][0]["rate"] is None


def test_the_end(tmp_path: Path, plan: Plan) -> None:
    with Journal(tmp_path, plan) as open_journal:
        open_journal.note(Event("failed", plan.stages[0], cause="the loss is NaN"))
        open_journal.note(Event("skipped", plan.stages[1], cause="'a' failed"))
    assert read_status(tmp_path).state == "failed"
    assert journal(tmp_path)["failed"] == [{"kind": "stage", "title": "a, seed 0", "cause": "the loss is NaN"}]
    assert journal(tmp_path)["skipped"][0]["cause"] == "'a' failed"
    with Journal(tmp_path, plan):
        pass
    assert read_status(tmp_path).state == "done"


@pytest.mark.parametrize(("error", "state"), [(KeyboardInterrupt(), "interrupted"), (StoreError("full"), "failed")])
def test_an_end_that_nobody_wanted(error: BaseException, state: str, tmp_path: Path, plan: Plan) -> None:
    with pytest.raises(type(error)), Journal(tmp_path, plan):
        raise error
    assert read_status(tmp_path).state == state
    assert journal(tmp_path)["cause"] == str(error)


def test_not_every_progress_is_written(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[str] = []
    monkeypatch.setattr(atomic, "write_json", lambda *args, **_kw: writes.append(args[1]["state"]))
    with Journal(tmp_path, plan) as open_journal:
        for done in range(1000):
            open_journal.note(Event("progress", plan.stages[0], Progress(plan.stages[0], done, 1000)))
    assert 2 <= len(writes) < 100


def edited(folder: Path, plan: Plan, **process: Any) -> None:
    Journal(folder, plan).__enter__()
    value = journal(folder)
    value["process"] |= process
    (folder / "status.json").write_text(json.dumps(value))


def test_a_process_that_is_gone_is_dead(tmp_path: Path, plan: Plan) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    edited(tmp_path, plan, pid=child)
    assert read_status(tmp_path).state == "dead"
    assert read_status(tmp_path).to_dict()["state"] == "dead"


def test_a_process_of_another_user_or_host_is_believed_to_live(tmp_path: Path, plan: Plan) -> None:
    edited(tmp_path, plan, pid=1)
    assert read_status(tmp_path).state == "running"
    edited(tmp_path, plan, pid=2**30, host=socket.gethostname() + "-other")
    assert read_status(tmp_path).state == "running"


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("no status.json there; expected the --out folder of a run")):
        read_status(tmp_path)


def test_a_damaged_journal_is_a_sentence(tmp_path: Path, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal(tmp_path, plan):
        pass
    path = tmp_path / "status.json"
    value = json.loads(path.read_text())
    odd_ones: tuple[Any, ...] = (None, 1, "x", [], [None], [{}], {}, {"x": 1}, [[[]]])
    for key, odd in product(value, odd_ones):
        path.write_text(json.dumps(value | {key: odd, "state": "running"}))
        with pytest.raises(SystemExit) as ended:
            main(["status", str(tmp_path)])
        assert ended.value.code in {0, 2}, (key, odd)
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 100_000, "\ud800"])
def test_not_a_journal(text: str, tmp_path: Path) -> None:
    (tmp_path / "status.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(DataError, match=r"status\.json.*; run the study again, which computes nothing twice"):
        read_status(tmp_path)


def test_a_full_disk_is_one_sentence(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any, **_kw: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "write_json", full)
    with pytest.raises(StoreError, match=r"^disk full: "):
        Journal(tmp_path, plan).__enter__()
