"""`chaintune plan --cluster` on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from chaintune.cli import main
from tests import tiny

STUDY = Path(__file__).parents[3] / "studies" / "smoke.yaml"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that point the smoke study at its model and data, and at a store of its own."""
    folder = tmp_path_factory.mktemp("smoke")
    tiny.write_smoke(folder)
    data = [f"tasks.{name}.path={folder / name}.jsonl" for name in ("balls", "boxes")]
    overrides = [f"base={folder / 'model'}", *data]
    return [*(word for text in overrides for word in ("--set", text)), "--store", str(folder / "store")]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(STUDY), *arguments])
    return int(ended.value.code or 0)


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(*arguments, "--json") == 0
    return dict(json.loads(capsys.readouterr().out))


def test_a_cluster_s_schedule_is_beside_the_forecast(places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, *places, "--cluster", "4 gpu 80GB")
    schedule = found["schedule"]
    assert {one["key"] for one in schedule["placed"]} == {node["key"] for node in found["nodes"]}
    assert schedule["units"] == 4
    assert schedule["critical_seconds"] <= schedule["makespan_seconds"] < found["forecast"]["seconds"]
    assert schedule["widths"][0]["makespan_seconds"] == pytest.approx(found["forecast"]["seconds"])
    assert schedule["disk_bytes"] > 0
    assert "schedule" not in planned(capsys, *places)


def test_in_text_it_says_what_limits_it(places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*places, "--cluster", "16 cpu") == 0
    told = capsys.readouterr().out
    assert "What is still to do, on 16 cores and on fewer" in told
    assert "critical path, about " in told
    assert "of 16 cores; more shorten it by less than 5 %" in told
    assert run(*places, "--cluster", "1 gpu") == 0
    assert "worth having: the one GPU" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "recipe", "told"),
    [
        ("many gpus", "epochs=1", "--cluster: cannot read 'many gpus'"),
        ("2 gpu", "devices=4", "asks for, 4 cores, 4 GPUs"),
        ("4 cpu 8GB", "memory_gb=16", "16 GB of memory"),
    ],
)
def test_a_cluster_that_cannot_run_it_is_refused(
    places: list[str], capsys: pytest.CaptureFixture[str], words: str, recipe: str, told: str
) -> None:
    assert run(*places, "--set", f"recipe.{recipe}", "--cluster", words) == 2
    assert told in capsys.readouterr().err
