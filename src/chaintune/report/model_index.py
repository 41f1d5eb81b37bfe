"""Results for the Hub: accuracy and forgetting of every task and group as `model-index` metadata."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub.repocard_data import EvalResult, eval_results_to_model_index

from chaintune.records import Estimate, ResultRow, pooled
from chaintune.records.scales import is_share

# By which a later run knows the results that are its own to replace.
TASK_NAME = "Forgetting between two checkpoints, measured by chaintune"

_METRICS = ("accuracy", "forgetting", "biased_forgetting")


@dataclass(frozen=True, slots=True)
class CardResult:
    """One number of a model card.

    Attributes:
        task: measured.
        metric: `accuracy` or another score, `forgetting`, `biased_forgetting`.
        dimension, group: empty for the whole task.
        estimate: with its interval.
        verdict: on a forgetting; else empty.
        level: of the interval.
        unit: of the score.
    """

    task: str
    metric: str
    dimension: str
    group: str
    estimate: Estimate
    verdict: str
    level: float
    unit: str


def card_results(rows: Sequence[ResultRow], *, level: float) -> list[CardResult]:
    """Score, forgetting and biased forgetting of every task and group of one checkpoint.

    Args:
        rows: of the checkpoint.
        level: of their intervals.
    """
    shown = [row for row in pooled(rows) if row.metric in _METRICS]
    labels = list(dict.fromkeys((row.task, row.dimension, row.group) for row in shown))
    places = {label: place for place, label in enumerate(labels)}
    shown.sort(key=lambda row: (places[row.task, row.dimension, row.group], _METRICS.index(row.metric)))
    return [
        CardResult(
            row.task,
            row.item_metric or row.metric if row.metric == "accuracy" else row.metric,
            row.dimension,
            row.group,
            row.estimate,
            row.verdict,
            level,
            row.unit,
        )
        for row in shown
    ]


def model_index(name: str, results: Iterable[CardResult]) -> list[dict[str, Any]]:
    """Hub metadata: one result a task, one metric a number, with interval and n; what is undefined is left out.

    Args:
        name: of the model.
        results: of the card.
    """
    known = [result for result in results if math.isfinite(result.estimate.value)]
    index: list[dict[str, Any]] = eval_results_to_model_index(name, [_result(result) for result in known])
    return index


def _result(result: CardResult) -> EvalResult:
    of = f", {result.dimension}: {result.group}" if result.dimension else ""
    estimate = result.estimate
    about = {
        "low": _rounded(estimate.low),
        "high": _rounded(estimate.high),
        "level": result.level,
        "n": estimate.n,
        "n_clusters": estimate.n_clusters,
        "n_seeds": estimate.n_seeds,
        "verdict": result.verdict or None,
        "unit": None if is_share(result.unit) else result.unit,
    }
    return EvalResult(
        task_type="text-generation",
        task_name=TASK_NAME,
        dataset_type=result.task,
        dataset_name=result.task,
        metric_type=result.metric,
        metric_name=result.metric.replace("_", " ") + of,
        metric_value=_rounded(estimate.value),
        metric_args={name: value for name, value in about.items() if value is not None},
    )


def _rounded(value: float) -> float | None:
    # Four digits are a hundredth of a point; adding 0 turns -0.0 into 0.0.
    return round(value, 4) + 0.0 if math.isfinite(value) else None
