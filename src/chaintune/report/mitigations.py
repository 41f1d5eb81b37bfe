"""Tables of what mitigations bring back, for whom, at what price, and which dose is recommended."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from chaintune.forgetting.mitigated import COSTS, NEEDS_OLD_DATA
from chaintune.forgetting.recommend import highest_prices, recommend, shortfall
from chaintune.records import Limits, Recommendation, ResultRow, chain_label
from chaintune.records.scales import PERCENT, changes_in, units_in_words
from chaintune.report.answers import CHANCE_HEADER, chance_cells
from chaintune.report.cells import (
    Table,
    biased_only,
    biased_only_note,
    change,
    checkpoint_columns,
    joint_name,
    most_forgotten_first,
    p_text,
    percent,
    rows_beside,
    score,
    statistic,
)
from chaintune.report.results import Results
from chaintune.stats import adjust

_MOST_COLUMNS = 6


def mitigation_tables(results: Results) -> list[Table]:
    """The tables of a study's mitigations, in reading order; a table without rows is left out."""
    rows, limits = results.shown, results.limits
    tables = [_compared(rows, limits), _recommended(rows, limits), _gaps(rows, 1 - results.level), *_groups(rows)]
    return [table for table in tables if table.rows]


def beyond_reference(row: ResultRow, rows: Sequence[ResultRow]) -> str:
    """The steps in which a chain differs from the one that its row is compared with; all of it where none does."""
    plain = next((one.steps for one in rows if (one.base, one.chain) == (row.base, row.reference)), ())
    alike = next((at for at, (step, other) in enumerate(zip(row.steps, plain, strict=False)) if step != other), None)
    return chain_label(row.steps[len(plain) if alike is None else alike :] or row.steps)


def _recoveries(rows: Iterable[ResultRow]) -> list[ResultRow]:
    return [row for row in rows if row.metric == "recovery" and not row.dimension]


def _compared(rows: Sequence[ResultRow], limits: Limits) -> Table:
    """One line a mitigated checkpoint and lost task."""
    recoveries = _recoveries(rows)
    names, cells_of = checkpoint_columns(recoveries)
    every_price = [row for row in rows if row.metric == "price" and row.is_whole]
    prices = list(dict.fromkeys(row.task for row in every_price))
    lines = []
    for row in recoveries:
        beside = {(one.metric, one.task): one for one in rows if of_same_checkpoint(one, row) and one.is_whole}
        paid = [beside.get(("price", task)) for task in prices]
        level = statistic(rows, row, "accuracy", reference="")
        lines.append(
            (
                *cells_of(row),
                row.task,
                score(level, named=True),
                *(chance_cells(level.answers, level.unit) if level else ("", "")),
                percent(row),
                *(change(price, named=True) for price in paid),
                *(_count(beside.get((metric, row.task))) for metric in COSTS),
                _yes_or_no(beside.get((NEEDS_OLD_DATA, row.task))),
                "no" if shortfall(row, rows, limits) else "yes",
            )
        )
    note = (
        "Recovery: share of the loss that comes back, against the same chain without the mitigation. Price: "
        f"forgetting of the other task, in {units_in_words(row.unit for row in every_price)}, positive is worse. "
        "Extra: training beyond that of the chain without it. Needs old data: whether it takes examples of the task; a "
        "checkpoint from before the loss is none. Reaches: recovery wholly above "
        f"{PERCENT.amount(limits.target)} with every price wholly below {highest_prices(rows, limits.margin)}."
    )
    header = (
        *names, "task", "score", *CHANCE_HEADER, "recovery", *(f"price in {task}" for task in prices),
        "extra tokens", "extra seconds", "needs old data", "reaches",
    )  # fmt: skip
    return Table("Mitigations", note, header, tuple(lines), first=True)


def _recommended(rows: Sequence[ResultRow], limits: Limits) -> Table:
    choices = recommend(rows, limits)
    several = {"base": len({one.base for one in choices}) > 1, "variant": any(one.variant for one in choices)}
    further = [name for name, are_several in several.items() if are_several]
    lines = tuple(
        (
            choice.after,
            *(getattr(choice, name) for name in further),
            choice.task,
            choice.dose_curve,
            _recommended_cell(choice),
            choice.reason,
        )
        for choice in choices
    )
    merges = any(choice.varied == "fraction" for choice in choices)
    smallest = "dose, of merges the smallest fraction," if merges else "dose"
    note = (
        f"The smallest {smallest} whose recovery lies above {PERCENT.amount(limits.target)} with its whole interval, "
        f"while every price lies below {highest_prices(rows, limits.margin)} with its whole interval."
    )
    return Table("Recommended doses", note, ("after", *further, "task", "mitigation", "dose", "why"), lines)


def _recommended_cell(choice: Recommendation) -> str:
    if math.isnan(choice.dose):
        return "none"
    share = f"{choice.dose:.4%}".rstrip("0%").rstrip(".") + "%"
    return share if choice.varied == "dose" else f"{choice.varied} {share}"


