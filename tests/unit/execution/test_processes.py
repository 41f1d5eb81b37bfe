"""What travels to the processes of a node, how they are started, what is made of what they tell. None is started."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from chaintune.errors import ConfigError, DataError, StageError
from chaintune.execution.processes import launch
from chaintune.execution.processes.job import RESULT, Job
from chaintune.plan.nodes import ScoreNode
from chaintune.records import Choices, Example, Recipe, Regulariser
from tests import tiny
from tests.dummy_engine import make_plan, make_study

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "devices.md"
BLOCKS = dict(re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL))

RECIPE = Recipe(
    method="lora",
    learning_rate=1 / 3,
    batch_size=8,
    lora_targets=("q_proj", "v_proj"),
    devices=2,
    regulariser=Regulariser("freeze", (("parts", ("norm", "layers.0")),)),
)
ROLES = Example(
    "a", "who?", Choices((" he", " she"), 1, ("target", "other")), {"owner": ("Ann", "Bob"), "age": ()}, "7"
)


def make_job(folder: Path, **changes: Any) -> Job:
    known: dict[str, Any] = {
        "kind": "tune",
        "weights": folder / "model",
        "adapter": None,
        "precision": "bf16",
        "task": "balls",
        "examples": (ROLES, *tiny.examples(3)),
        "out": folder / "out",
        "scratch": folder / "scratch",
        "recipe": RECIPE,
    }
    job = Job(**known | changes)
    job.scratch.mkdir(exist_ok=True)
    job.out.mkdir(exist_ok=True)
    return job


def test_a_job_comes_out_as_it_went_in(tmp_path: Path) -> None:
    job = make_job(
        tmp_path, protected=tuple(tiny.examples(2)), adapter=tmp_path / "adapter", provenance={"checkpoint": "k"}
    )
    assert Job.read(job.write()) == job


def test_the_launcher_is_that_of_torch(tmp_path: Path) -> None:
    from torch.distributed.run import get_args_parser

    asked = launch.command(3, tmp_path / "job.json")
    torch_run = get_args_parser().parse_args(asked[3:])
    assert (torch_run.nproc_per_node, torch_run.max_restarts, torch_run.module) == ("3", 0, True)
    assert torch_run.training_script_args == [str(tmp_path / "job.json")]
    assert torch_run.training_script == "chaintune.execution.processes.ranks"


def test_processes_import_nothing_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "argparse.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    started = [sys.executable, "-m", "json.tool", "--help"]
    monkeypatch.setattr(launch, "command", lambda *_: started)
    with pytest.raises(StageError):  # which is none of ours, so it leaves no result
        launch.tune_on_devices(make_job(tmp_path), lambda _: None)
    assert not (tmp_path / "ran").exists()


class Launched:
    """A double of the launcher: at each start the processes tell what the next of some writers writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *starts: Any, code: int = 1) -> None:
        self.jobs: list[Job] = []
        self.asked: list[list[str]] = []
        self._starts, self._code = list(starts), code
        monkeypatch.setattr("chaintune.execution.processes.launch.subprocess.Popen", self._start)

    def _start(self, asked: list[str], stdout: Any, **_: Any) -> Any:
        job = Job.read(Path(asked[-1]))
        self.jobs.append(job)
        self.asked.append(asked)
        self._starts.pop(0)(job, stdout)
        return SimpleNamespace(poll=lambda: self._code, returncode=self._code)


def fails(rank: int = 0, **told: Any) -> Any:
    def write(job: Job, _: Any) -> None:
        whole = {"error": "", "sentence": "", "at_once": 0, "traceback": ""} | told
        job.error_file(rank).write_text(json.dumps(whole))

    return write


def ends(job: Job, _: Any) -> None:
    step = {"step": 1, "steps": 1, "loss": 2.0, "learning_rate": 0.1, "gradient_norm": 3.0, "tokens": 9}
    (job.out / "steps.jsonl").write_text(json.dumps(step | {"tokens_per_second": 1.0}) + "\n" + '{"step": 2, ')
    (job.scratch / RESULT).write_text('{"steps": 1}')


def test_an_error_of_a_process_is_raised_with_its_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Launched(monkeypatch, fails(rank=1, error="DataError", sentence="example 'a' is too long"))
    with pytest.raises(DataError, match=r"^example 'a' is too long$"):
        launch.tune_on_devices(make_job(tmp_path), lambda _: None)


def test_a_bug_of_a_process_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Launched(monkeypatch, fails(sentence="x", traceback="Traceback ... ZeroDivisionError"))
    with pytest.raises(RuntimeError, match=r"a process of several: Traceback .* ZeroDivisionError") as raised:
        launch.tune_on_devices(make_job(tmp_path), lambda _: None)
    assert not isinstance(raised.value, StageError)


def test_a_process_that_ends_without_a_word_fails_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Launched(monkeypatch, lambda _, said: said.write("rank 1: Signal 9 (SIGKILL) received\n"))
    with pytest.raises(StageError, match=r"one of the 2 processes was killed.*Signal 9"):
        launch.tune_on_devices(make_job(tmp_path), lambda _: None)


def test_who_loses_a_killed_process_is_not_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def both(job: Job, said: Any) -> None:
        fails(traceback="Connection reset by peer")(job, said)
        said.write("rank 0: Signal 15 (SIGTERM) received\nrank 1: Signal 9 (SIGKILL) received\n")

    Launched(monkeypatch, both)
    with pytest.raises(StageError, match=r"one of the 2 processes was killed \(Signal 9 \(SIGKILL\)\)"):
        launch.tune_on_devices(make_job(tmp_path), lambda _: None)


def test_when_memory_runs_out_in_one_all_begin_again_with_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    launched = Launched(monkeypatch, fails(rank=1, error="OutOfMemoryError", at_once=4), ends, code=0)
    assert launch.tune_on_devices(make_job(tmp_path), told.append) == {"steps": 1}
    assert [job.recipe.micro_batch_size for job in launched.jobs] == [0, 2]
    assert [step.step for step in told] == [1]  # the line that is not whole is not told


def test_when_memory_runs_out_of_a_shared_model_all_score_again_with_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = Launched(monkeypatch, fails(rank=1, error="OutOfMemoryError", at_once=1800), ends, code=0)
    launch.score_on_devices(make_job(tmp_path, kind="score"), 2, lambda _: None)
    assert [job.batch_tokens for job in launched.jobs] == [None, 900]


def test_more_devices_than_gpus_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "default_device", lambda: SimpleNamespace(type="cuda"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ConfigError, match="at most the 1 GPUs that are visible here, got 2"):
        launch.tune_on_devices(make_job(tmp_path), lambda _: None)


def test_the_page_names_what_is_read() -> None:
    assert BLOCKS.keys() == {"yaml", "console"}
    recipe = yaml.safe_load(BLOCKS["yaml"])["recipe"]
    study = make_study(recipe=recipe)
    plan = make_plan(study)
    assert {node.recipe.devices for node in plan.stages} == {4}
    assert {node.devices for node in plan.nodes if isinstance(node, ScoreNode)} == {4}
