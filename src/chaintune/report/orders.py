"""Which order keeps most: predictions, and what came of those that were trained, as tables and sentences."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chaintune.records import Estimate, chain_label
from chaintune.report.cells import Table

if TYPE_CHECKING:
    from chaintune.forgetting.orders import OrderScores, PredictedOrders

_MOST_SHOWN = 12
_NOTE = (
    "Intervals reckon with which examples were asked, and not with how wrong the prediction is: training some orders "
    "tells that."
)


def order_tables(predicted: "PredictedOrders") -> list[Table]:
    """The orders by their predictions, and beside them those that were trained."""
    names = predicted.orders[0].order
    first = list(predicted.orders[:_MOST_SHOWN])
    last = [predicted.orders[-1]] if len(predicted.orders) > len(first) else []
    more = len(predicted.orders) - len(first) - len(last)
    left_out = f" {more} orders between them are in order.json." if more > 0 else ""
    title = "Predicted score of every task at the end of each order, in %"
    shown = tuple(_row(one, names) for one in (*first, *last))
    tables = [Table(title, _NOTE + left_out, ("order", "mean", *names), shown)]
    if predicted.trained:
        rows = tuple(_checked(one, predicted) for one in predicted.trained)
        header = ("order", "predicted mean", "trained mean", *(f"{name}, trained" for name in names))
        tables.append(Table("Orders that were trained, in %", "", header, rows))
    return tables


def order_words(predicted: "PredictedOrders") -> str:
    """The order that is recommended, what the prediction cost, and what came of the orders that were trained."""
    best, worst = predicted.orders[0], predicted.orders[-1]
    level = f"{100 * predicted.level:g} % CI"
    said = (
        f"By the prediction {_named(best)} keeps most: {_with_interval(best.mean, level)} of all tasks on average, and "
        f"{_named(worst)} least: {_with_interval(worst.mean, level)}. "
        f"{predicted.stages} stages were trained for it ({predicted.tokens:,} tokens); all {len(predicted.orders)} "
        f"orders take {predicted.stages_of_all} ({predicted.tokens_of_all:,} tokens)."
    )
    if not predicted.trained:
        return (
            f"{said} Such predictions were not shown to rank orders better than chance where the answer is known "
            "(docs/how-to/order.md): --verify 1 trains these two."
        )
    better, least = predicted.trained[0], predicted.trained[-1]
    gap = 100 * (better.mean.value - least.mean.value)
    off = [abs(one.mean.value - predicted.predicted(one.order).mean.value) for one in predicted.trained]
    return (
        f"{said} Trained, {_named(better)} came to {_with_interval(better.mean, level)} and {_named(least)} to "
        f"{_with_interval(least.mean, level)}, {gap:+.1f} points between them; predictions were off by "
        f"{100 * sum(off) / len(off):.1f} points on average."
    )


def _row(one: "OrderScores", names: Sequence[str]) -> tuple[str, ...]:
    return (_named(one), _cell(one.mean), *(_cell(one.scores[name]) for name in names))


def _checked(one: "OrderScores", predicted: "PredictedOrders") -> tuple[str, ...]:
    before = predicted.predicted(one.order)
    tasks = predicted.orders[0].order
    return (_named(one), _cell(before.mean), _cell(one.mean), *(_cell(one.scores[name]) for name in tasks))


def _named(one: "OrderScores") -> str:
    return chain_label(one.order)


def _cell(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return f"{100 * estimate.value:.1f}"
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _with_interval(estimate: Estimate, level: str) -> str:
    if math.isnan(estimate.low):
        return f"{100 * estimate.value:.1f} % ({estimate.reason})"
    return f"{100 * estimate.value:.1f} % ({level} {100 * estimate.low:.1f} to {100 * estimate.high:.1f})"
