"""Whole chains on a two-layer model: what goes from stage to stage, and what is kept."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import DataError, StageError
from chaintune.execution.bases import open_base
from chaintune.execution.events import Event
from chaintune.execution.hardware import hardware_of, this_hardware
from chaintune.models import LoadedModel, load
from chaintune.plan.nodes import StageNode
from chaintune.records import Measurement
from chaintune.scoring.reading import read_scores
from chaintune.store import inventory
from chaintune.store.folder import FolderStore
from chaintune.tuning import tune as tuning
from tests import tiny
from tests.integration.conftest import (
    BRIEF,
    Smoke,
    checkpoints,
    files_that_name_this_machine,
    outcome_of,
    scores,
    watched_by,
)

CHAINS = {"balls", "balls>boxes", "boxes", "boxes>balls"}
LORA = ["recipe.method=lora", "recipe.lora_rank=4"]
OFT = ["recipe.method=peft", "recipe.peft={peft_type: OFT, oft_block_size: 4}"]


# A stage on a stage, then one on the base again: where both tasks are trained alike, their other order adds nothing.
ONE_WAY = "chains=[[balls, boxes], [boxes]]"
# What a mitigation adds, and adapters in bf16, are the matter of test_mitigations.py.
VARIANTS = {
    "full": [],
    "bf16": ["precision=bf16", ONE_WAY],
    "lora": [*LORA, ONE_WAY],
    "full, then lora": ["tasks.boxes.recipe.method=lora"],
    "adapters of two shapes": [*LORA, "tasks.boxes.recipe.lora_rank=2"],
    "oft": [*OFT, ONE_WAY],
    "oft, begun anew": [*OFT, "tasks.boxes.recipe.adapter=fresh", ONE_WAY],
    "pissa": ["recipe.method=peft", "recipe.peft={peft_type: LORA, r: 4, init_lora_weights: pissa}", ONE_WAY],
}


# Of one stage after another, tests/unit/tuning (test_lora.py, test_peft.py) shows the same.
SLOW = ("adapters of two shapes", "oft, begun anew")


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in VARIANTS]
)
def test_chains_from_memory_equal_chains_from_disk(
    variant: str, smoke: Smoke, tmp_path: Path, forgetful: Callable[[], None]
) -> None:
    quick = [*VARIANTS[variant], BRIEF]
    held = smoke.open(tmp_path / "held", *quick)
    held.run(tmp_path / "out")
    forgetful()
    fresh = smoke.open(tmp_path / "fresh", *quick)
    outcome = outcome_of(fresh)
    assert outcome.complete
    assert checkpoints(fresh) == checkpoints(held)
    assert scores(fresh) == scores(held)
    assert {hardware_of(entry.info) for kind in ("stage", "score") for entry in held.store.entries(kind)} == {
        this_hardware()
    }
    assert len(set(checkpoints(held).values())) == len(held.plan.stages)
    anew = FolderStore(held.store.root)  # it reads every byte again
    assert all(anew.get(node.kind, node.key) for node in held.plan.nodes)
    assert open_base(held.study.located("model"), anew).key in {node.base_key for node in held.plan.nodes}
    assert files_that_name_this_machine(tmp_path) == []


def test_what_a_running_study_needs_is_not_cleared_away(smoke: Smoke, tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store", BRIEF)
    other, last = FolderStore(tmp_path / "store"), session.plan.scores[-1]

    def clear(event: Event) -> None:
        if (event.kind, event.node) == ("start", last):
            inventory.drop(other, inventory.inventory(other))

    found = session.run(tmp_path / "out", watched_by(clear))
    assert found.outcome.complete
    assert all(other.has(node.kind, node.key) for node in session.plan.scores)
    assert len(list((tmp_path / "out" / "scores").glob("*.parquet"))) == len(session.plan.scores)


def test_what_is_learned_is_forgotten(smoke: Smoke, straight: dict[str, bytes], tmp_path: Path) -> None:
    """That the numbers of the smoke study are those of a model that learns, not of one that stands still."""
    accuracy, tasks = {}, smoke.open(tmp_path / "store").tasks
    for title, content in straight.items():
        (tmp_path / "measurement.parquet").write_bytes(content)
        scores = read_scores(tmp_path / "measurement.parquet", tasks[title.split(" on ")[1]])
        accuracy[title] = scores.item_scores().mean()
    for first, second in (("balls", "boxes"), ("boxes", "balls")):
        assert accuracy[f"{first} on {first}"] > accuracy[f"base on {first}"] + 0.3
        assert accuracy[f"{first}>{second} on {first}"] < accuracy[f"{first} on {first}"] - 0.3


def test_a_stored_checkpoint_is_a_model_that_transformers_loads(smoke: Smoke, tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store", "chains=[[balls]]")
    outcome_of(session)
    (node,) = session.plan.stages
    entry = session.store.get("stage", node.key)
    assert entry is not None
    again = tiny.score(load(entry.path, precision="fp32"), session.tasks["balls"].test, task="balls")
    (tmp_path / "measurement.parquet").write_bytes(scores(session)["balls on balls"])
    assert again.table.equals(read_scores(tmp_path / "measurement.parquet", session.tasks["balls"]).table)
    steps = [json.loads(line) for line in (entry.path / "steps.jsonl").read_text().splitlines()]
    assert steps[-1]["step"] == entry.info["steps"] == 16
    assert entry.info["final_loss"] < entry.info["first_loss"]


def test_adapters_are_stored_alone_where_they_lie_on_the_base(smoke: Smoke, tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store", *LORA, "recipe.epochs=1", "tasks.boxes.recipe.lora_rank=2")
    outcome_of(session)
    alone = {
        ">".join(node.chain): (entry.path / "adapter_model.safetensors").exists()
        for node in session.plan.stages
        if (entry := session.store.get("stage", node.key))
    }
    assert alone == {"balls": True, "boxes": True, "balls>boxes": False, "boxes>balls": False}


@pytest.mark.parametrize(("keep", "kept"), [("final", {"balls>boxes", "boxes>balls"}), ("none", set())])
def test_what_is_kept_changes_no_score(
    keep: str, kept: set[str], smoke: Smoke, brief: dict[str, bytes], tmp_path: Path
) -> None:
    assert smoke.run(tmp_path, BRIEF, f"keep={keep}") == brief
    session = smoke.open(tmp_path / "store", BRIEF, f"keep={keep}")
    assert set(checkpoints(session)) == kept
    assert len(outcome_of(session).of("reused")) == len(session.plan.nodes)


def test_the_order_of_the_rows_in_the_data_does_not_matter(
    smoke: Smoke, brief: dict[str, bytes], tmp_path: Path
) -> None:
    shuffled = []
    for name in ("balls", "boxes"):
        rows = (smoke.folder / f"{name}.jsonl").read_text().splitlines(keepends=True)
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(random.Random(1).sample(rows, len(rows))))  # noqa: S311 - test data
        shuffled.append(f"tasks.{name}.path={path}")
    usual, other = smoke.open(tmp_path / "store", BRIEF), smoke.open(tmp_path / "store", BRIEF, *shuffled)
    for name, task in usual.tasks.items():
        assert (other.tasks[name].train, other.tasks[name].test) == (task.train, task.test)
    assert [node.key for node in other.plan.nodes] == [node.key for node in usual.plan.nodes]
    outcome_of(other)
    assert scores(other) == brief


def test_a_base_with_an_adapter(smoke: Smoke, tmp_path: Path) -> None:
    """An adapter that was tuned before is a base of its own; a stage of its shape trains it on."""
    first = smoke.open(tmp_path / "store", *LORA, "chains=[[balls]]")
    outcome_of(first)
    (node,) = first.plan.stages
    entry = first.store.get("stage", node.key)
    assert entry is not None
    adapted = f"base={smoke.folder / 'model'}+{entry.path}"
    second = smoke.open(tmp_path / "other", *LORA, adapted, "chains=[[boxes]]")
    assert second.plan.stages[0].base_key != node.base_key
    outcome_of(second)
    rows = {title: read(content, tmp_path) for title, content in scores(second).items()}
    before = {title: read(content, tmp_path) for title, content in scores(first).items()}
    assert rows["base on balls"] == before["balls on balls"]
    assert rows["boxes on boxes"] != before["base on boxes"]


def read(content: bytes, folder: Path) -> list[list[float]]:
    (folder / "measurement.parquet").write_bytes(content)
    table = Measurement.read(folder / "measurement.parquet").table
    found: list[list[float]] = table.column("log_probabilities").to_pylist()
    return found


def test_a_stage_that_fails_leaves_the_others_as_they_would_have_been(
    smoke: Smoke, brief: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tuning changes the parent in place; after a failure nothing may start from what is left of it."""
    real = vars(tuning)["tune"]

    def failing(parent: LoadedModel, *arguments: Any, **options: Any) -> Any:
        tuned = real(parent, *arguments, **options)
        if options["task"] == "balls":
            raise StageError("the loss became nan at step 2 of 2")
        return tuned

    monkeypatch.setattr(tuning, "tune", failing)
    session = smoke.open(tmp_path / "store", BRIEF)
    outcome = outcome_of(session)
    assert {result.node.chain for result in outcome.of("failed")} == {("balls",), ("boxes", "balls")}
    found = scores(session)
    assert set(found) == {f"{chain} on {task}" for chain in ("base", "boxes") for task in ("balls", "boxes")}
    assert all(brief[title] == content for title, content in found.items())