def _gaps(rows: Sequence[ResultRow], error_rate: float) -> Table:
    """The spread of forgetting over the groups without and with each mitigation, and whether the gap closed."""
    recoveries, places = _recoveries(rows), list[tuple[tuple[str, ...], list[ResultRow]]]()
    names, cells_of = checkpoint_columns(recoveries)
    for row in recoveries:
        for dimension in dict.fromkeys(one.dimension for one in rows if one.metric == "regained_disparity"):
            before = statistic(rows, row, "disparity", chain=row.reference, dimension=dimension)
            after = statistic(rows, row, "disparity", dimension=dimension)
            unequal = statistic(rows, row, "regained_disparity", reference=row.reference, dimension=dimension)
            if before and after and unequal:
                places.append(((*cells_of(row), f"{row.task} by {dimension}"), [before, after, unequal]))
    columns = [_corrected([several[at] for _, several in places]) for at in range(3)]
    lines = [
        (
            *place,
            _spread(several[0], rows),
            p_text(before),
            _spread(several[1], rows),
            p_text(after),
            p_text(unequal),
            _gap(before, after, error_rate),
        )
        for (place, several), before, after, unequal in zip(places, *columns, strict=True)
    ]
    units = units_in_words(row.unit for row in rows if row.metric == "regained_disparity")
    note = (
        f"Spread: largest minus smallest forgetting among the groups, in {units}, with what chance alone gives behind "
        "it; p tests that all groups forgot alike. Regained: p of the test that the mitigation brought all groups back "
        "alike. Each column of p is corrected over the lines of this table (Holm). No longer shown is not the same as "
        "closed, nor now shown as opened: data may be too few to show it."
    )
    header = (*names, "groups", "spread without", "p", "spread with", "p", "regained p", "gap")
    return Table("Did the gap between groups close?", note, header, tuple(lines))


def _corrected(rows: Sequence[ResultRow]) -> list[float]:
    """P-values of a column of the table, corrected by Holm; a spread that several lines show is one test."""
    tests = list(dict.fromkeys((row.key, row.dimension) for row in rows))
    of_row = [tests.index((row.key, row.dimension)) for row in rows]
    p_values = [rows[of_row.index(test)].estimate.p_value for test in range(len(tests))]
    return adjust(np.array(p_values))[of_row].tolist() if rows else []


def _gap(before: float, after: float, error_rate: float) -> str:
    if math.isnan(before) or math.isnan(after):
        return "unknown"
    if before > error_rate:
        return "none shown" if after > error_rate else "now shown"
    return "no longer shown" if after > error_rate else "still there"


def _spread(row: ResultRow, rows: Sequence[ResultRow]) -> str:
    """A disparity, and the one to expect if all groups forgot alike."""
    scale = changes_in(row.unit)
    chance = statistic(rows, row, "disparity_expected", reference=row.reference, dimension=row.dimension)
    number = scale.number(row.estimate.value, named=True)
    return f"{number} (chance {scale.number(chance.estimate.value)})" if chance else number


def _groups(rows: Sequence[ResultRow]) -> list[Table]:
    """Forgetting of every group without and with the mitigations of one chain, side by side."""
    places = dict.fromkeys((row.base, row.variant, row.reference, row.task) for row in _recoveries(rows))
    tables, beside = [], rows_beside(rows)
    for base, variant, after, task in places:
        lost = [
            row
            for row in rows
            if row.metric == "forgetting" and row.dimension
            if (row.base, row.variant, row.task) == (base, variant, task) and joint_name(row)
        ]
        plain = next((row.steps for row in lost if row.chain == after), ())
        names = {
            row.chain: beyond_reference(row, rows) if row.steps[: len(plain)] == plain else row.chain
            for row in _recoveries(rows)
            if (row.base, row.variant, row.reference, row.task) == (base, variant, after, task)
        }
        for start in range(0, len(names), _MOST_COLUMNS):
            shown = {after: after} | dict(islice(names.items(), start, start + _MOST_COLUMNS))
            for dimension in dict.fromkeys(row.dimension for row in lost if row.chain == after):
                members = [row for row in lost if row.dimension == dimension]
                what = f"{task}: {dimension}" + (f", {variant}" if variant else "")
                table = _group_table(most_forgotten_first(members, beside), shown, what)
                alone = biased_only([row for row in members if row.chain == after], beside)
                tables.append(replace(table, note=" ".join([table.note, *biased_only_note(alone)])))
    return tables


def _group_table(rows: Sequence[ResultRow], chains: Mapping[str, str], what: str) -> Table:
    """Groups in lines, most forgotten first; the chain without a mitigation in the first column."""
    first = [row for row in rows if row.chain == next(iter(chains))]
    cells = {(row.chain, row.group): change(row) for row in rows}
    lines = tuple(
        (joint_name(row), str(row.estimate.n), *(cells.get((chain, row.group), "") for chain in chains))
        for row in first
    )
    unit = units_in_words([rows[0].unit])
    note = f"Forgetting of each group without and with each mitigation, in {unit}, positive is worse."
    return Table(f"Forgetting by group with mitigations, {what}", note, ("group", "n", *chains.values()), lines)


def _yes_or_no(row: ResultRow | None) -> str:
    """Whether a value is not 0; nothing where it is not known, as in results of an earlier version."""
    return "" if row is None else "yes" if row.estimate.value else "no"


def _count(row: ResultRow | None) -> str:
    if row is None or math.isnan(row.estimate.value):
        return ""
    return f"{row.estimate.value:+,.0f}"


def of_same_checkpoint(row: ResultRow, like: ResultRow) -> bool:
    """Whether two rows are of the same mitigated checkpoint, of whichever task."""
    return row.mitigation == like.mitigation and row.key._replace(task=like.task) == like.key
