"""A chain of tasks that bear the names of lm-eval's, from the study file to the numbers."""

import json
from pathlib import Path

import pytest
import yaml

from chaintune.runs.session import prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from chaintune.tasks.lm_eval_items import whole_manager
from tests import tiny
from tests.integration.conftest import Smoke

SAFETY, CAPABILITY = "lm_eval:balls", "lm_eval:boxes"


def write_task(folder: Path, name: str, rule: str) -> None:
    """A task file of lm-eval and its data."""
    docs = [
        {
            "question": f"{k}. {item.prompt}",
            "choices": [choice.strip() for choice in item.choices.texts],
            "answer": item.choices.gold,
        }
        for k, item in enumerate(tiny.examples(72, rule=rule, task=name))
    ]
    files = {}
    for split, rows in {"train": docs[:32], "test": docs[32:]}.items():
        files[split] = str(folder / f"{name}-{split}.jsonl")
        Path(files[split]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "output_type": "multiple_choice",
        "training_split": "train",
        "test_split": "test",
        "doc_to_text": "{{question}}",
        "doc_to_target": "answer",
        "doc_to_choice": "{{choices}}",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))


def test_what_such_tasks_lose_and_regain_is_counted_from_where_they_were_learned(
    smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    from lm_eval.tasks import manager

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    # The harness's own task files are kept out of sight, because they take seconds to scan.
    (tmp_path / "theirs").mkdir()
    monkeypatch.setattr(manager, "__file__", str(tmp_path / "theirs" / "manager.py"))
    whole_manager.cache_clear()
    write_task(tmp_path, "balls", "ball")
    write_task(tmp_path, "boxes", "box")
    study = Study.from_mapping(
        {
            "base": str(smoke.folder / "model"),
            "tasks": {
                name: {"role": role, "include_path": str(tmp_path)}
                for name, role in ((SAFETY, "safety"), (CAPABILITY, "capability"))
            },
            "chains": [[SAFETY, CAPABILITY]],
            "mitigations": [{"replay": {"task": SAFETY, "dose": [0.5]}}, {"l2sp": {"task": SAFETY, "strength": [1.0]}}],
            "recipe": {"method": "full", "learning_rate": 1e-2, "epochs": 4, "batch_size": 8},
            "precision": "fp32",
            "resamples": 300,
        },
        name="named",
    )
    results = prepare(study, FolderStore(tmp_path / "store"), trust_remote_code=True).run(tmp_path / "out")
    whole_manager.cache_clear()
    assert results.outcome.complete
    chain = f"{SAFETY}>{CAPABILITY}"
    replayed, held = f"{chain}>{SAFETY}@50%", f"{chain} with l2sp 1"
    found = {(row.metric, row.chain, row.task): row for row in results.rows if row.deciding and not row.dimension}
    right = {at: found["accuracy", at, SAFETY].estimate.value for at in ("base", SAFETY, chain, replayed, held)}
    assert right[SAFETY] > right[chain] + 0.3
    for at in (chain, replayed, held):
        lost = found["forgetting", at, SAFETY]
        assert lost.reference == SAFETY
        assert lost.estimate.value == pytest.approx(right[SAFETY] - right[at])
    assert found["gain", SAFETY, SAFETY].estimate.value == pytest.approx(right[SAFETY] - right["base"])
    assert ("retained_gain", chain, SAFETY) in found
    assert ("bwt", chain, "") in found
    back = found["recovery", replayed, SAFETY]
    assert back.reference == chain
    share = (right[replayed] - right[chain]) / (right[SAFETY] - right[chain])
    assert back.estimate.value == pytest.approx(share)
