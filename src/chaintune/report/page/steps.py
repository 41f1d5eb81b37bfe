"""The pairs of checkpoints of a study whose items are shown: those that its forgetting speaks about."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from chaintune.errors import DataError
from chaintune.forgetting.pairing import pair
from chaintune.records import Metric, ResultRow, Scores
from chaintune.report.page.flips import Step

_SAME = 1e-9
# Many checkpoints are held against the same one, and all of them together may not fit into memory.
_KEPT = 4


def study_steps(folder: Path, rows: Sequence[ResultRow], *, metric: Metric = "accuracy") -> Iterator[Step]:
    """Each checkpoint that was measured for forgetting, with the one that it is held against; read one by one.

    A pair whose scores do not give the forgetting in the results is left out.

    Args:
        folder: of a run, with `scores/index.json`.
        rows: of its results.
        metric: by which an answer counts as right.
    """
    index = _index(folder)
    lost = [row for row in rows if row.metric == "forgetting" and not row.dimension and row.seed != "all"]
    several = {name: len({getattr(row, name) for row in lost}) > 1 for name in ("base", "seed")}
    read = lru_cache(maxsize=_KEPT)(Scores.read)
    for row in lost:
        for before, after in _candidates(index, row):
            step = _step(_name(row, several), *(read(folder / "scores" / name) for name in (before, after)))
            if step and _agrees(step, row, metric):
                yield step
                break


def _index(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        index: dict[str, dict[str, Any]] = json.loads((folder / "scores" / "index.json").read_bytes())
    except FileNotFoundError:
        return {}
    return {name: node for name, node in index.items() if (folder / "scores" / name).is_file()}


def _candidates(index: Mapping[str, Mapping[str, Any]], row: ResultRow) -> Iterator[tuple[str, str]]:
    """Files that may hold the two; a checkpoint shared by several variants bears the name of one of them."""
    for before in _files(index, row, row.reference):
        for after in _files(index, row, row.chain):
            yield before, after


def _files(index: Mapping[str, Mapping[str, Any]], row: ResultRow, chain: str) -> list[str]:
    found = [
        (node["variant"] != row.variant, name)
        for name, node in index.items()
        if (node["base"], node["chain"], node["task"]) == (row.base, chain, row.task)
        if node["seed"] is None or str(node["seed"]) == row.seed
        if node["split"] == "test"
    ]
    return [name for _, name in sorted(found)]


def _step(name: str, before: Scores, after: Scores) -> Step | None:
    try:
        both = pair(before, after)
    except DataError:
        return None
    return Step(name, both.before, both.after)


def _agrees(step: Step, row: ResultRow, metric: Metric) -> bool:
    if not isinstance(step.before, Scores) or not isinstance(step.after, Scores) or not len(step.before):
        return False
    lost = float((step.before.item_scores(metric) - step.after.item_scores(metric)).mean())
    return abs(lost - row.estimate.value) < _SAME


def _name(row: ResultRow, several: Mapping[str, bool]) -> str:
    """`bbq: bbq, then bbq>csqa`, with base, knobs and seed where there are several."""
    told = [row.base if several["base"] else "", row.variant, f"seed {row.seed}" if several["seed"] else ""]
    beside = ", ".join(filter(None, told))
    return f"{row.task}: from {row.reference} to {row.chain}" + (f" ({beside})" if beside else "")
