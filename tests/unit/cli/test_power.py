"""`--power` of `chaintune plan` and `chaintune tasks`: what is shown, that no model is read, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaintune.cli import main
from tests import tiny
from tests.unit.tasks.test_self import SHAPES, write

STUDY = Path(__file__).parents[3] / "studies" / "smoke.yaml"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def arc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A known task with data of its shape."""
    name = next(iter(SHAPES))
    file, row = SHAPES[name]
    write(tmp_path / file, [row(k) for k in range(400)])
    monkeypatch.setenv("CHAINTUNE_DATA", str(tmp_path))
    return name


def test_a_study_tells_its_power_without_a_model_or_torch(tmp_path: Path) -> None:
    tiny.write_smoke(tmp_path)
    sets = [f"tasks.{name}.path={tmp_path / name}.jsonl" for name in ("balls", "boxes")]
    options = [word for text in (*sets, "base=no/such-model") for word in ("--set", text)]
    arguments = ["plan", str(STUDY), *options, "--power", "--json", "--flips", "10%,5%", "--seed-sd", "2"]
    code = (
        "import sys; from chaintune.cli import main\n"
        f"try: main({arguments!r})\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert done.stderr.split()[-1] == "False"
    power = json.loads(done.stdout)
    assert power["assumed"]["forgot"] == pytest.approx(0.1)
    assert power["assumed"]["seed_sd"] == pytest.approx(0.02)
    assert set(power["tasks"]) == {"balls", "boxes"}
    for rows in power["tasks"].values():
        assert rows[0]["dimension"] == ""
        assert 0 <= rows[0]["power"]["5"][0] <= rows[0]["power"]["10"][0] <= 1


def test_a_task_tells_its_power_at_a_size(arc: str, capsys: pytest.CaptureFixture[str]) -> None:
    powers = []
    for size in ("20", "60"):
        assert run("tasks", arc, "--power", "--test", size, "--json") == 0
        row = json.loads(capsys.readouterr().out)["tasks"][arc][0]
        assert row["n"] == [int(size), int(size)]
        powers.append(row["power"]["10"][0])
    assert powers[0] < powers[1]
    assert run("tasks", arc, "--power", "--test", "60", "--correlation", "0.2") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "whole task" in text
    assert "by 0.2 (--correlation)" in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["tasks", "--power"], "needs one task"),
        (["tasks", "bbq", "--flips", "12%,8%"], "add --power"),
        (["tasks", "bbq", "--test", "20"], "add --power"),
        (["tasks", "bbq", "--power", "--flips", "12"], "two shares"),
        (["tasks", "bbq", "--power", "--flips", "70%,60%"], "at most 1"),
        (["tasks", "bbq", "--power", "--correlation", "2"], "between 0 and 1"),
        (["plan", str(STUDY), "--seed-sd", "3"], "add --power"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert reason in capsys.readouterr().err


def test_what_is_measured_in_nats_or_never_has_no_power(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": f"Why {k}?", "response": "So."} for k in range(8)]
    pairs = [{"prompt": f"Why {k}?", "chosen": "So.", "rejected": "No."} for k in range(8)]
    for name, own in (("answers", rows), ("pairs", pairs)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    names = {"answers": "answers", "pairs": "pairs", "taught": "pairs"}
    tasks: dict[str, dict[str, str]] = {
        name: {"role": "safety", "path": f"{file}.jsonl"} for name, file in names.items()
    }
    tasks["taught"] |= {"test": "none"}
    study = {"base": "m", "tasks": tasks, "chains": [["taught", "answers"]], "allow_overlap": True}
    (tmp_path / "s.yaml").write_text(json.dumps(study))
    assert run("plan", str(tmp_path / "s.yaml"), "--power", "--json") == 0
    out, told = capsys.readouterr()
    assert set(json.loads(out)["tasks"]) == {"pairs"}
    assert "task 'answers' is measured in nats, which do not flip, so its power is not known" in told
