"""What a study's results cost, whichever run computed them: tokens and seconds of its stages and scorings."""

from collections.abc import Iterable, Mapping
from typing import Any

from chaintune.plan.plan import Plan
from chaintune.store.store import Store

Notes = Mapping[str, Any]


def spent(plan: Plan, store: Store) -> dict[str, float | int]:
    """Tokens and seconds of training and of scoring; `unknown` counts the stages and scorings that lack a note.

    A stage whose checkpoint was dropped is known from what its scores took down of it.
    """
    scored = [entry.info for node in plan.scores if (entry := store.peek(node.kind, node.key))]
    keys: dict[str, list[str]] = {}
    for node in plan.scores:
        keys.setdefault(node.checkpoint_key, []).append(node.key)
    trained = [stage_notes(store, node.key, keys.get(node.key, ())) for node in plan.stages]
    stages = [notes for notes in trained if notes.get("seconds") is not None]
    scores = [notes for notes in scored if "seconds" in notes]
    return {
        "train_tokens": int(_sum(stages, "train_tokens")),
        "train_seconds": round(_sum(stages, "seconds"), 1),
        "score_tokens": int(_sum(scores, "score_tokens")),
        "score_seconds": round(_sum(scores, "seconds"), 1),
        "unknown": len(plan.stages) - len(stages) + len(plan.scores) - len(scores),
    }


def stage_notes(store: Store, key: str, scores: Iterable[str]) -> Notes:
    """What is noted of a stage: with its checkpoint, or, where that was dropped, with its scores; else nothing."""
    if entry := store.peek("stage", key):
        return entry.info
    scored = (store.peek("score", score) for score in scores)
    return next((notes for one in scored if one and (notes := one.info.get("stage_cost"))), {})


def _sum(notes: Iterable[Notes], name: str) -> float:
    return sum(float(one.get(name) or 0) for one in notes)
