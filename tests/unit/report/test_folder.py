"""The report of a run's folder: whatever the folder is called, and whatever somebody planted in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from chaintune.errors import DataError, StoreError
from chaintune.report.figures.every import result_figures
from chaintune.report.folder import read_results, read_rows, write_report
from chaintune.report.markdown import markdown
from chaintune.report.page.facts import facts
from chaintune.report.page.steps import run_steps
from tests import run_folders

TASKS = [run_folders.task(name) for name in "sc"]


@pytest.mark.parametrize("name", ["lr[1]", "lr*", "lr?", "lr[a", "a=1", "lr{1,2}"])
def test_no_name_of_a_folder_is_a_pattern(name: str, tmp_path: Path) -> None:
    own = run_folders.run_folder(tmp_path / name, TASKS)
    for other in ("lr1", "lr2"):  # what a pattern would have found
        (tmp_path / other).mkdir()
        for file in ("results", "curvature", "training"):
            pl.DataFrame({"study": ["of another run"]}).write_parquet(tmp_path / other / f"{file}.parquet")
    results = read_results(own)
    assert len(results.rows) == pl.read_parquet((own / "results.parquet").read_bytes()).height
    assert {row.study for row in results.rows} == {"made"}
    assert list(run_steps(results))
    assert result_figures(results)


@pytest.mark.usefixtures("undrawn")
def test_a_report_is_written_through_no_link(tmp_path: Path) -> None:
    own = run_folders.run_folder(tmp_path / "out", TASKS)
    (tmp_path / "victim").write_text("precious")
    (own / "report.md").symlink_to(tmp_path / "victim")
    (own / "report.html").symlink_to(tmp_path / "victim")
    write_report(own)
    assert (tmp_path / "victim").read_text() == "precious"
    (tmp_path / "elsewhere").mkdir()
    for path in (own / "figures").iterdir():
        path.unlink()
    (own / "figures").rmdir()
    (own / "figures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="figures: is a link"):
        write_report(own)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_index_cannot_have_files_read_that_lie_elsewhere(tmp_path: Path) -> None:
    own = run_folders.run_folder(tmp_path / "out", TASKS)
    index = own / "scores" / "index.json"
    assert list(run_steps(read_results(own)))
    index.write_text(index.read_text().replace('"s.on-s.parquet"', '"../scores/s.on-s.parquet"'))
    assert not [step for step in run_steps(read_results(own)) if step.name.startswith("s: from s ")]


ODD: tuple[Any, ...] = (None, 1, -0.5, True, "x", [], [None], {}, {"x": None})


def answered(read: Callable[[], object]) -> str:
    """The sentence of what is damaged; empty where it can be read all the same."""
    try:
        read()
    except DataError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["provenance.json", "results.json", "scores/index.json"])
def test_damaged_json_is_a_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = run_folders.run_folder(tmp_path / "out", TASKS)
    rows = read_rows(own / "results.parquet")  # which stay whole, and are the most that is read
    monkeypatch.setattr("chaintune.report.folder.read_rows", lambda _: rows)
    path = own / name
    value = json.loads(path.read_text())

    def read() -> None:
        results = read_results(own)
        list(run_steps(results))
        facts(results)
        markdown(results)

    texts = [b"", b"{", b"[1]", b"7", b"\xff\xfe", b"[" * 100_000]
    for text in texts:
        path.write_bytes(text)
        assert answered(read).startswith(str(path)), text[:9]
    for key in value:
        others = {other: inner for other, inner in value.items() if other != key}
        for damaged in (others, *(others | {key: odd} for odd in ODD)):
            path.write_text(json.dumps(damaged))
            answered(read)  # a sentence, or none: never another error


def test_a_damaged_table_of_results_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    whole = pl.read_parquet(run_folders.run_folder(tmp_path / "out", TASKS) / "results.parquet")
    for text in (b"", b"PAR1", b"PAR1" * 9, b"study,base\nmade,m\n"):
        path.write_bytes(text)
        assert answered(lambda: read_rows(path)).startswith(f"{path}: not a readable Parquet file (")
    for column in whole.columns:
        for odd in (pl.lit(None), pl.lit(7), pl.lit("x"), pl.lit([[1]])):
            whole.head(3).with_columns(odd.alias(column)).write_parquet(path)
            answered(lambda: read_rows(path))  # a sentence, or none: never another error
        whole.head(3).drop(column).write_parquet(path)
        answered(lambda: read_rows(path))
