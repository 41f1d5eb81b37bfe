"""The study, the GRPO script and the commands of docs/how-to/external.md, on a two-layer model."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from chaintune.cli import main
from chaintune.study.study import Study
from tests import tiny

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "external.md").read_text(encoding="utf-8")
CHAINS, SCRIPT, STUDY, COMMANDS = (text for _, text in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page's files lie."""
    tiny.write_model(tmp_path / "model")
    tiny.write_task(tmp_path / "safe.jsonl")
    tiny.write_task(tmp_path / "sums.jsonl", rule="box")
    (tmp_path / "grpo.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHAINTUNE_STORE", str(tmp_path / "store"))
    return tmp_path


def test_the_steps_of_the_page_are_steps_of_a_study(folder: Path) -> None:
    study = Study.from_mapping(yaml.safe_load(STUDY) | yaml.safe_load(CHAINS))
    assert [stage.label for stage in study.external] == ["sums", "sums-lora", "sums-grpo"]


@pytest.mark.slow  # TRL alone takes ten seconds to be imported
def test_grpo_by_trl_is_a_stage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in COMMANDS.splitlines():
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(line.removeprefix("$ "))[1:])
        assert ended.value.code == 0, capsys.readouterr().err
        if " plan " in line:
            assert "not counted: 1 stage that a command makes" in capsys.readouterr().out
            assert not list((folder / "store").rglob("command.log"))
    (log,) = (folder / "store").rglob("command.log")
    assert "'reward'" in log.read_text(encoding="utf-8")
    rows = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))["rows"]
    assert {row["chain"] for row in rows if row["metric"] == "forgetting" and row["task"] == "safe"} == {
        "safe>sums",
        "safe>sums>safe@25%",
    }
    for written in ("report.md", "report.html"):
        assert "by a recipe that is not known here" in (folder / "out" / written).read_text(encoding="utf-8")