def test_progress_counts_steps_and_examples(smoke: Smoke, tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store", "chains=[[balls]]", "recipe.epochs=1")
    told: dict[str, list[tuple[float, float]]] = {}
    outcome_of(
        session,
        watched_by(
            lambda event: (
                told.setdefault(event.node.title, []).append((event.progress.done, event.progress.total))
                if event.progress
                else None
            )
        ),
    )
    (stage,) = [node for node in session.plan.nodes if isinstance(node, StageNode)]
    assert told[stage.title] == [(step, 4) for step in range(1, 5)]
    for node in session.plan.scores:
        done, total = told[node.title][-1]
        assert done == total == len(session.tasks[node.task].test)


def test_planned_tokens_are_the_tokens_that_are_read(smoke: Smoke, tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store", "chains=[[balls]]", "recipe.epochs=1")
    outcome_of(session)
    (node,) = session.plan.stages
    entry = session.store.get("stage", node.key)
    assert entry is not None
    assert entry.info["train_tokens"] == node.tokens
    assert session.plan.stage_bytes[node.key] == pytest.approx(
        (entry.path / "model.safetensors").stat().st_size, rel=0.05
    )


def test_an_example_longer_than_the_context_stops_the_study_before_it_begins(smoke: Smoke, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (smoke.folder / "balls.jsonl").read_text().splitlines()]
    rows[7]["prompt"] = "Ann " * 400
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=rf"task 'balls': 1 of \d+ examples .* 256 tokens: '{rows[7]['id']}'"):
        smoke.open(tmp_path / "store", f"tasks.balls.path={path}", "tasks.balls.train=all", "tasks.balls.test=all")
    assert not list((tmp_path / "store").rglob("manifest.json"))
