"""What works where only the core is installed, and what is said of the rest: torch and the like are hidden here."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from chaintune.cli.app import app
from chaintune.execution.run import run_plan
from chaintune.store.folder import FolderStore
from tests import run_folders
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task

HIDDEN = ("torch", "transformers", "peft", "accelerate", "safetensors", "datasets", "pandas", "psutil", "gguf", "ray")
HIDE = f"""
import sys
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
def find_unhidden(name, path=None, target=None):
    return None if name.partition(".")[0] in {HIDDEN} else find_spec(name, path, target)
PathFinder.find_spec = find_unhidden
"""
COMMANDS = """
import io, json
from contextlib import redirect_stderr, redirect_stdout
from chaintune.cli.app import _exit_code
from chaintune.report.figures import saving  # one figure is drawn, and stands for all
answers, drawings = [], {}
svg, png = saving.svg, saving.png
saving.svg = lambda *given, **named: drawings.get("svg") or drawings.setdefault("svg", svg(*given, **named))
saving.png = lambda *given, **named: drawings.get("png") or drawings.setdefault("png", png(*given, **named))
for command in json.loads(sys.argv[1]):
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = _exit_code(command.split())
    answers.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(answers))
"""
STUDY = """
base: model
tasks:
  a: {role: safety, path: a.jsonl}
  b: {role: capability, path: b.jsonl}
chains: both orders
"""
NEEDS_TORCH = "training and scoring need torch, which is not installed; install it with: pip install 'chaintune[hf]'"


def python(code: str, *arguments: str, folder: Path) -> str:
    """What code prints in a process to which the packages are hidden."""
    asked = [sys.executable, "-c", HIDE + code, *arguments]
    done = subprocess.run(asked, check=False, capture_output=True, text=True, cwd=folder)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tables of scores, the folder of a report and one of a run, and a study file with its data."""
    folder = tmp_path_factory.mktemp("core")
    for side, lost in (("before", 0), ("after", 1)):
        rows = [{"id": i, "score": int(i % 3 >= lost), "kind": "xy"[i % 2]} for i in range(40)]
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = [{"id": i, "prompt": "?", "text": "I cannot help with that."} for i in range(40)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    run_folders.run_folder(folder / "report", [run_folders.task("s"), run_folders.task("c")])
    study = make_study()
    tasks = {name: make_task(name) for name in study.tasks}
    store, engine = FolderStore(folder / "store"), DummyEngine(folder / "engine")
    run_plan(make_plan(study, tasks), store=store, engine=engine, out=folder / "run", tasks=tasks)
    items = [{"id": str(i), "question": f"{i}?", "choices": ["a", "b"], "answer": 0} for i in range(40)]
    for name in "ab":
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (folder / "study.yaml").write_text(STUDY)
    for name, (old, new, _) in BROKEN.items():
        assert old in STUDY
        (folder / name).write_text(STUDY.replace(old, new))
    (folder / "lenient.yaml").write_text("budgets: [{task: items, forgetting: 0.9}]")
    return folder


FEW = "--resamples 200"
WORKS = {
    f"compare before.jsonl after.jsonl --by kind {FEW}": "forgetting",
    f"compare before.jsonl after.jsonl --html page.html {FEW}": "forgetting",
    f"card before.jsonl after.jsonl {FEW}": "model-index",
    "report report": "Forgetting in the study",
    "status run": "done",
    "tasks": "bbq",
    "policy init policy.yaml": "wrote policy.yaml",
    f"compare before.jsonl after.jsonl --policy lenient.yaml {FEW}": "PASS",
    "store ls --store store": "stage",
    "suite list": "chat-safety",
    "schema": "chains",
    "init a.jsonl --out drafted.yaml": "wrote drafted.yaml",
    "rescore texts.jsonl --scorer refusal --out texts.parquet": "wrote texts.parquet",
}
NEEDS_HF = (
    "run study.yaml",
    "order study.yaml",
    "plan study.yaml",
    "score model --task openbookqa --out x.parquet",
    "audit model model --task csqa",
    "curvature model --task bbq",
    "mitigate model --before m --forgotten bbq --keep csqa --dose 0.1 --out o",
    "rescore texts.jsonl --scorer judge --set model=m --set template=harmfulness --out judged.parquet",
)


# Name of a study file -> what in STUDY is put otherwise in it, and what is said of that.
BROKEN = {
    f"broken-{number}.yaml": broken
    for number, broken in enumerate(
        [
            ("chains: both orders", "chains: [[a, c]]", "'c'"),
            ("role: safety", "role: safe", "'safe'"),
            ("chains:", "mitigations: [{kind: rpelay}]\nchains:", "replay"),
            ("chains:", "mitigations: [{ewc: {task: a, strngth: 1}}]\nchains:", "strength"),
            ("chains:", "recipe: {learning_rate: fast}\nchains:", "learning_rate"),
            ("chains:", "vary: {recipe.epoch: [1, 2]}\nchains:", "epoch"),
            ("base: model\n", "", "base"),
        ]
    )
}
REFUSED = [f"{command} {name}" for name in BROKEN for command in ("run", "plan")]


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, tuple[int, str, str]]:
    """Exit code, stdout and stderr of every command, one after another in one process."""
    commands = [*WORKS, *REFUSED, *NEEDS_HF]
    found: list[Any] = json.loads(python(COMMANDS, json.dumps(commands), folder=folder))
    return {command: (code, out, err) for command, (code, out, err) in zip(commands, found, strict=True)}


def test_the_core_compares_reports_and_lists(answers: Mapping[str, tuple[int, str, str]]) -> None:
    for name, said in WORKS.items():
        code, out, err = answers[name]
        assert code == 0, (name, err)
        assert said in out, name


def test_every_command_is_tried_without_torch() -> None:
    assert {name.split()[0] for name in (*WORKS, *NEEDS_HF)} == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_errors_of_a_study_file_need_no_torch(answers: Mapping[str, tuple[int, str, str]]) -> None:
    for command in REFUSED:
        name = command.split()[1]
        code, out, err = answers[command]
        assert (code, out) == (2, "")
        assert err.startswith(f"chaintune: {name}"), err
        assert BROKEN[name][2] in err
        assert "torch" not in err


def test_what_needs_torch_says_what_to_install(answers: Mapping[str, tuple[int, str, str]]) -> None:
    for command in NEEDS_HF:
        assert answers[command] == (2, "", f"chaintune: {NEEDS_TORCH}\n"), command


def test_python_says_so_too(folder: Path) -> None:
    code = """
import chaintune, polars as pl
for name in chaintune.__all__:
    if name != "ForgettingCallback":
        getattr(chaintune, name)
scores = pl.DataFrame([{"id": i, "score": i % 2} for i in range(40)])
found = chaintune.compare(scores, scores, resamples=100)
print(found.to_polars().height)
for call in (lambda: chaintune.ForgettingCallback, lambda: chaintune.score("model", "bbq"), found.to_pandas):
    try:
        call()
    except chaintune.MissingPackageError as error:
        assert isinstance(error, ImportError)
        print(error)
"""
    pandas = "pandas frames need pandas, which is not installed; install it with: pip install pandas"
    assert python(code, folder=folder).splitlines() == ["1", NEEDS_TORCH, NEEDS_TORCH, pandas]
