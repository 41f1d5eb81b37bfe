"""What `chaintune score` refuses before it looks for the model."""

from pathlib import Path

import pytest

from chaintune.cli.app import main
from tests import tiny


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--by", "ownr", "--out", "x.parquet"],
            "by 'ownr': of 'balls' none has a dimension 'ownr': did you mean 'owner'",
        ),
        (["--task", "balls.jsonl", "--out", "x"], "a file of your own is named by tasks.NAME.path=FILE"),
        (["--out", "b.csv"], "--out b.csv: scores are written as Parquet; name a .parquet file, or a folder"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write_task(tmp_path / "balls.jsonl", rule="ball")
    with pytest.raises(SystemExit) as ended:
        main(["score", "nowhere", "--task", "balls", "--set", "tasks.balls.path=balls.jsonl", *arguments])
    assert (ended.value.code, said in capsys.readouterr().err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["balls.jsonl"]


@pytest.mark.parametrize(
    "command",
    [
        ["score", "nowhere", "--out", "x"],
        ["audit", "nowhere", "there"],
        ["mitigate", "nowhere", "--before", "there", "--forgotten", "balls", "--keep", "boxes", "--out", "x"],
    ],
)
def test_each_command_takes_a_file_of_tasks_and_tells_a_mistake_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("tasks:\n  balls: {role: safety, path: balls.jsonl}\n  boxes: {rol: safety}\n")
    with pytest.raises(SystemExit) as ended:
        main([*command, "--tasks", "mine.yaml"])
    assert ended.value.code == 2
    assert "mine.yaml:3: tasks.boxes.rol: unknown key 'rol'; did you mean 'role'?" in capsys.readouterr().err
