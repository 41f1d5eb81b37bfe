"""An objective of an installed package, from the study file to the report, as docs/how-to/objectives.md shows it."""

from pathlib import Path

from chaintune.report.folder import write_report
from tests.conftest import Install
from tests.howto_packages import CONTRAST
from tests.integration.conftest import Smoke, checkpoints


def test_it_is_trained_measured_and_reported(smoke: Smoke, tmp_path: Path, install: Install) -> None:
    install(*CONTRAST)
    asked = ["chains=[[balls, boxes]]", "vary.recipe.objective=[sft, contrast]", "resamples=100", "recipe.epochs=2"]
    held = "mitigations=[{ewc: {task: balls, strength: [10.0], examples: 4}}, {replay: {task: balls, dose: [0.5]}}]"
    session = smoke.open(tmp_path / "store", *asked, held, "curvature={examples: 4, batches: 0, tolerance: 0.1}")
    results = session.run(tmp_path / "out")
    assert results.outcome.complete, [result.cause for result in results.outcome.of("failed")]
    assert {node.recipe.objective for node in session.plan.stages} == {"sft", "contrast"}
    assert len(set(checkpoints(session).values())) == len(session.plan.stages)
    gains = {row.variant for row in results.rows if row.metric == "gain" and row.estimate.value > 0}
    assert "objective=contrast" in gains
    report = write_report(tmp_path / "out", session.tasks)
    assert "objective=contrast" in report
