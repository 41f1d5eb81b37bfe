"""What a study's results cost, whichever run computed them: tokens and seconds of its stages and scorings."""

from collections.abc import Iterable, Mapping
from typing import Any

from chaintune.study.nodes import ScoreNode
from chaintune.study.plan import Plan
from chaintune.study.store import Store

Notes = Mapping[str, Any]


def spent(plan: Plan, store: Store) -> dict[str, float | int]:
    """Tokens and seconds of training and of scoring; `unknown` counts the stages and scorings that lack a note.

    A stage whose checkpoint was dropped is known from what its scores took down of it.
    """
    scored = {node: entry.info for node in plan.scores if (entry := store.peek(node.kind, node.key))}
    trained = [_trained(store, node.key, scored) for node in plan.stages]
    stages, scores = [notes for notes in trained if notes], [notes for notes in scored.values() if "seconds" in notes]
    return {
        "train_tokens": int(_sum(stages, "train_tokens")),
        "train_seconds": round(_sum(stages, "seconds"), 1),
        "score_tokens": int(_sum(scores, "score_tokens")),
        "score_seconds": round(_sum(scores, "seconds"), 1),
        "unknown": len(plan.stages) - len(stages) + len(plan.scores) - len(scores),
    }


def _trained(store: Store, key: str, scored: Mapping[ScoreNode, Notes]) -> Notes:
    entry = store.peek("stage", key)
    beside = (info.get("stage_cost", {}) for node, info in scored.items() if node.checkpoint_key == key)
    notes = entry.info if entry else next(filter(None, beside), {})
    return notes if notes.get("seconds") is not None else {}


def _sum(notes: Iterable[Notes], name: str) -> float:
    return sum(float(one.get(name) or 0) for one in notes)
