"""What results cost: counted over the store, not over the run that happened to write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from chaintune.execution.cost import spent
from chaintune.execution.run import run_plan
from chaintune.runs.output import write_results
from chaintune.store.folder import FolderStore
from tests.dummy_engine import DummyEngine, make_plan, make_prepared, make_study, make_task

TASKS = {name: make_task(name, train=16, test=16) for name in "ab"}


def ran(folder: Path, **keys: Any) -> tuple[Any, FolderStore]:
    plan, store = make_plan(make_study("ab", resamples=100, **keys), TASKS), FolderStore(folder / "store")
    run_plan(plan, store=store, engine=DummyEngine(folder), out=folder / "out", tasks=TASKS)
    return plan, store


@pytest.mark.parametrize("keep", ["all", "none"])
def test_every_stage_and_scoring_counts_once_whether_or_not_its_checkpoint_was_kept(tmp_path: Path, keep: str) -> None:
    plan, store = ran(tmp_path, keep=keep)
    found = spent(plan, store)
    assert found["unknown"] == 0
    assert found["score_tokens"] == sum(node.tokens for node in plan.scores)
    assert found["train_seconds"] >= 0
    kept = [entry.info for entry in store.entries("stage")]
    assert len(kept) == (len(plan.stages) if keep == "all" else 0)


def test_a_second_run_that_computes_nothing_tells_the_same_cost(tmp_path: Path) -> None:
    plan, store = ran(tmp_path)
    first = spent(plan, store)
    ran(tmp_path)
    assert spent(plan, store) == first


def test_what_was_never_computed_is_counted_as_unknown(tmp_path: Path) -> None:
    plan = make_plan(make_study("ab", resamples=100), TASKS)
    found = spent(plan, FolderStore(tmp_path / "store"))
    assert found == {
        "train_tokens": 0,
        "train_seconds": 0,
        "score_tokens": 0,
        "score_seconds": 0,
        "unknown": len(plan.stages) + len(plan.scores),
    }


def test_the_provenance_of_results_holds_it(tmp_path: Path) -> None:
    study = make_study("ab", resamples=100)
    plan, store = ran(tmp_path)
    write_results(make_prepared(study, store, TASKS), tmp_path / "out", command=["chaintune"])
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["cost"] == spent(plan, store)
