"""A mitigation of an installed package, from the study file to the report, as the how-to page shows it."""

from pathlib import Path

from chaintune.report.folder import write_report
from tests.conftest import Install
from tests.howto_packages import SLOW
from tests.integration.conftest import Smoke


def test_it_is_trained_measured_and_reported(smoke: Smoke, tmp_path: Path, install: Install) -> None:
    install(*SLOW)
    asked = "mitigations=[{slow: {task: balls, keep: [0.5, 0]}}]"
    session = smoke.open(tmp_path / "store", "chains=[[balls, boxes]]", "resamples=100", asked)
    results = session.run(tmp_path / "out")
    assert results.outcome.complete
    prices = {row.chain: row for row in results.rows if row.metric == "price" and not row.dimension}
    assert set(prices) == {"balls>boxes with slow 0.5", "balls>boxes with slow 0"}
    assert {row.mitigation for row in prices.values()} == {"slow"}
    # Nothing is learned where no gradient is kept, so nothing is lost either.
    stopped = [row for row in results.rows if row.chain == "balls>boxes with slow 0" and row.is_whole and row.deciding]
    (forgetting,) = [row for row in stopped if (row.metric, row.task) == ("forgetting", "balls")]
    assert forgetting.estimate.value == 0
    assert "balls>boxes with slow 0.5" in write_report(tmp_path / "out", session.tasks)
    assert "with slow 0.5" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
