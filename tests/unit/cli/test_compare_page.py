"""`chaintune compare --html`: the page beside what is printed."""

import json
from pathlib import Path

import pytest

from chaintune.cli.app import main


def write(path: Path, right: list[int], *, ids: int = 0) -> str:
    rows = [
        {"id": number + ids, "score": score, "faith": "ab"[number % 2], "age": "xyz"[number % 3]}
        for number, score in enumerate(right)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--resamples", "200"])
    return int(str(ended.value.code or 0))


def test_the_page_holds_the_answer_the_items_that_changed_and_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = [int(number % 3 > 0) for number in range(40)]
    logs = [write(tmp_path / "before.jsonl", [1] * 40), write(tmp_path / "after.jsonl", after)]
    page = tmp_path / "page.html"
    assert run("compare", *logs, "--by", "faith", "--html", str(page)) == 0
    assert "14 were right before and wrong after" in capsys.readouterr().out
    html = page.read_text(encoding="utf-8")
    assert "14 were right before and wrong after" in html
    data = json.loads(html.split('id="data">')[1].split("</script>")[0])
    assert [(step["forgot"], step["learned"], step["shown"]) for step in data["examples"]["steps"]] == [(14, 0, 14)]
    assert {group for item in data["examples"]["items"] for group in item["groups"]["faith"]} == {"a", "b"}
    assert len(data["figures"]) >= 3
    assert not list(tmp_path.glob("*.partial"))


def test_the_items_of_a_crossing_have_the_groups_of_both_dimensions(tmp_path: Path) -> None:
    logs = [write(tmp_path / "before.jsonl", [1] * 40), write(tmp_path / "after.jsonl", [0] * 40)]
    page = tmp_path / "page.html"
    assert run("compare", *logs, "--by", "faith  x age", "--html", str(page)) == 0
    data = json.loads(page.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0])
    assert all(item["groups"]["faith"] and item["groups"]["age"] for item in data["examples"]["items"])


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = [write(tmp_path / name, [1, 0] * 20) for name in ("before.jsonl", "after.jsonl")]
    assert run("compare", *logs, "--html", str(tmp_path / "nowhere" / "page.html")) == 2
    assert "nowhere" in capsys.readouterr().err


def test_examples_of_one_side_only_are_left_out_of_the_page_too(tmp_path: Path) -> None:
    logs = [write(tmp_path / "before.jsonl", [1] * 40), write(tmp_path / "after.jsonl", [0] * 40, ids=5)]
    page = tmp_path / "page.html"
    assert run("compare", *logs, "--html", str(page), "--on-missing", "intersect") == 0
    data = json.loads(page.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0])
    assert data["examples"]["steps"][0]["forgot"] == 35
