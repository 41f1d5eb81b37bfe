"""`chaintune init`: what it writes runs through `chaintune plan` as it is."""

import csv
from pathlib import Path

import pytest

from chaintune.cli import main
from chaintune.study import draft
from tests import tiny
from tests.unit.study.test_draft import FORMS, filled, write

COUNT = 24


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a chat template."""
    folder = tiny.write_model(tmp_path_factory.mktemp("init") / "model")
    tokenizer = tiny.make_tokenizer()
    tokenizer.chat_template = tiny.CHAT
    tokenizer.save_pretrained(folder)
    return folder


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.parametrize("form", ["letters", "conversations", "preferences"])
def test_what_it_writes_can_be_planned_without_an_edit(
    form: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(draft, "at_hand", lambda _places: "")
    (tmp_path / "data").mkdir()
    name = "data/mine.jsonl"
    if form == "letters":
        name = "data/mine.csv"
        with Path(name).open("w", encoding="utf-8", newline="") as file:
            rows = [filled(FORMS[form][0], k) for k in range(COUNT)]
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        write(Path(name), FORMS[form][0], COUNT)
    assert run("init", name, "--base", str(model)) == 0
    assert "wrote mine.yaml and study.schema.json; next: chaintune plan mine.yaml" in capsys.readouterr().out
    assert Path("study.schema.json").exists()
    assert run("plan", "mine.yaml", "--store", "store") == 0
    assert "to do: 1 stage (" in capsys.readouterr().out
    assert run("init", name) == 2
    assert "mine.yaml: there is a file already" in capsys.readouterr().err
