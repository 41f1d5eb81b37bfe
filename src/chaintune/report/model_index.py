"""Results for the Hub: accuracy and forgetting of every task and group as `model-index` metadata."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub.repocard_data import EvalResult, eval_results_to_model_index

from chaintune.records import Comparison, Estimate, ResultRow, pooled

# By which a later run knows the results that are its own to replace.
TASK_NAME = "Forgetting between two checkpoints, measured by chaintune"


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
    """

    task: str
    metric: str
    dimension: str
    group: str
    estimate: Estimate
    verdict: str
    level: float


def results_of(comparisons: Iterable[Comparison]) -> list[CardResult]:
    """Score now, forgetting and biased forgetting of every task and group of some comparisons."""
    found = []
    for comparison in comparisons:
        for row in (comparison.overall, *comparison.groups):
            task, where, level = comparison.task, (row.dimension, row.group), comparison.level
            found.append(CardResult(task, comparison.metric, *where, row.after, "", level))
            found.append(CardResult(task, "forgetting", *where, row.forgetting, row.verdict, level))
            if row.dimension:
                found.append(CardResult(task, "biased_forgetting", *where, row.biased_forgetting, "", level))
    return found


def results_of_rows(rows: Sequence[ResultRow], *, level: float) -> list[CardResult]:
    """The same of one checkpoint's rows of a study, whose intervals have this level."""
    shown = [row for row in pooled(rows) if row.metric in ("accuracy", "forgetting", "biased_forgetting")]
    return [
        CardResult(row.task, row.metric, row.dimension, row.group, row.estimate, row.verdict, level) for row in shown
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
