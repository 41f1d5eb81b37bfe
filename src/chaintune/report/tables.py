"""Tables of a study's results: headers and rows of text, for the terminal and for Markdown alike."""

import math
from collections.abc import Sequence

from chaintune.forgetting.recommend import USUAL
from chaintune.records import Limits, ResultRow, pooled
from chaintune.report.cells import Table, checkpoint, gain_key, interval, p_text, share
from chaintune.report.curvature import CURVATURE_METRICS, curvature_rows_table
from chaintune.report.mitigations import mitigation_tables, without_mitigated

__all__ = ["Table", "interval", "main_tables", "study_tables"]


def study_tables(rows: Sequence[ResultRow], limits: Limits = USUAL, *, level: float) -> list[Table]:
    """Every table of a report, in reading order; a table without rows is left out.

    Args:
        rows: of a study.
        limits: what a recommended dose has to reach.
        level: of the intervals; one minus it is the error rate of what is called shown.
    """
    shown = pooled(rows)
    plain = without_mitigated(shown)
    return _filled(
        [
            _accuracy(shown),
            _first_tasks(plain),
            _order(shown),
            *_groups(plain),
            *mitigation_tables(shown, limits, level=level),
            curvature_rows_table(shown),
            *_others(plain),
        ]
    )


def main_tables(rows: Sequence[ResultRow], *, level: float) -> list[Table]:
    """What a reader wants first: as `study_tables`, with the groups of each task's first dimension only.

    Args:
        rows: of a study.
        level: of the intervals; one minus it is the error rate of what is called shown.
    """
    shown = pooled(rows)
    first = {row.task: row.dimension for row in reversed(shown) if row.metric == "forgetting" and row.dimension}
    members = [row for row in shown if not row.dimension or row.dimension == first.get(row.task)]
    plain = without_mitigated(members)
    mitigated = mitigation_tables(members, level=level)
    return _filled([_accuracy(shown), _first_tasks(plain), _order(shown), *_groups(plain), *mitigated])


def _filled(tables: Sequence[Table | None]) -> list[Table]:
    return [table for table in tables if table is not None and table.rows]


def _accuracy(rows: Sequence[ResultRow]) -> Table | None:
    whole = [row for row in rows if row.metric == "accuracy" and not row.dimension]
    if not whole:
        return None
    tasks = list(dict.fromkeys(row.task for row in whole))
    cells: dict[str, dict[str, str]] = {}
    for row in whole:
        cells.setdefault(checkpoint(row, whole), {})[row.task] = interval(row.estimate, points=False)
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
    learned = {row.key: row for row in rows if row.metric == "gain" and row.is_whole}
    lost = [row for row in rows if row.metric == "forgetting" and not row.dimension]
    lines = []
    for row in lost:
        gain = learned.get(gain_key(row))
        kept = _find(rows, row, "retained_gain")
        lines.append(
            (
                checkpoint(row, lost),
                row.task,
                interval(gain.estimate) if gain else "",
                interval(row.estimate),
                p_text(row.estimate.p_value),
                row.verdict,
                share(kept.estimate) if kept else "",
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
        if row.metric == metric and row.is_whole and _is(row, like, like.chain):
            return row
    return None


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
            (
                row.task,
                row.reference,
                shares[0],
                row.chain,
                shares[1],
                interval(row.estimate),
                p_text(row.estimate.p_value),
            )
        )
    return Table(
        "Final score in both orders",
        "Effect: trained later minus trained earlier, in percentage points; positive says that the task fares "
        "better when it comes later.",
        ("task", "earlier", "score", "later", "score", "effect", "p"),
        tuple(lines),
    )


def _is(row: ResultRow, like: ResultRow, chain: str) -> bool:
    """Whether a row is about a chain beside another row's: the same base, variant and task."""
    return row.key == like.key._replace(chain=chain, reference=row.reference)


_LARGEST_DIMENSION = 15


def _groups(rows: Sequence[ResultRow]) -> list[Table]:
    """Forgetting and biased forgetting of every group; one table for each chain, task and dimension."""
    lost = [row for row in rows if row.metric == "forgetting" and row.dimension]
    bias = {(row.key, row.dimension, row.group): row for row in rows if row.metric == "biased_forgetting"}
    places = dict.fromkeys((checkpoint(row, lost), row.reference, row.task, row.dimension) for row in lost)
    tables = []
    for place in places:
        chain, _, task, dimension = place
        members = [row for row in lost if (checkpoint(row, lost), row.reference, row.task, row.dimension) == place]
        members.sort(key=lambda row: (math.isnan(row.estimate.low), -row.estimate.value, row.group))
        shown = members[:_LARGEST_DIMENSION]
        note = "In percentage points, most forgotten first; biased forgetting is the group's forgetting minus the "
        note += "whole task's, positive says that this group loses more. p and "
        note += "verdicts are adjusted for the number of groups, intervals are not."
        if len(members) > len(shown):
            note += (
                f" {len(shown)} of {len(members)} groups, those with too few clusters last; results.parquet has all."
            )
        tables.append(
            Table(
                f"Who forgot {task}: {dimension}, {chain}",
                note,
                (dimension, "n", "clusters", "forgetting", "verdict", "biased forgetting", "p"),
                tuple(_group_line(row, bias.get((row.key, row.dimension, row.group))) for row in shown),
            )
        )
    return tables


def _group_line(row: ResultRow, bias: ResultRow | None) -> tuple[str, ...]:
    return (
        row.group,
        str(row.estimate.n),
        str(row.estimate.n_clusters),
        interval(row.estimate),
        row.verdict,
        interval(bias.estimate) if bias else "",
        p_text(bias.estimate.p_adjusted) if bias else "",
    )


_OTHERS = {
    "asymmetry": "Asymmetry: forgetting of the safety task when it comes first minus that of the capability task",
    "disparity": "Disparity: largest minus smallest forgetting among the groups",
    "disparity_expected": "Disparity expected if all groups forgot alike",
    "bwt": "Backward transfer (Lopez-Paz and Ranzato)",
    "fwt": "Forward transfer (Lopez-Paz and Ranzato)",
    "rounding": "Share of answers that change when the base is scored in another grouping: rounding",
    "rounding_nats": "Change of a log-probability by the same, median, in nats",
    "bbq_bias_ambiguous": "BBQ bias score, ambiguous contexts",
    "bbq_bias_disambiguated": "BBQ bias score, disambiguated contexts",
}


def _others(rows: Sequence[ResultRow]) -> list[Table]:
    known = {"accuracy", "gain", "forgetting", "biased_forgetting", "order_effect", "retained_gain"} | CURVATURE_METRICS
    rest = [row for row in rows if row.metric not in known and not row.group]
    lines = [
        (
            _OTHERS.get(row.metric, row.metric.replace("_", " ")),
            checkpoint(row, rest),
            " ".join(filter(None, (row.task, f"by {row.dimension}" if row.dimension else ""))),
            interval(row.estimate, points=row.metric != "rounding_nats"),
            p_text(row.estimate.p_value),
        )
        for row in rest
    ]
    note = "In percentage points unless another unit is named."
    return [Table("Further results", note, ("what", "checkpoint", "task", "value", "p"), tuple(lines))]
