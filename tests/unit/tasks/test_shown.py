"""`chaintune tasks`: what is listed, what is shown of one, and what is hidden unless asked for."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaintune import tasks
from chaintune.cli.app import app
from tests.unit.tasks.test_self import COUNT, SHAPES, write

OFFENSIVE = {"crows_pairs", "hh_rlhf", "stereoset", "toxigen"} | {
    "bold", "do_not_answer", "safer_dialogues", "toxigen_prompts", "xstest",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file, row in SHAPES.values():
        write(tmp_path / file, [row(k) for k in range(COUNT)])
    monkeypatch.setenv("CHAINTUNE_DATA", str(tmp_path))


def shown(*arguments: str) -> tuple[str, str]:
    done = CliRunner().invoke(app, ["tasks", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout, done.stderr


def test_every_known_task_is_listed() -> None:
    lines = shown()[0].splitlines()
    assert [line.split()[0] for line in lines[1 : lines.index("")]] == list(tasks.names())
    assert max(map(len, lines[: lines.index("")])) <= 100
    by_name = {line.split()[0]: " ".join(line.split()) for line in lines if line}
    assert by_name["dolly"] == "dolly capability 15,011 category CC BY-SA 3.0 not here"
    assert by_name["arc_easy"] == "arc_easy capability 2,251 + 2,376 CC BY-SA 4.0 CHAINTUNE_DATA"
    assert "category, +3" in by_name["bbq"]
    assert lines[-2].startswith("Looked in: CHAINTUNE_DATA (/")
    assert json.loads(shown("--json")[0]) == list(tasks.names())


def test_exactly_the_tasks_that_hold_slurs_are_offensive() -> None:
    assert {name for name in tasks.names() if tasks.is_offensive(name)} == OFFENSIVE
    assert not tasks.is_offensive("lm_eval:arc_easy")


@pytest.mark.parametrize("name", SHAPES)
def test_offensive_prompts_are_shown_on_request_only(name: str) -> None:
    out, told = shown(name)
    assert "licence: " in out
    assert sum(map(int, re.findall(r"^t\w+: (\d+) examples in", out, re.MULTILINE))) == COUNT
    assert ("Prompts, each with its right answer" in out) == (name not in OFFENSIVE)
    assert ("--show-offensive" in told) == (name in OFFENSIVE)
    out, told = shown(name, "--show-offensive")
    assert "Prompts, each with its right answer" in out
    assert told == ""


def test_json_hides_them_too() -> None:
    assert json.loads(shown("toxigen", "--json")[0])["prompts"] == []
    told = json.loads(shown("toxigen", "--json", "--show-offensive")[0])
    assert len(told["prompts"]) == 3
    assert sum(told["test"]["groups"]["target_group"].values()) == told["test"]["examples"]
