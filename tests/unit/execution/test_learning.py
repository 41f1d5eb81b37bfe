"""The loss along every stage, from its log or from what outlives a checkpoint that is not kept."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from chaintune.execution.compute import StageInputs
from chaintune.execution.events import Progress
from chaintune.execution.learning import CURVES_SCHEMA, STAGE_LOG, curve_of, curve_table, loss_curve
from chaintune.execution.run import run_plan
from chaintune.plan.nodes import StageNode
from chaintune.plan.plan import Plan
from chaintune.store.folder import FolderStore
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task


def write_log(path: Path, losses: Sequence[float]) -> Path:
    lines = [json.dumps({"step": step, "loss": loss, "tokens": 9}) for step, loss in enumerate(losses, start=1)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_short_log_is_told_step_by_step(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", [2.0, 1.0, 0.5])
    assert loss_curve(log.read_bytes()) == [[1, 2.0], [2, 1.0], [3, 0.5]]


def test_a_long_log_is_thinned_to_means_and_keeps_its_last_step(tmp_path: Path) -> None:
    curve = loss_curve(write_log(tmp_path / "log", [float(step) for step in range(1, 1001)]).read_bytes())
    assert len(curve) <= 60
    assert curve[-1][0] == 1000
    width = curve[0][0]
    assert curve[0][1] == (1 + width) / 2


def test_no_log_no_curve(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    assert loss_curve(None) == []
    assert loss_curve((tmp_path / "empty").read_bytes()) == []


class LoggingEngine(DummyEngine):
    """Leaves a log beside the weights."""

    def tune(
        self, *, node: StageNode, inputs: StageInputs, out: Path, report: Callable[[Progress], None]
    ) -> dict[str, Any]:
        write_log(out / STAGE_LOG, [3.0, 1.0 + len(node.chain)])
        return super().tune(node=node, inputs=inputs, out=out, report=report)


def learned(plan: Plan, store: FolderStore) -> pl.DataFrame:
    return curve_table((cell.checkpoint, curve_of(store, cell)) for cell in plan.cells if cell.checkpoint.chain)


@pytest.mark.parametrize("keep", ["all", "none"])
def test_every_stage_has_its_curve_whether_its_checkpoint_is_kept_or_not(tmp_path: Path, keep: str) -> None:
    study = make_study(keep=keep)
    plan, store = make_plan(study), FolderStore(tmp_path / "store")
    tasks = {name: make_task(name) for name in study.tasks}
    assert learned(plan, store).equals(pl.DataFrame(schema=CURVES_SCHEMA))
    assert run_plan(plan, store=store, engine=LoggingEngine(tmp_path), out=tmp_path / "out", tasks=tasks).complete
    table = learned(plan, store)
    assert table.schema == pl.Schema(CURVES_SCHEMA)
    assert table["chain"].unique(maintain_order=True).to_list() == ["a", "a>b", "b", "b>a"]
    assert table.filter(pl.col("chain") == "a>b").select("step", "loss").rows() == [(1, 3.0), (2, 3.0)]
    assert store.has("stage", plan.stages[0].key) is (keep == "all")
