"""Chains with a stage of DPO, from the study file to the results, with its references in the store."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaintune.errors import ConfigError
from chaintune.plan.nodes import CurvatureNode, DataMix
from chaintune.runs.session import Session, prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests import tiny
from tests.howto_packages import DOCS
from tests.integration.conftest import Smoke, checkpoints, scores

MITIGATIONS: list[dict[str, Any]] = [
    {"replay": {"task": "prefs", "dose": [0.5, 1.0]}},
    {"ewc": {"task": "prefs", "strength": [10.0], "examples": 4}},
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "prefs.jsonl"
    rows = [
        {
            "id": f"{number:03}",
            "prompt": f"Pair {number}: {pair.prompt}",
            "chosen": pair.answers[0],
            "rejected": pair.answers[1],
            "owner": pair.groups["owner"][0],
        }
        for number, pair in enumerate(tiny.pairs(48))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def study(smoke: Smoke, pairs: Path, **keys: Any) -> Study:
    tasks = {
        "balls": {"role": "capability", "path": str(smoke.folder / "balls.jsonl"), "train": 16, "test": 8},
        "prefs": {
            "role": "safety",
            "path": str(pairs),
            "columns": {"groups": {"owner": "owner"}},
            "train": 16,
            "test": 12,
        },
    }
    return Study.from_mapping(
        {
            "base": str(smoke.folder / "model"),
            "tasks": tasks,
            "chains": [["prefs", "balls"], ["balls", "prefs"]],
            "recipe": {"learning_rate": 5e-3, "batch_size": 8},
            "resamples": 100,
        }
        | keys
    )


def open_study(store: Path, asked: Study) -> Session:
    return prepare(asked, FolderStore(store))


def test_references_are_measured_once_and_kept(smoke: Smoke, pairs: Path, tmp_path: Path) -> None:
    asked = study(smoke, pairs, mitigations=MITIGATIONS)
    session = open_study(tmp_path / "store", asked)
    results = session.run(tmp_path / "out")
    assert results.outcome.complete, [result.cause for result in results.outcome.of("failed")]
    stages = {
        node.title: [portion.reference for portion in node.operation.portions]
        for node in session.plan.stages
        if isinstance(node.operation, DataMix) and node.recipe.objective == "dpo"
    }
    read = {key for keys in stages.values() for key in keys if key}
    assert [sum(map(bool, keys)) for keys in stages.values()] == [1, 0, 1, 1]  # a dose of a half asks for itself
    assert {node.key for node in session.plan.scores if node.measure == "reference"} == read
    (first,) = [title for title in scores(session) if "by reference" in title and title.startswith("base")]
    assert first == "base on prefs (train) by reference"
    assert {row.metric for row in results.rows if row.task == "prefs"} >= {"gain", "forgetting"}
    again = open_study(tmp_path / "store", asked)
    assert not again.run(tmp_path / "out").outcome.of("made")


def test_a_chain_of_pairs_under_any_adapter_runs_to_the_end(smoke: Smoke, pairs: Path, tmp_path: Path) -> None:
    oft = {"method": "peft", "peft": {"peft_type": "OFT", "oft_block_size": 4}, "learning_rate": 1e-2}
    session = open_study(tmp_path / "store", study(smoke, pairs, chains=[["prefs", "balls"]], recipe=oft, kl=True))
    results = session.run(tmp_path / "out")
    assert results.outcome.complete, [result.cause for result in results.outcome.of("failed")]
    assert len(list((tmp_path / "store").rglob("adapter_model.safetensors"))) == 2
    assert any(row.metric == "gain" and row.task == "prefs" and row.estimate.value > 0 for row in results.rows)


def test_a_stage_from_the_store_is_one_that_asks_for_itself(
    smoke: Smoke, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = study(smoke, pairs, chains=[["prefs"]], recipe={"method": "lora", "batch_size": 8})
    open_study(tmp_path / "kept", asked).run(tmp_path / "a")
    monkeypatch.setattr("chaintune.execution.stage_data._with_reference", lambda examples, *_: examples)
    open_study(tmp_path / "asked", asked).run(tmp_path / "b")
    kept, computed = (checkpoints(open_study(tmp_path / name, asked)) for name in ("kept", "asked"))
    assert kept == computed


def test_references_may_be_asked_for_as_a_measure_too(smoke: Smoke, pairs: Path, tmp_path: Path) -> None:
    asked = study(smoke, pairs, chains=[["prefs"]])
    tasks = {"prefs": asked.tasks["prefs"].model_copy(update={"measure": ["preference", "reference"]})}
    session = open_study(tmp_path, replace(asked, tasks=tasks))
    splits = [node.split for node in session.plan.scores if node.measure == "reference"]
    assert sorted(splits) == ["test", "test", "train"]


def test_curvature_is_that_of_the_answers_that_a_stage_teaches(smoke: Smoke, pairs: Path, tmp_path: Path) -> None:
    def asked(**recipe: str) -> tuple[CurvatureNode, ...]:
        keys: dict[str, Any] = {"curvature": {"examples": 4}, "recipe": {"objective": "sft"} | recipe}
        return open_study(tmp_path, study(smoke, pairs, **keys)).plan.curvatures

    chosen, rejected = asked(teach="chosen"), asked(teach="rejected")
    assert [node.loss.teach for node in (*chosen, *rejected)] == ["chosen"] * 2 + ["rejected"] * 2
    keys = {node.key for node in (*chosen, *rejected)}
    assert len(keys) == 4
    # Measures of the same checkpoint under another loss are others, too.
    last = asked(teach="chosen", turns="last")
    assert not keys & {node.key for node in last}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            {"mitigations": [{"rehearse": {"task": "prefs", "dose": [0.5]}}]},
            "teach one kind in a stage, or write 'objective: sft' and 'teach: chosen'",
        ),
        (
            {"mitigations": [{"joint": {"task": "prefs"}}]},
            "choices with a gold index, and no objective takes them; teach one kind",
        ),
        (
            {"recipe": {"objective": "sft"}},
            "'prefs': .* objective 'sft' does not take them; write 'objective: sft' and",
        ),
        (
            {"curvature": {"examples": 4}},
            "task 'prefs' is taught pairs by a loss held against the model before",
        ),
        ({"recipe": {"loss": "ipo", "label_smoothing": 0.1}}, "label_smoothing: 0.1 is for loss 'sigmoid'"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(
    keys: dict[str, Any], sentence: str, smoke: Smoke, pairs: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        open_study(tmp_path / "store", study(smoke, pairs, **keys))


def test_the_chains_of_the_how_to_page_are_a_study() -> None:
    page = (DOCS / "how-to" / "objectives.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)
    shown = Study.from_mapping({"base": "smollm2-135m", **yaml.safe_load(text)})
    assert (shown.recipe_of("prefs").beta, shown.recipe_of("mine").beta) == (0.2, 0.1)
