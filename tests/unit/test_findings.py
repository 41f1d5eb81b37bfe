"""What docs/explanation/findings.md quotes of the paper's experiment is what docs/findings/paper holds."""

import math
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest

from chaintune.records import Estimate, ResultRow
from chaintune.report.figures.every import result_figures
from chaintune.report.folder import read_results, read_rows, write_report
from chaintune.runs.joining import join

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "findings" / "paper"
HEADING = "## The paper's experiment\n"
NUMBER = r"[+-]?\d*\.\d+"
QUOTED = re.compile(rf"(?P<value>{NUMBER})(?: points| %)? \((?P<low>{NUMBER}) to (?P<high>{NUMBER})")
ALONE = re.compile(rf"(?<![\w.:-]){NUMBER}(?![\w.]*\d)")
# Names with a point, code, where a link leads, and versions.
NO_NUMBERS = re.compile(r"CommonsenseQA 2\.0|`[^`\n]*`|\]\([^)]*\)|arXiv:\S+|\d+\.\d+\.\d+")

there = pytest.mark.skipif(
    not (FOLDER / "results.parquet").is_file(), reason="no seed of studies/paper.yaml is in docs/findings/paper yet"
)


def section(page: str) -> str:
    """The part of the findings that is about the paper's experiment, without what only looks like a number."""
    assert HEADING in page, f"findings.md has no section {HEADING.strip()!r}, and docs/findings/paper has results"
    return NO_NUMBERS.sub(" ", re.split(r"(?m)^## ", page.split(HEADING, maxsplit=1)[1])[0])


def says(written: str, value: float) -> bool:
    """Whether a number is a value as it is rounded there, as itself or as points of a share."""
    half = 0.5 * 10.0 ** -len(written.partition(".")[2]) + 1e-9
    return any(abs(float(written) - scale * value) <= half for scale in (1.0, 100.0))


def unfounded(text: str, rows: Sequence[ResultRow]) -> Iterator[str]:
    """The numbers of a text that no row holds: estimates with their intervals, then whatever else has a point."""
    known = [row.estimate for row in rows]
    for quoted in QUOTED.finditer(text):
        low, high = quoted["low"], quoted["high"]
        if not any(
            says(quoted["value"], one.value) and any(says(low, a) and says(high, b) for a, b in ends(one))
            for one in known
        ):
            yield quoted[0]
    numbers = [number for one in known for number in (one.value, one.p_value, one.p_adjusted) if math.isfinite(number)]
    for alone in ALONE.finditer(QUOTED.sub(" ", text)):
        if not any(says(alone[0], number) for number in numbers):
            yield alone[0]


def ends(one: Estimate) -> list[tuple[float, float]]:
    return [(one.low, one.high), (one.low_adjusted, one.high_adjusted)]


def test_numbers_that_no_row_holds_are_found() -> None:
    """The check itself, on a page that is made up."""
    estimate = Estimate(0.158, 0.101, 0.215, p_value=0.0031)
    row = ResultRow("s", "m", "a>b", "", 2, "b>a", "a", "order_effect", "", "", "all", estimate)
    text = "CommonsenseQA 2.0 under `3.5`: +15.8 points (+10.1 to +21.5), p .003."
    page = f"# Findings\n\n{HEADING}\n{text}\n\n## Else\n9.9\n"
    assert list(unfounded(section(page), [row])) == []
    for wrong in ("+15.9 points (+10.1 to +21.5)", "+15.8 points (+10.1 to +21.6)", "p .004", "of 12.5 points"):
        assert list(unfounded(f"It was {wrong}.", [row])), wrong


@there
def test_every_number_of_the_text_is_in_the_results() -> None:
    page = (ROOT / "docs" / "explanation" / "findings.md").read_text(encoding="utf-8")
    assert list(unfounded(section(page), read_rows(FOLDER / "results.parquet"))) == []


@there
def test_the_report_is_drawn_anew_from_the_folder(tmp_path: Path, undrawn: None) -> None:
    results = read_results(FOLDER)
    drawn = {figure.name for figure in result_figures(results)}
    assert {path.stem for path in (FOLDER / "figures").glob("*.svg")} == drawn
    shutil.copytree(FOLDER, tmp_path / "paper")
    write_report(tmp_path / "paper")
    assert {path.stem for path in (tmp_path / "paper" / "figures").glob("*.svg")} == drawn


@there
@pytest.mark.slow
def test_the_results_are_computed_anew_from_the_scores(tmp_path: Path) -> None:
    join([FOLDER], tmp_path / "paper")
    anew, known = (pl.read_parquet(folder / "results.parquet") for folder in (tmp_path / "paper", FOLDER))
    assert anew.equals(known)
