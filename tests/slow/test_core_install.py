"""The core installed into an environment of its own: from this checkout, or the wheel that CHAINTUNE_WHEEL names."""

import json
import os
import subprocess
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the environment's programs."""
    folder = tmp_path_factory.mktemp("core")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    wheel = str(Path(os.environ.get("CHAINTUNE_WHEEL", ROOT)).resolve())
    done = subprocess.run(  # noqa: S603
        [*pip, "--constraint", str(ROOT / "constraints.txt"), wheel], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return programs


def call(program: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [str(program), *arguments], check=False, capture_output=True, text=True, cwd=folder, env={}
    )


def test_torch_and_what_comes_with_it_are_not_installed(installed: Path, tmp_path: Path) -> None:
    listed = call(installed / "python", "-m", "pip", "list", "--format", "json", folder=tmp_path).stdout
    names = {package["name"].lower() for package in json.loads(listed)}
    assert {"chaintune", "polars", "scipy"} <= names
    assert not names & {"torch", "transformers", "peft", "accelerate", "safetensors", "datasets", "pandas", "psutil"}


def test_it_compares_reports_and_refuses(installed: Path, tmp_path: Path) -> None:
    for side, lost in (("before", 0), ("after", 1)):
        rows = [{"id": i, "score": int(i % 3 >= lost), "kind": "xy"[i % 2]} for i in range(40)]
        (tmp_path / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "study.yaml").write_text("base: model\ntasks: {a: {role: safe}}\n")
    (tmp_path / "whole.yaml").write_text(
        "base: model\ntasks: {bbq: {role: safety}, csqa: {role: capability}}\nchains: both orders\n"
    )
    program = installed / "chaintune"
    for arguments, code, part in (
        ("compare before.jsonl after.jsonl --by kind --html page.html", 0, "forgetting"),
        ("tasks", 0, "bbq"),
        ("--version --all", 0, "not installed: accelerate, "),
        ("policy init", 0, "wrote policy.yaml"),
        ("run study.yaml", 2, "safety"),
        ("run whole.yaml", 2, "pip install 'chaintune[hf]'"),
    ):
        done = call(program, *arguments.split(), folder=tmp_path)
        assert done.returncode == code, done.stderr
        assert part in done.stdout + done.stderr
    assert (tmp_path / "page.html").stat().st_size > 10_000
