"""Tables of a study's results: headers and rows of text, for the terminal and for Markdown alike."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaintune.records import Estimate, ResultRow

POOLED = "all"


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows and columns.

    Attributes:
        title: what it shows.
        note: one sentence on how to read it; may be empty.
        header: a name for each column.
        rows: as many cells each.
    """

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def study_tables(rows: Sequence[ResultRow]) -> list[Table]:
    """Every table of a report, in reading order; a table without rows is left out."""
    shown = _pooled_only(rows)
    return _filled([_accuracy(shown), _first_tasks(shown), _order(shown), *_groups(shown), *_others(shown)])


def main_tables(rows: Sequence[ResultRow]) -> list[Table]:
    """What a reader wants first: as `study_tables`, with the groups of each task's first dimension only."""
    shown = _pooled_only(rows)
    first = {row.task: row.dimension for row in reversed(shown) if row.metric == "forgetting" and row.dimension}
    members = [row for row in shown if not row.dimension or row.dimension == first.get(row.task)]
    return _filled([_accuracy(shown), _first_tasks(shown), _order(shown), *_groups(members)])


def _filled(tables: Sequence[Table | None]) -> list[Table]:
    return [table for table in tables if table is not None and table.rows]


def interval(estimate: Estimate, *, points: bool = True) -> str:
    """An estimate with its interval behind it, as far as they are defined; results.parquet has the reasons.

    Args:
        estimate: a share, or a difference of shares.
        points: as percentage points with a sign, else as a share between 0 and 1.

    Example:
        >>> interval(Estimate(0.05, 0.01, 0.09, n=100, n_clusters=100))
        '+5.0 (+1.0 to +9.0)'
    """
    if math.isnan(estimate.value):
        return "undefined"
    text = _number(estimate.value, points)
    if math.isnan(estimate.low):
        return f"{text} (no interval)"
    return f"{text} ({_number(estimate.low, points)} to {_number(estimate.high, points)})"


def _number(value: float, points: bool) -> str:
    # Rounding -0.0001 gives "-0.0", which reads like a direction that is not there.
    return f"{round(100 * value, 1) + 0.0:+.1f}" if points else f"{value:.3f}"


def _pooled_only(rows: Iterable[ResultRow]) -> list[ResultRow]:
    """Rows of all seeds together where there are several, else those of the one seed."""
    rows = list(rows)
    pooled = {_what(row) for row in rows if row.seed == POOLED}
    return [row for row in rows if row.seed == POOLED or _what(row) not in pooled]


def _what(row: ResultRow) -> tuple[object, ...]:
    return (row.base, row.chain, row.variant, row.reference, row.task, row.metric, row.dimension, row.group)


def _checkpoint(row: ResultRow, rows: Sequence[ResultRow]) -> str:
    """A checkpoint's name with what tells it from others: its base and knobs where several occur."""
    parts = [row.chain]
    if len({other.base for other in rows}) > 1:
        parts.append(row.base)
    if row.variant:
        parts.append(row.variant)
    return ", ".join(parts)


def _accuracy(rows: Sequence[ResultRow]) -> Table | None:
    whole = [row for row in rows if row.metric == "accuracy" and not row.dimension]
    if not whole:
        return None
    tasks = list(dict.fromkeys(row.task for row in whole))
    cells: dict[str, dict[str, str]] = {}
    for row in whole:
        cells.setdefault(_checkpoint(row, whole), {})[row.task] = interval(row.estimate, points=False)
    sizes = {row.task: f"{row.task} (n={row.estimate.n})" for row in whole}
    return Table(
        "Accuracy",
        "Share of right answers after each stage, with its interval.",
        ("checkpoint", *(sizes[task] for task in tasks)),
        tuple((name, *(found.get(task, "") for task in tasks)) for name, found in _base_first(cells)),
    )


def _base_first(cells: dict[str, dict[str, str]]) -> list[tuple[str, dict[str, str]]]:
    return sorted(cells.items(), key=lambda item: not item[0].startswith("base"))


def _first_tasks(rows: Sequence[ResultRow]) -> Table | None:
    """What was learned, and what of it was forgotten: one row for each task of each chain that another followed."""
    learned = {
        (row.base, row.chain, row.variant, row.task): row for row in rows if row.metric == "gain" and not row.dimension
    }
    lost = [row for row in rows if row.metric == "forgetting" and not row.dimension]
    lines = []
    for row in lost:
        gain = learned.get((row.base, row.reference, row.variant, row.task))
        kept = _find(rows, row, "retained_gain")
        lines.append(
            (
                _checkpoint(row, lost),
                row.task,
                interval(gain.estimate) if gain else "",
                interval(row.estimate),
                _p(row.estimate.p_value),
                row.verdict,
                _share(kept.estimate) if kept else "",
            )
        )
    return Table(
        "Learned, then forgotten",
        "In percentage points. Gain: right after the task was trained, over the base. Forgetting: from then to the "
        "end of the chain, positive is worse. Retained: share of the gain still there.",
        ("chain", "task", "gain", "forgetting", "p", "verdict", "gain retained"),
        tuple(lines),
    )


