"""`chaintune plan` on the command line: its summary, its nodes, `--cluster`."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
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
    schedule = planned(capsys, *places, "--cluster", "4 h100")["schedule"]
    assert schedule["cluster"] == "4 H100s of 80 GB"
    assert schedule["unit"] == "gpu"
    assert schedule["unit_hours"] / 4 < schedule["makespan_seconds"] / 3600 < schedule["unit_hours"]
    assert schedule["disk_bytes"] > 0
    plain = planned(capsys, *places, "--cluster", "1 h100 1TFLOPS")
    slow, tokens = plain["schedule"], plain["forecast"]
    assert slow["unit_hours"] > schedule["unit_hours"], "the rate that is named counts"
    assert tokens["seconds"] > 0
    assert tokens["added_bytes"]["all"] > tokens["added_bytes"]["none"] > 0
    assert plain["memory_bytes"] > 0
    assert "schedule" not in planned(capsys, *places)


def test_no_rate_of_this_machine_stands_under_the_name_of_another(
    places: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    schedule = planned(capsys, *places, "--cluster", "4 gpu 80GB")["schedule"]
    assert (schedule["makespan_seconds"], schedule["unit_hours"]) == (None, None)
    assert run(*places, "--cluster", "1 gpu") == 0
    assert "on 1 GPU: time unknown, as nothing was measured on such a device yet" in capsys.readouterr().out


def test_the_summary_comes_first(
    places: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaintune.cli.plan._MOST_SHOWN", 3)
    assert run(*places, "--cluster", "16 cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    words = ["to do", "sharing", "time", "memory", "disk", "on 16 cores"]
    assert [line.partition(":")[0] for line in lines[:6]] == words
    assert " core-hours (guessed from this machine's matrix products); disk " in lines[5]
    assert "And 11 more; --all shows them, --json has all." in lines
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    assert run(*places, "--all") == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) > len(lines)
    assert "WARNING: that does not fit, and run will not begin; 'keep: final' would take" in text


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
