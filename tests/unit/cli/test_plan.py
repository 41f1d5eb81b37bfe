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


def test_a_makespan_is_beside_the_forecast(places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    plain = planned(capsys, *places, "--cluster", "4 gpu 80GB")
    schedule, forecast = plain["schedule"], plain["forecast"]
    assert schedule["cluster"] == "4 GPUs of 80 GB"
    assert forecast["seconds"] / 4 <= schedule["makespan_seconds"] < forecast["seconds"]
    assert schedule["unit"] == "gpu"
    assert schedule["unit_hours"] == pytest.approx(forecast["seconds"] / 3600)
    assert schedule["disk_bytes"] > 0
    assert "schedule" not in planned(capsys, *places)


def test_in_text_it_says_time_device_hours_and_disk(places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*places, "--cluster", "16 cpu") == 0
    text = capsys.readouterr().out
    assert "on 16 cores: about " in text
    assert " core-hours; disk " in text
    assert run(*places, "--cluster", "1 gpu") == 0
    assert " GPU-hours; disk " in capsys.readouterr().out


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
