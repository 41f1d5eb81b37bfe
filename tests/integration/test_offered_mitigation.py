"""A mitigation of an installed package, from the study file to the report, as the how-to page shows it."""

import re
from pathlib import Path

import pytest

from chaintune.report.folder import write_report
from tests.integration.conftest import Smoke

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "mitigations.md"
(OFFERED,) = (
    text for text in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S) if "MITIGATION = " in text
)


@pytest.fixture
def _offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "slowing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slowing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[chaintune.mitigations]\nslow = slowing:MITIGATION\n")
    (tmp_path / "slowing.py").write_text(OFFERED)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("_offered")
def test_it_is_trained_measured_and_reported(smoke: Smoke, tmp_path: Path) -> None:
    asked = "mitigations=[{slow: {task: balls, keep: [0.5, 0]}}]"
    session = smoke.open(tmp_path / "store", "chains=[[balls, boxes]]", "resamples=100", asked)
    results = session.run(tmp_path / "out")
    assert results.outcome.complete
    prices = {row.chain: row for row in results.rows if row.metric == "price" and not row.dimension}
    assert set(prices) == {"balls>boxes with slow 0.5", "balls>boxes with slow 0"}
    assert {row.mitigation for row in prices.values()} == {"slow"}
    # Nothing is learned where no gradient is kept, so nothing is lost either.
    stopped = [row for row in results.rows if row.chain == "balls>boxes with slow 0" and not row.dimension]
    (forgetting,) = [row for row in stopped if (row.metric, row.task) == ("forgetting", "balls")]
    assert forgetting.estimate.value == 0
    assert "balls>boxes with slow 0.5" in write_report(tmp_path / "out", session.tasks)
    assert "with slow 0.5" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
