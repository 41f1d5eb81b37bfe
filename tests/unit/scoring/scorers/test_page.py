"""The how-to page docs/how-to/scorers.md: its tasks are tasks, its texts are judged as it says, its function runs."""

import io
import json
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaintune.cli.app import main
from chaintune.records import Example, Scores
from chaintune.scoring.scorers import SCORERS
from chaintune.study.task_spec import suite_settings

PAGE = (Path(__file__).parents[4] / "docs" / "how-to" / "scorers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FUNCTION = "def polite("


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"{k}", "text": "Thank you." if k % 2 else "No."} for k in range(10)]
    Path("answers.csv").write_text("id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows))
    Path("prompts.jsonl").write_text(json.dumps({"prompt": "Hello"}) + "\n")
    (source,) = [text for _, text in BLOCKS if text.startswith(FUNCTION)]
    Path("polite.py").write_text(source)
    return tmp_path


def test_the_texts_are_judged_as_the_page_says(folder: Path) -> None:
    names: dict[str, Any] = {}
    printed, compared = "", 0
    for language, text in BLOCKS:
        if language == "python" and not text.startswith(FUNCTION):
            with redirect_stdout(io.StringIO()) as output:
                exec(compile(text, "scorers.md", "exec"), names)  # noqa: S102 - the page is ours
            printed = output.getvalue()
        elif language == "text":
            assert printed == text
            compared += 1
    assert compared == 6
    own = names["SCORER"]
    example = Example("e", "p", None, {}, "c")
    assert [one.outcome for one in own.verdicts([example] * 2, ["NO!", "No."], own.settings(share=0.6))] == [
        "loud",
        "calm",
    ]


def test_the_tasks_are_tasks(folder: Path) -> None:
    blocks = [text for language, text in BLOCKS if language == "yaml"]
    assert len(blocks) == 3
    for number, text in enumerate(blocks):
        path = folder / f"{number}.yaml"
        path.write_text(text)
        assert suite_settings(str(path))["tasks"].keys() == yaml.safe_load(text)["tasks"].keys()


def test_the_command_judges_by_the_function(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = [text for language, text in BLOCKS if language == "bash"]
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    assert ended.value.code == 0, capsys.readouterr().err
    assert Scores.read("polite.parquet").item_scores().sum() == 5


def test_the_page_says_what_each_scorer_says_of_itself() -> None:
    own = [SCORERS.get(name) for name in SCORERS.shipped if SCORERS.get(name).model is None]
    assert len(own) == 6
    for scorer in own:
        assert scorer.limits in PAGE, scorer.name
        (row,) = re.findall(rf"^\| `{scorer.name}` \|.*$", PAGE, re.MULTILINE)
        for outcome in scorer.outcomes:
            assert f"`{outcome}`" in row, scorer.name
