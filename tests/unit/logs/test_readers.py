"""Readers of logs by name, shipped and offered by installed packages."""

import json
import re
from pathlib import Path

import pytest

import chaintune
from chaintune.cli.app import main
from chaintune.errors import ConfigError, DataError
from chaintune.logs.readers import READERS, LogReader, reader_of
from tests.conftest import Install
from tests.unit.logs import archives, logs

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "compare.md"
(OFFERED,) = (text for text in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S) if "READER" in text)


@pytest.fixture
def _offered(install: Install) -> None:
    install("chaintune.log_readers: tally = tallying:READER\ntable = tallying:read", OFFERED)


def test_every_shipped_reader_is_one() -> None:
    assert len(READERS.shipped) == 11
    assert all(isinstance(READERS.get(name), LogReader) for name in READERS.shipped)
    assert [name for name in READERS.shipped if READERS.get(name).has_filters] == ["lm-eval", "promptfoo"]


def test_each_kind_of_log_is_recognised(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,score\n1,1\n")
    archive = archives.write(tmp_path / "inner" / "l.eval", archives.log([archives.sample(0, {"m": 1})]))
    folder = logs.write(tmp_path / "lm", [logs.sample(0, 1)])
    assert [reader_of(path) for path in (table, archive, archive.parent, folder)] == [
        "table",
        "inspect",
        "inspect",
        "lm-eval",
    ]


def test_the_page_names_every_reader() -> None:
    table = PAGE.read_text().partition("## What it reads")[2].partition("##")[0]
    assert {name for name in READERS.shipped if f"`{name}` |" not in table} == set()


def test_a_folder_that_no_reader_recognises_names_them_all(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="holds no log that any reader recognises") as e:
        reader_of(tmp_path)
    assert all(name in str(e.value) for name in READERS.names)


def test_a_filter_is_refused_where_a_reader_has_none(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,score\n1,1\n")
    with pytest.raises(ConfigError, match="a log of table has no filters; name none"):
        chaintune.compare(table, table, filter="none")


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_a_table_may_have_fields_that_other_logs_have(tmp_path: Path, suffix: str) -> None:
    names = ("origin_prompt", "metricsData", "sample_id", "evaluation", "success", "spec", "testCases", "doc_id")
    rows = [{"id": k, "score": 1, **dict.fromkeys(names, "x")} for k in range(3)]
    table = tmp_path / f"t.{suffix}"
    table.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))
    assert reader_of(table) == "table"


def test_an_unknown_reader_is_told_with_the_nearest(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,score\n1,1\n")
    with pytest.raises(ConfigError, match="log reader 'lm_eval': did you mean 'lm-eval'"):
        chaintune.compare(table, table, reader="lm_eval")


@pytest.mark.usefixtures("_offered")
def test_an_installed_package_may_offer_a_reader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sides = []
    for name, marks in (("before", "++++++-+" * 5), ("after", "+-+-+--+" * 5)):
        sides.append(tmp_path / f"{name}.tally")
        sides[-1].write_text("\n".join(marks))
    found = chaintune.compare(*sides, resamples=200)
    assert (found.task, found.overall.forgot, found.overall.learned) == ("tally", 15, 0)
    with pytest.raises(SystemExit) as ended:
        main(["compare", *map(str, sides), "--reader", "tally", "--resamples", "200"])
    assert not ended.value.code
    assert "15 were right before and wrong after" in capsys.readouterr().out


@pytest.mark.usefixtures("_offered")
def test_a_shipped_reader_cannot_be_replaced() -> None:
    assert READERS.get("table").read.__module__ == "chaintune.logs.tables"


def test_an_offer_that_is_no_reader_is_an_error(install: Install) -> None:
    install("chaintune.log_readers: wrong = wrongly:read", "def read(): ...\n")
    with pytest.raises(ConfigError, match="'wrong': its entry point gives a function, expected a LogReader"):
        READERS.get("wrong")
