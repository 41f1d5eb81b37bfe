"""Learning curves: the training loss along every stage, thinned to what a figure shows."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from chaintune.execution.cost import stage_notes
from chaintune.plan.nodes import Cell
from chaintune.records import Checkpoint, chain_label, variant_label
from chaintune.store.store import Store

if TYPE_CHECKING:
    import polars as pl

STAGE_LOG = "steps.jsonl"
CURVES_SCHEMA = {
    "base": str,
    "chain": str,
    "variant": str,
    "seed": str,
    "step": int,
    "loss": float,
    "stage": str,
}
_MOST_POINTS = 60

Curve = list[list[float]]


def loss_curve(log: bytes | None) -> Curve:
    """At most sixty pairs of a step and the mean loss of the steps since the pair before; none without a log."""
    steps = [json.loads(line) for line in (log or b"").decode().splitlines()]
    width = max(1, -(-len(steps) // _MOST_POINTS))
    parts = [steps[start : start + width] for start in range(0, len(steps), width)]
    return [[part[-1]["step"], round(sum(step["loss"] for step in part) / len(part), 5)] for part in parts]


def curve_table(curves: Iterable[tuple[Checkpoint, Curve]]) -> "pl.DataFrame":
    """Steps and losses of the last stage of checkpoints whose log is still known; a row for each point."""
    import polars as pl  # what runs a stage does not need it

    rows: list[Mapping[str, Any]] = []
    for at, curve in curves:
        about = {"base": at.base, "chain": chain_label(at.labels), "variant": variant_label(at.variant)}
        about |= {"seed": str(at.seed)}
        rows += [about | {"step": step, "loss": loss, "stage": at.labels[-1]} for step, loss in curve]
    return pl.DataFrame(rows, schema=CURVES_SCHEMA)


def curve_of(store: Store, cell: Cell) -> Curve:
    """Of a checkpoint's last stage, from its own log, or from what its scores took down of it before it was dropped."""
    if log := store.read("stage", cell.checkpoint.key, STAGE_LOG):
        return loss_curve(log)
    curve: Curve = stage_notes(store, cell.checkpoint.key, cell.measurement_keys).get("loss_curve") or []
    return curve
