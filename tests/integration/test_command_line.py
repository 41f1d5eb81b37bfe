"""The command line as people use it: as a program, on the smoke study."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import polars as pl
import pytest

from chaintune.cli import main
from tests import tiny
from tests.programs import Program, Start

ROOT = Path(__file__).parents[2]
Finished = subprocess.CompletedProcess[str]


class Place:
    """A folder with the smoke study and what it needs, and the program run inside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.study = folder / "studies" / "smoke.yaml"
        self.study.parent.mkdir()
        shutil.copy(ROOT / "studies" / "smoke.yaml", self.study)
        tiny.write_smoke(folder / "runs" / "tiny")
        self.environment = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "80"}

    def files(self) -> list[Path]:
        """Everything but the store, in which locks may come and go."""
        return sorted(path for path in self.folder.rglob("*") if ".chaintune" not in path.parts)

    def call(self, *arguments: str) -> Finished:
        """Run the command inside this process, which has loaded torch already."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.folder),
            mock.patch.dict(os.environ, self.environment),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main(list(arguments))
        code = ended.value.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def ran(place: Place, start: Start) -> Program:
    """The study, run in a process of its own from its first import, in a folder with a module of a stranger."""
    (place.folder / "safetensors.py").write_text("open('ran', 'w')\n")
    command = ("-m", "chaintune", "run", "studies/smoke.yaml", "--out", "out")
    process = start(*command, folder=place.folder, environment=place.environment, anew=True)
    assert process.wait() == 0, process.err
    return process


def test_run_prints_every_table_and_where_results_lie(place: Place, ran: Program) -> None:
    for line in ("Accuracy", "Learned, then forgotten", "Final score in both orders", "Who forgot balls: owner"):
        assert line in ran.out
    for checkpoint in ("base", "balls", "balls>boxes", "boxes", "boxes>balls"):
        assert f"\n {checkpoint} " in ran.out
    assert "14 computed, 0 reused" in ran.out
    for name in ("report.md", "results.parquet", "results.json", "study.resolved.yaml", "provenance.json", "scores"):
        assert (place.folder / "out" / name).exists(), name
    assert not list(place.folder.rglob("*.partial"))


def test_no_module_of_the_current_folder_is_imported(place: Place, ran: Program) -> None:
    assert not (place.folder / "ran").exists()


def test_progress_goes_to_stderr_without_bars_or_colour(ran: Program) -> None:
    assert "[14/14] score" in ran.err
    assert "stage balls, seed 0: done" in ran.err
    assert "\x1b" not in ran.err + ran.out
    assert "it/s" not in ran.err
    assert "seed 0: done" not in ran.out


def test_provenance_names_command_and_versions(place: Place, ran: Program) -> None:
    found = json.loads((place.folder / "out" / "provenance.json").read_text())
    assert found["command"] == ["chaintune", "run", "studies/smoke.yaml", "--out", "out"]
    assert {"torch", "transformers", "chaintune"} <= set(found["packages"])


def test_a_second_run_computes_nothing_and_finds_the_same(place: Place, ran: Program) -> None:
    before = pl.read_parquet(place.folder / "out" / "results.parquet")
    again = place.call("run", "studies/smoke.yaml", "--out", "again")
    assert "0 computed, 14 reused" in again.stdout
    assert pl.read_parquet(place.folder / "again" / "results.parquet").equals(before, null_equal=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows tells a closed pipe otherwise")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_run_that_nobody_reads_ends_with_141(stream: str, place: Place, ran: Program, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    out = tmp_path / "out"
    with (
        os.fdopen(write, "w", encoding="utf-8") as unread,
        contextlib.chdir(place.folder),
        mock.patch.dict(os.environ, place.environment),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        mock.patch.object(sys, stream, unread),
        pytest.raises(SystemExit) as ended,
    ):
        main(["run", "studies/smoke.yaml", "--out", str(out)])
    assert ended.value.code == 141
    if stream == "stdout":  # which is written to at the end
        assert json.loads((out / "status.json").read_text())["state"] == "done"
        assert (out / "report.html").exists()


def test_status_of_a_finished_run(place: Place, ran: Program) -> None:
    assert place.call("status", "out").stdout == "smoke: done, 14 of 14 done\n"
    assert json.loads(place.call("status", "out", "--json").stdout)["state"] == "done"


def test_report_is_written_anew(place: Place, ran: Program) -> None:
    written = (place.folder / "out" / "report.md").read_text()
    (place.folder / "out" / "report.md").unlink()
    assert place.call("report", "out", "--format", "md").stdout == written
    assert (place.folder / "out" / "report.md").read_text() == written
    assert json.loads(place.call("report", "out", "--format", "json").stdout)["study"] == "smoke"


def test_plan_runs_nothing_and_counts_as_the_run_did(place: Place, tmp_path: Path) -> None:
    finished = place.call("plan", "studies/smoke.yaml", "--json", "--store", str(tmp_path / "store"))
    found = json.loads(finished.stdout)
    assert (found["stages_shared"], found["scores_shared"]) == (4, 10)
    assert {"stages_unshared", "scores_unshared", "train_tokens", "score_tokens", "disk_bytes"} <= set(found)
    assert len(found["nodes"]) == 14
    assert found["forecast"]["stages"] == 4
    assert not list((tmp_path / "store").glob("stage/*/manifest.json"))
    shown = place.call("plan", "studies/smoke.yaml", "--store", str(tmp_path / "store")).stdout
    assert "to do: 4 stages" in shown


def test_planned_tokens_are_the_tokens_trained(place: Place, ran: Program) -> None:
    nodes = json.loads(place.call("plan", "studies/smoke.yaml", "--json").stdout)["nodes"]
    planned = {node["key"]: node["tokens"] for node in nodes if node["kind"] == "stage"}
    trained = {
        key: json.loads((place.folder / ".chaintune" / "stage" / key / "manifest.json").read_text())["info"]
        for key in planned
    }
    assert {key: info["train_tokens"] for key, info in trained.items()} == planned


def test_interrupted_by_the_user_and_run_again(place: Place, ran: Program, start: Start, tmp_path: Path) -> None:
    folders = ("--out", str(tmp_path / "out"), "--store", str(tmp_path / "store"))
    command = ("-m", "chaintune", "run", "studies/smoke.yaml", *folders)
    process = start(*command, folder=place.folder)
    process.wait_until(lambda: list((tmp_path / "store").glob("stage/*.partial")))
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130, process.err
    assert "the same command goes on" in process.err
    assert "Traceback" not in process.err
    assert place.call("status", str(tmp_path / "out")).stdout.startswith("smoke: interrupted")
    again = start(*command, folder=place.folder)
    assert again.wait() == 0, again.err
    for path in (place.folder / "out" / "scores").glob("*.parquet"):
        assert (tmp_path / "out" / "scores" / path.name).read_bytes() == path.read_bytes()


def test_a_stage_that_fails_leaves_the_others(place: Place, tmp_path: Path) -> None:
    finished = place.call(
        "run", "studies/smoke.yaml", "--out", str(tmp_path / "out"), "--store", str(tmp_path / "store"),
        "--set", "tasks.balls.recipe.weight_decay=1e38",
    )  # fmt: skip
    assert "the loss became nan" in finished.stderr
    assert finished.returncode == 2
    assert "at step" in finished.stderr
    assert "stage boxes, seed 0: done" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["run", "studies/smoke.yaml", "--set", "recipe.learning_rat=1"], "learning_rate"),
        (["run", "studies/smoke.yaml", "--set", "base=no-such-model"], "no-such-model"),
        (["run", "studies/smoke.yaml", "--set", "tasks.balls.path=gone.jsonl"], "gone.jsonl"),
        (["run", "studies/smoke.yaml", "--set", "tasks.balls.train=5000"], "5,000"),
        (["run", "studies/smoke.yaml", "--address", "auto"], "--address names a Ray cluster; add --executor ray"),
        (["run", "studies/smoke.yaml", "--executor", "slurm"], "ray"),
        (["run", "studies/smoke.yaml", "--max-store", "lots"], "expected a size"),
        (["run", "studies/smoke.yaml", "--set", "seed=99", "--max-store", "1KB"], "keep: all"),
        (["status", "nowhere"], "status.json"),
        (["report", "nowhere"], "results.parquet"),
        (["tasks", "bqq"], "bbq"),
        (["rum"], "rum"),
        (["run"], "STUDY"),
    ],
)
def test_bad_input_is_one_message_and_code_2(
    place: Place,
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place.folder)
    before = place.files()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    shown = capsys.readouterr()
    assert ended.value.code == 2, shown.err
    assert sentence in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert place.files() == before


@pytest.mark.parametrize("command", ["run", "plan", "status", "report", "tasks", "score", "audit", "curvature"])
def test_help_teaches_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], [command, "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        shown = capsys.readouterr().out
        assert ended.value.code == 0
        assert command in shown
        assert "Usage" in shown
