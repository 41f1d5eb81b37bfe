"""Results for the Hub: accuracy and forgetting of every task and group as `model-index` metadata."""

import math
from collections.abc import Iterable
from typing import Any

from huggingface_hub.repocard_data import EvalResult, eval_results_to_model_index

from chaintune.records import ResultRow, pooled
from chaintune.records.amounts import is_share

# By which a later run knows the results that are its own to replace.
TASK_NAME = "Forgetting between two checkpoints, measured by chaintune"

_METRICS = ("accuracy", "forgetting", "biased_forgetting")


def _card_rows(rows: Iterable[ResultRow]) -> list[ResultRow]:
    """The rows of score, forgetting and biased forgetting of every task and group of one checkpoint, place by place."""
    shown = [row for row in pooled(rows) if row.metric in _METRICS]
    places = {place: number for number, place in enumerate(dict.fromkeys(map(_place, shown)))}
    return sorted(shown, key=lambda row: (places[_place(row)], _METRICS.index(row.metric)))


def _place(row: ResultRow) -> tuple[str, str, str]:
    return (row.task, row.dimension, row.group)


def model_index(name: str, rows: Iterable[ResultRow], *, level: float) -> list[dict[str, Any]]:
    """Hub metadata: one result a task, one metric a number, with interval and n; what is undefined is left out."""
    known = [row for row in _card_rows(rows) if math.isfinite(row.estimate.value)]
    index: list[dict[str, Any]] = eval_results_to_model_index(name, [_result(row, level) for row in known])
    return index


def _result(row: ResultRow, level: float) -> EvalResult:
    of = f", {row.dimension}: {row.group}" if row.dimension else ""
    metric = row.item_metric or row.metric if row.metric == "accuracy" else row.metric
    estimate = row.estimate
    about = {
        "low": _rounded(estimate.low),
        "high": _rounded(estimate.high),
        "level": level,
        "n": estimate.n,
        "n_clusters": estimate.n_clusters,
        "n_seeds": estimate.n_seeds,
        "verdict": row.verdict or None,
        "unit": None if is_share(row.unit) else row.unit,
        "chance": _rounded(row.answers.chance),
        "verdict_reason": row.verdict_reason or None,
    }
    return EvalResult(
        task_type="text-generation",
        task_name=TASK_NAME,
        dataset_type=row.task,
        dataset_name=row.task,
        metric_type=metric,
        metric_name=metric.replace("_", " ") + of,
        metric_value=_rounded(estimate.value),
        metric_args={name: value for name, value in about.items() if value is not None},
    )


def _rounded(value: float) -> float | None:
    # Four digits are a hundredth of a point; adding 0 turns -0.0 into 0.0.
    return round(value, 4) + 0.0 if math.isfinite(value) else None
