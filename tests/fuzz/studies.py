"""Study files and policies."""

import json
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tests.fuzz.damage import damage
from tests.fuzz.driver import Case

_TASKS: dict[str, Any] = {
    "balls": {"role": "safety", "path": "balls.jsonl", "train": 16, "test": "4 per owner"},
    "boxes": {
        "role": "capability",
        "path": "boxes.jsonl",
        "columns": {"prompt": "prompt", "groups": {"owner": "groups.owner"}},
        "train": 16,
        "test": 8,
        "recipe": {"epochs": 2},
    },
}
_PLAIN: dict[str, Any] = {
    "base": "model",
    "tasks": _TASKS,
    "chains": "both orders",
    "recipe": {"method": "full", "learning_rate": 0.01, "epochs": 1, "batch_size": 8},
    "precision": "fp32",
}
STUDIES: tuple[dict[str, Any], ...] = (
    _PLAIN,
    _PLAIN | {"chains": [["balls", "boxes"]], "vary": {"seed": [0, 1], "recipe.learning_rate": [0.01, 0.001]}},
    _PLAIN
    | {
        "recipe": {"method": "lora", "lora_rank": 4, "learning_rate": 0.001},
        "mitigations": [
            {"replay": {"task": "balls", "dose": [0.25, 0.5], "who": "targeted", "by": "owner"}},
            {"merge": {"task": "balls", "weight": [0.5]}},
        ],
        "curvature": {"examples": 4, "batches": 2},
        "keep": "final",
        "level": 0.9,
        "resamples": 1000,
        "seed": 3,
    },
)
_POLICY: dict[str, Any] = {
    "budgets": [
        {"task": "*", "forgetting": 0.02},
        {"task": "items", "forgetting": "5 %", "tier": "warn"},
        {"task": "items", "by": "kind", "group": ["a", "b"], "forgetting": 0.05, "biased_forgetting": 0.03},
        {"task": "items", "by": "kind", "disparity": 0.15, "required": False},
    ]
}


def prepare(valid: Path) -> None:
    from tests import tiny

    tiny.write_smoke(valid)
    for number, study in enumerate(STUDIES):
        (valid / f"study{number}.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    (valid / "policy.yaml").write_text(yaml.safe_dump(_POLICY, sort_keys=False))
    for side, right in (("before", 1), ("after", 3)):
        rows = [{"id": number, "score": int(number % right == 0), "kind": "ab"[number % 2]} for number in range(40)]
        (valid / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def case(rng: Random, valid: Path) -> Case:
    name = rng.choice(("study0.yaml", "study1.yaml", "study2.yaml", "policy.yaml"))
    Path(name).write_bytes((valid / name).read_bytes())
    what = damage(rng, Path(name))
    if name == "policy.yaml":
        sides = [str(valid / f"{side}.jsonl") for side in ("before", "after")]
        return Case(what, ["compare", *sides, "--policy", name, "--resamples", "200"])
    for beside in ("model", "balls.jsonl", "boxes.jsonl"):
        Path(beside).symlink_to(valid / beside)
    return Case(what, ["plan", name, "--store", "store"])