def _find(rows: Sequence[ResultRow], like: ResultRow, metric: str) -> ResultRow | None:
    for row in rows:
        same = (row.base, row.chain, row.variant, row.task) == (like.base, like.chain, like.variant, like.task)
        if same and row.metric == metric and not row.dimension:
            return row
    return None


def _share(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "undefined"
    ends = "" if math.isnan(estimate.low) else f" ({estimate.low:.0%} to {estimate.high:.0%})"
    return f"{estimate.value:.0%}{ends}"


def _p(value: float) -> str:
    if math.isnan(value):
        return ""
    return "<.001" if value < 0.001 else "1" if value > 0.9995 else f"{value:.3f}".removeprefix("0")


def _order(rows: Sequence[ResultRow]) -> Table | None:
    effects = [row for row in rows if row.metric == "order_effect" and not row.dimension]
    lines = []
    for row in effects:
        final = {
            chain: next((r for r in rows if r.metric == "accuracy" and not r.dimension and _is(r, row, chain)), None)
            for chain in (row.reference, row.chain)
        }
        shares = [interval(found.estimate, points=False) if found else "" for found in final.values()]
        lines.append(
            (row.task, row.reference, shares[0], row.chain, shares[1], interval(row.estimate), _p(row.estimate.p_value))
        )
    return Table(
        "Final score in both orders",
        "Effect: trained later minus trained earlier, in percentage points; positive says that the task fares "
        "better when it comes later.",
        ("task", "earlier", "score", "later", "score", "effect", "p"),
        tuple(lines),
    )


def _is(row: ResultRow, like: ResultRow, chain: str) -> bool:
    return (row.base, row.chain, row.variant, row.task) == (like.base, chain, like.variant, like.task)


_LARGEST_DIMENSION = 15


def _groups(rows: Sequence[ResultRow]) -> list[Table]:
    """Forgetting and biased forgetting of every group; one table for each chain, task and dimension."""
    lost = [row for row in rows if row.metric == "forgetting" and row.dimension]
    bias = {_about_group(row): row for row in rows if row.metric == "biased_forgetting"}
    places = dict.fromkeys((_checkpoint(row, lost), row.reference, row.task, row.dimension) for row in lost)
    tables = []
    for place in places:
        chain, _, task, dimension = place
        members = [row for row in lost if (_checkpoint(row, lost), row.reference, row.task, row.dimension) == place]
        members.sort(key=lambda row: (math.isnan(row.estimate.low), -row.estimate.value, row.group))
        shown = members[:_LARGEST_DIMENSION]
        note = "In percentage points, most forgotten first; biased forgetting is the group's forgetting minus the "
        note += "whole task's, positive says that this group loses more. p is adjusted for the number of groups."
        if len(members) > len(shown):
            note += (
                f" {len(shown)} of {len(members)} groups, those with too few clusters last; results.parquet has all."
            )
        tables.append(
            Table(
                f"Who forgot {task}: {dimension}, {chain}",
                note,
                (dimension, "n", "clusters", "forgetting", "verdict", "biased forgetting", "p"),
                tuple(_group_line(row, bias.get(_about_group(row))) for row in shown),
            )
        )
    return tables


def _about_group(row: ResultRow) -> tuple[str, ...]:
    return (row.base, row.chain, row.variant, row.reference, row.task, row.dimension, row.group)


def _group_line(row: ResultRow, bias: ResultRow | None) -> tuple[str, ...]:
    return (
        row.group,
        str(row.estimate.n),
        str(row.estimate.n_clusters),
        interval(row.estimate),
        row.verdict,
        interval(bias.estimate) if bias else "",
        _p(bias.estimate.p_adjusted) if bias else "",
    )


_OTHERS = {
    "asymmetry": "Asymmetry: forgetting of the safety task when it comes first minus that of the capability task",
    "disparity": "Disparity: largest minus smallest forgetting among the groups",
    "disparity_expected": "Disparity expected if all groups forgot alike",
    "recovery": "Recovery: share of the loss that the mitigation brings back",
    "price": "Price: forgetting of the other task that the mitigation costs",
    "bwt": "Backward transfer (Lopez-Paz and Ranzato)",
    "fwt": "Forward transfer (Lopez-Paz and Ranzato)",
    "bbq_bias_ambiguous": "BBQ bias score, ambiguous contexts",
    "bbq_bias_disambiguated": "BBQ bias score, disambiguated contexts",
}
_SHARES = {"recovery"}


def _others(rows: Sequence[ResultRow]) -> list[Table]:
    known = {"accuracy", "gain", "forgetting", "biased_forgetting", "order_effect", "retained_gain"}
    rest = [row for row in rows if row.metric not in known and not row.group]
    lines = [
        (
            _OTHERS.get(row.metric, row.metric.replace("_", " ")),
            _checkpoint(row, rest),
            " ".join(filter(None, (row.task, f"by {row.dimension}" if row.dimension else ""))),
            _share(row.estimate) if row.metric in _SHARES else interval(row.estimate),
            _p(row.estimate.p_value),
        )
        for row in rest
    ]
    note = "In percentage points, recovery in percent of the loss."
    return [Table("Further results", note, ("what", "checkpoint", "task", "value", "p"), tuple(lines))]
