"""The report of a run's folder: whatever the folder is called, and whatever somebody planted in it."""

from pathlib import Path

import polars as pl
import pytest

from chaintune.errors import StoreError
from chaintune.report.figures.every import every_figure
from chaintune.report.folder import read_results, write_report
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
    assert every_figure(results)


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
