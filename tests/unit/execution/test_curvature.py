"""Curvature in a study: planned once a checkpoint, computed once, and put beside what was forgotten."""

import math
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from chaintune.errors import ConfigError
from chaintune.execution.run import pending_nodes, run_plan
from chaintune.execution.state import RunOutcome
from chaintune.plan.nodes import ScoreNode
from chaintune.plan.plan import Plan
from chaintune.runs.output import write_results
from chaintune.store.folder import FolderStore
from chaintune.study.schema import CurvatureSpec
from chaintune.study.study import Study
from tests.dummy_engine import DummyEngine, make_plan, make_prepared, make_study, make_task

FEW = {"examples": 4, "batches": 0}


def run(study: Study, folder: Path) -> tuple[Plan, DummyEngine, RunOutcome]:
    plan, engine = make_plan(study), DummyEngine(folder / "engine")
    tasks = {name: make_task(name) for name in study.tasks}
    return (
        plan,
        engine,
        run_plan(plan, store=FolderStore(folder / "store"), engine=engine, out=folder / "out", tasks=tasks),
    )


def test_the_first_checkpoint_of_each_chain_is_measured_once() -> None:
    plan = make_plan(make_study("abc", chains=[["a", "b", "c"], ["a", "c"], ["b", "a"], ["c"]], curvature=FEW))
    assert [(node.chain, node.task) for node in plan.curvatures] == [(("a",), "a"), (("b",), "b")]
    measured = {cell.checkpoint.labels for cell in plan.cells if cell.curvature_key}
    assert measured == {("a",), ("b",)}
    assert plan.to_dict()["curvatures"] == 2
    for node in plan.curvatures:
        place = plan.nodes.index(node)
        stage = next(one for one in plan.stages if one.key == node.checkpoint_key)
        between = plan.nodes[plan.nodes.index(stage) + 1 : place]
        assert all(isinstance(one, ScoreNode) for one in between)
        assert node.tokens == 400


def test_mitigations_of_a_chain_leave_the_curvature_of_its_first_checkpoint() -> None:
    replay = {"replay": {"task": "a", "dose": [0.5, 1.0]}}
    plan = make_plan(make_study("ab", chains=[["a", "b"]], mitigations=[replay], curvature=FEW))
    assert {cell.checkpoint.labels: cell.curvature_key for cell in plan.cells if cell.curvature_key} == {
        ("a",): plan.curvatures[0].key
    }


def test_without_the_option_nothing_changes() -> None:
    plain, bent = make_plan(make_study()), make_plan(make_study(curvature=FEW))
    assert plain.nodes == tuple(node for node in bent.nodes if node not in bent.curvatures)
    assert not plain.curvatures
    assert "curvature" not in make_study().to_mapping()
    assert Study.from_mapping(make_study(curvature=FEW).to_mapping()) == make_study(curvature=FEW)


@pytest.mark.parametrize("other", [{"examples": 3}, {"batches": 2}, {"tolerance": 0.1}, {"basis": 4}])
def test_what_determines_the_result_determines_the_key(other: dict[str, Any]) -> None:
    keys = [make_plan(make_study(curvature=how)).curvatures[0].key for how in (FEW, FEW, FEW | other)]
    assert keys[0] == keys[1] != keys[2]
    assert make_plan(make_study(curvature=FEW, seed=1)).curvatures[0].key != keys[0]


def test_a_second_run_measures_nothing_and_a_lost_curvature_brings_its_stage_back(tmp_path: Path) -> None:
    study = make_study(curvature=FEW, keep="none")
    plan, engine, outcome = run(study, tmp_path)
    assert outcome.complete
    assert [call for call in engine.calls if call.startswith("curve")] == ["curve a on a", "curve b on b"]
    again = run(study, tmp_path)
    assert again[1].calls == []
    store = FolderStore(tmp_path / "store")
    store.drop("curvature", plan.curvatures[0].key)
    assert [node.kind for node in pending_nodes(plan, store)] == ["stage", "curvature"]
    assert run(study, tmp_path)[1].calls == ["tune a", "curve a on a"]


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"examples": 9, "batches": 0}, "curvature.examples: 9 are wanted, and task 'a' teaches 8"),
        ({"examples": 2}, "curvature.batches: 4 parts of 2 examples"),
        ({"examples": 4, "space": "lora"}, "curvature.space: 'lora' needs an adapter"),
        ({"exampels": 4}, "did you mean 'examples'"),
        ({"examples": 0}, "curvature.examples"),
        ({"space": "lroa"}, "lora"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_runs(how: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_plan(make_study(curvature=how))


def test_the_option_as_the_page_shows_it() -> None:
    page = (Path(__file__).parents[3] / "docs" / "explanation" / "curvature.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 2
    study = make_study(**yaml.safe_load(blocks[0]))
    assert study.curvature == CurvatureSpec()
    tasks = {name: make_task(name, train=20) for name in study.tasks}
    assert len(make_plan(study, tasks).curvatures) == 2


def test_results_hold_curvature_pairs_and_their_correlation(tmp_path: Path) -> None:
    study = make_study(curvature=FEW, vary={"seed": [0, 1, 2]})
    run(study, tmp_path)
    tasks = {name: make_task(name) for name in study.tasks}
    rows = write_results(make_prepared(study, FolderStore(tmp_path / "store"), tasks), tmp_path / "out")
    own = [row for row in rows if row.metric == "curvature"]
    assert [(row.chain, row.seed, row.estimate.n) for row in own] == [
        (name, seed, 4) for seed in "012" for name in "ab"
    ]
    assert all(row.estimate.value > 0 and row.estimate.reason for row in own)
    pairs = pl.read_parquet(tmp_path / "out" / "curvature.parquet")
    assert pairs["chain"].to_list() == ["a>b", "b>a"] * 3
    assert pairs["task"].to_list() == ["a", "b"] * 3
    lost = {
        (row.chain, row.seed): row.estimate.value for row in rows if row.metric == "forgetting" and not row.dimension
    }
    assert pairs["forgetting"].to_list() == [lost[chain, seed] for chain, seed in pairs.select("chain", "seed").rows()]
    found = {row.task: row.estimate for row in rows if row.metric == "curvature_forgetting_correlation"}
    assert {task: one.n for task, one in found.items()} == {"a": 3, "b": 3, "": 6}
    assert math.isnan(found["a"].value)
    assert "at least 4 are needed" in found["a"].reason
