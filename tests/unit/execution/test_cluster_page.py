"""What docs/how-to/cluster.md shows: files that are read as meant, scripts that parse, commands that exist."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from chaintune.cli.app import app
from chaintune.execution.requests import ResourceRequest, requests_of
from chaintune.study.study import Study
from tests.dummy_engine import make_plan, make_task

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "cluster.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
YAML = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
SHELL = [text for language, text in BLOCKS if language == "bash"]


def parses(command: str) -> bool:
    import typer

    _, name, *arguments = shlex.split(command, comments=True)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    with commands[name].make_context(name, arguments):
        return True


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {language for language, _ in BLOCKS} == {"bash", "yaml"}
    assert (len(YAML), len(SHELL)) == (2, 7)


def test_the_recipe_asks_for_what_the_page_says() -> None:
    study = Study.from_mapping(YAML[0])
    plan = make_plan(study, {name: make_task(name, train=40) for name in ("bbq", "csqa")})
    request_of = requests_of(plan, any_gpu=True)
    requests = {node.task: request_of(node) for node in plan.stages}
    assert requests == {"bbq": ResourceRequest(4, 1, 32e9), "csqa": ResourceRequest(4, 0.5, 32e9)}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell")
@pytest.mark.parametrize("script", SHELL)
def test_scripts_parse(script: str) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)  # noqa: S607 - whichever bash there is


def test_the_job_of_slurm_runs_a_command_that_exists() -> None:
    script, array = (text for text in SHELL if "SBATCH" in text)
    assert parses(array.splitlines()[-1])
    command = script.replace("\\\n", " ").split(" -- ")[1].strip()
    assert parses(command)
    assert "--executor ray --address auto" in command


def test_the_job_of_kubernetes_runs_a_command_that_exists() -> None:
    job = YAML[1]["spec"]
    assert parses(job["entrypoint"])
    assert job["rayClusterSpec"]["workerGroupSpecs"][0]["replicas"] == 4


def test_the_commands_of_plain_clusters_exist() -> None:
    lines = [line for text in SHELL if "SBATCH" not in text for line in text.splitlines()]
    commands = [line for line in lines if line.startswith("chaintune ")]
    assert all(map(parses, commands))
