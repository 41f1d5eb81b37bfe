"""Tables of results: headers and rows of text, for the terminal and for Markdown alike."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from chaintune.records import Comparison, Disparity, Estimate, ResultRow, RowKey, pooled
from chaintune.records.checkpoint import BASE
from chaintune.records.comparison import AUC, BIASED_LOWER, BIASED_UPPER, LOWER, UPPER
from chaintune.records.likelihood import LIKELIHOOD
from chaintune.records.results import VARIANT_METRICS
from chaintune.records.scales import changes_in, levels_in, units_in_words
from chaintune.report.agreement import agreement_rows_table, agreement_tables
from chaintune.report.answers import (
    ANSWERS_HEADER,
    CHANCE_HEADER,
    answers_cells,
    chance_cells,
    chance_line,
    is_known,
    remarks,
    without_loss,
)
from chaintune.report.cells import (
    Beside,
    Table,
    biased_only,
    biased_only_note,
    change,
    checkpoint,
    checkpoint_columns,
    family_note,
    gain_key,
    joint_name,
    keys_of_sides,
    metric_notes,
    most_forgotten_first,
    p_cell,
    p_text,
    percent,
    perplexity,
    rows_beside,
    score,
    side_by_side,
    statistic,
)
from chaintune.report.curvature import (
    CURVATURE_METRICS,
    KL_METRICS,
    apart_table,
    curvature_rows_table,
    divergence_table,
)
from chaintune.report.gate import gate_table
from chaintune.report.mitigations import mitigation_tables
from chaintune.report.outcomes import is_refusal, outcome_tables
from chaintune.report.people import people_table
from chaintune.report.power import power_table
from chaintune.report.results import Results, without_mitigated
from chaintune.report.second_lines import by_name, margins_rows, margins_table, whole_lines
from chaintune.report.variants import against_first_table, variants_table

__all__ = ["Table", "result_tables"]

_MOST_LISTED = 15
_MOST_DIMENSIONS = 3  # of a comparison that are printed first
_PERPLEXITY = "Perplexity, exp of minus the likelihood"
_INCOMPLETE = (
    "Verdicts, and the intervals and tests of groups beside the others, count examples that lack a score at their best "
    "and at their worst; all else is of those that have both."
)


def result_tables(results: Results) -> list[Table]:
    """The tables of a report, in reading order; a table without rows is left out."""
    tables: list[Table | None] = [gate_table(results.gate)] if results.gate else []
    if series := results.series:
        tables += side_by_side({pair: _filled(_of_pair(series.at([pair]))) for pair in series.pairs})
    else:
        tables += _of_pair(results.comparisons)
    tables += agreement_tables(_alike(results.comparisons))
    if not results.comparisons:
        tables += [] if results.variant else map(_first, variants_table(results.provenance))
        further = (curvature_rows_table(results.shown), divergence_table(results.shown))
        tables += [*_main_tables(results), *further, *_others(results.plain)]
    return _filled(tables)


def _first(table: Table | None) -> Table | None:
    """A table that is printed where most are only named."""
    return table and replace(table, first=True)


def _alike(comparisons: Sequence[Comparison]) -> dict[str, dict[str, Estimate]]:
    """Of each task that was asked both ways: checkpoint -> share of examples that are answered alike."""
    alike: dict[str, dict[str, Estimate]] = {}
    for one in comparisons:
        for side, share in one.chat_agreement.items():
            name = {"before": one.start, "after": one.end}.get(side) or side
            alike.setdefault(one.task, {}).setdefault(name, share)
    return alike


def _filled(tables: Iterable[Table | None]) -> list[Table]:
    return [table for table in tables if table is not None and table.rows]


def _of_pair(comparisons: Sequence[Comparison]) -> Iterator[Table | None]:
    """The tables of two checkpoints, task by task; of groups the first dimensions stand first."""
    for one in comparisons:
        named = by_name([row for row in one.further if row.item_metric != AUC])
        yield _first(_before_after(one))
        yield from outcome_tables([*one.rows, *named])
        yield people_table(one)
        groups = group_tables(one.rows, scores=True)
        yield from (
            *map(_first, groups[:_MOST_DIMENSIONS]),
            *groups[_MOST_DIMENSIONS:],
            *group_tables(named, scores=True),
        )
        yield from (margins_table(one.further, one.level), apart_table(one), _spread(one), _first(power_table(one)))


def _main_tables(results: Results) -> list[Table | None]:
    further = pooled(results.rows, further=True)
    rows = [*results.shown, *by_name(further)]
    plain = without_mitigated(rows)
    return [
        _first(_accuracy(rows)),
        _answers(rows),
        *outcome_tables(rows),
        agreement_rows_table(rows),
        _first(_first_tasks(plain)),
        _first(_order(rows)),
        _first(against_first_table(rows, results.level)),
        *_study_groups(plain),
        margins_table(margins_rows(results), results.level),
        *mitigation_tables(results),
    ]


def _study_groups(rows: Sequence[ResultRow]) -> Iterator[Table | None]:
    """Tables of groups; one is printed first, that of the first dimension."""
    tables = group_tables(rows)
    yield from (*map(_first, tables[:1]), *tables[1:])


def _before_after(comparison: Comparison) -> Table:
    """The whole task under both checkpoints."""
    flips = "right, then wrong; learned: wrong, then right"
    if is_refusal(comparison):
        flips = "refused, then not; learned: not refused, then refused"
    if comparison.graded:
        flips = "fell; learned: rose" if comparison.direction == "more" else "rose; learned: fell"
    row, scores = comparison.overall, levels_in(comparison.unit)
    note = (
        f"Forgetting in {units_in_words([comparison.unit])}, with an interval of level {comparison.level:g}; positive "
        f"is worse. Forgot: {flips}."
    )
    sides = [("before", row.answers_before), ("after", row.answers_after)]
    cells = (
        comparison.task,
        str(row.forgetting.n),
        str(row.forgetting.n_clusters),
        scores.short(row.before),
        scores.short(row.after),
        changes_in(comparison.unit).short(row.forgetting),
        p_cell(row.forgetting),
        row.verdict,
        str(row.forgot),
        str(row.learned),
    )
    guessing = chance_line(sides, comparison.unit)
    beside = [f"{_PERPLEXITY}: {perplexity(row.before)} before, {perplexity(row.after)} after."]
    beside = beside if comparison.metric == LIKELIHOOD else []
    return Table(
        f"{comparison.task}: {comparison.metric} before and after",
        " ".join([note, *family_note([row.forgetting_family]), guessing, *beside, *_left_out(comparison)]),
        ("task", "n", "clusters", "before", "after", "forgetting", "p", "verdict", "forgot", "learned"),
        (cells, *whole_lines(comparison)),
    )


def _left_out(comparison: Comparison) -> Iterator[str]:
    """What was taken for granted of missing scores, and groups and tasks that only one side has."""
    if comparison.assumption:
        yield f"{comparison.assumption}."
    elif comparison.bounds:
        yield _INCOMPLETE
    groups = [f"{dimension} {group}" for dimension, group in comparison.groups_left_out]
    if groups:
        yield f"Left out, as no example is on both sides: {_listed(groups)}."
    if comparison.tasks_left_out:
        yield f"Tasks left out, as only one side has them: {_listed(comparison.tasks_left_out)}."


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f", and {more} more; the JSON format has all" if more > 0 else "")


def _spread(comparison: Comparison) -> Table:
    return Table(
        f"Spread over the groups of {comparison.task}",
        "Disparity: largest minus smallest forgetting among groups with enough clusters, in "
        f"{units_in_words([comparison.unit])}; it is positive even where all groups forget alike, then on average as "
        "large as expected.",
        ("dimension", "groups", "disparity", "expected if all alike", "p"),
        tuple(_spread_cells(spread, comparison.unit) for spread in comparison.disparities),
    )


def _spread_cells(spread: Disparity, unit: str) -> tuple[str, ...]:
    one = spread.estimate

    def number(value: float) -> str:
        return changes_in(unit).number(value).lstrip("+")

    size = number(one.value)
    if not math.isnan(one.low):
        size += f" (at least {number(one.low)}, at most {number(one.high)} with what is missing)"
    return (spread.dimension, str(spread.n_groups), size, number(spread.null_expectation), p_text(one.p_value))


def _accuracy(rows: Sequence[ResultRow]) -> Table | None:
    whole = [row for row in rows if row.metric == "accuracy" and not row.dimension]
    if not whole:
        return None
    tasks = list(dict.fromkeys(row.task for row in whole))
    perplexities = {row.task: f"perplexity in {row.task}" for row in whole if row.item_metric == LIKELIHOOD}
    names, cells_of = checkpoint_columns(whole)
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for row in whole:
        own = cells.setdefault(cells_of(row), {})
        own[row.task] = score(row, named=True)
        if row.task in perplexities:
            own[perplexities[row.task]] = perplexity(row.estimate)
    sizes = {row.task: f"{row.task} (n={row.estimate.n})" for row in whole}
    shares = all(row.is_accuracy for row in whole)
    unnamed = (
        "Share of right answers" if shares else "Mean score, a share of right answers where nothing else is named,"
    )
    first = {row.task: row for row in reversed(whole)}
    balanced = metric_notes(first)
    guessing = zip(*(chance_cells(first[task].answers, first[task].unit) for task in tasks), strict=True)
    unknown, unnamed_too = [""] * len(perplexities), [""] * (len(names) - 1)
    beside = [f"{_PERPLEXITY}, is of the mean over answers."] if perplexities else []
    alike: dict[tuple[str, str], dict[str, None]] = {}
    for row in whole:
        for text in remarks("", row.answers) if row.deciding else ():
            alike.setdefault((row.task, text), {})[checkpoint(row, whole)] = None
    notes = [
        f"{'Each of ' if len(several) > 1 else ''}{'; '.join(several)} ({task}){text}"
        for (task, text), several in alike.items()
    ]
    return Table(
        "Accuracy" if shares else "Scores",
        " ".join([f"{unnamed} after each stage, with its interval.", *balanced, *beside, *notes]),
        (*names, *(sizes[task] for task in tasks), *perplexities.values()),
        (
            *(
                (*name, *(own.get(one, "") for one in (*tasks, *perplexities.values())))
                for name, own in sorted(cells.items(), key=lambda item: item[0][0] != BASE)
            ),
            *((name, *unnamed_too, *own, *unknown) for name, own in zip(CHANCE_HEADER, guessing, strict=True)),
        ),
    )


def _answers(rows: Sequence[ResultRow]) -> Table:
    """How each checkpoint answered each task, where that is known."""
    whole = [row for row in rows if row.metric == "accuracy" and not row.dimension and is_known([row.answers])]
    names, cells_of = checkpoint_columns(whole)
    return Table(
        "How tasks were answered",
        "Chance: what guessing scores. The commonest answer stands beside the commonest right one, each with its "
        "share: labels, or positions of choices. Not answered: ties of all choices, empty answers and refusals.",
        (*names, "task", "score", *ANSWERS_HEADER, "not answered"),
        tuple(
            (
                *cells_of(row),
                row.task,
                score(row, named=True),
                *answers_cells([row.answers], row.unit),
                f"{row.answers.silent} of {row.answers.n_answers}",
            )
            for row in whole
        ),
    ).without_empty(ANSWERS_HEADER)


def _first_tasks(rows: Sequence[ResultRow]) -> Table | None:
    """Gain and forgetting of each task of each chain that another followed; of others the gain alone."""
    learned = {row.key: row for row in rows if row.metric == "gain" and row.is_whole}
    lost = [row for row in rows if row.metric == "forgetting" and not row.dimension]
    # Counted from right after the task was trained, as usual, each has a gain there.
    sources = any(gain_key(row) not in learned for row in lost)
    told = {row.task for row in lost if gain_key(row) in learned}
    only = [row for row in learned.values() if row.task not in told]
    names, cells_of = checkpoint_columns([*lost, *only], "chain")
    lines = []
    for row in lost:
        gain = learned.get(gain_key(row))
        lines.append(
            (
                *cells_of(row),
                row.task,
                *((row.reference,) if sources else ()),
                change(gain, named=True),
                change(row, named=True),
                p_cell(row.estimate),
                row.verdict,
                percent(statistic(rows, row, "retained_gain")),
            )
        )
    nothing = ("",) * 4
    lines += [
        (*cells_of(row), row.task, *(("",) if sources else ()), change(row, named=True), *nothing) for row in only
    ]
    start = "the checkpoint named" if sources else "then"
    header = (*names, "task", *(("counted from",) if sources else ()), "gain", "forgetting", "p", "verdict")
    note = (
        f"In {units_in_words(row.unit for row in (*lost, *only))}. Gain: right after the task was trained, over the "
        f"base. Forgetting: from {start} to the end of the chain, positive is worse. Retained: share of the gain still "
        "there."
    )
    return Table(
        "Learned, then forgotten",
        " ".join([note, *family_note(row.family for row in lost)]),
        (*header, "gain retained"),
        tuple(lines),
    )


def _order(rows: Sequence[ResultRow]) -> Table | None:
    effects = [row for row in rows if row.metric == "order_effect" and not row.dimension]
    (_, *names), cells_of = checkpoint_columns(effects)
    lines = []
    for row in effects:
        ends = [
            (chain, score(statistic(rows, row, "accuracy", chain=chain), named=True))
            for chain in (row.reference, row.chain)
        ]
        late = statistic(rows, row, "accuracy")
        guessing = chance_cells(late.answers, late.unit) if late else ("", "")
        line = (*ends[0], *ends[1], *guessing, change(row, named=True), p_text(row.estimate.p_value))
        lines.append((row.task, *cells_of(row)[1:], *line))
    return Table(
        "Final score in both orders",
        f"Effect: trained later minus trained earlier, in {units_in_words(row.unit for row in effects)}; positive says "
        "that the task scores better when it comes later.",
        ("task", *names, "earlier", "score", "later", "score", *CHANCE_HEADER, "effect", "p"),
        tuple(lines),
    )


_LARGEST_DIMENSION = 15
BEST = "best estimate"
_ADJUSTED = (
    "p, verdicts and intervals are adjusted for the number of groups{}: each interval has the level at which its group "
    "was judged, and leaves out 0 only where a difference is shown. 'kept' rests on each group's own interval, by "
    "itself, which the files of results hold too."
)
_POOLED = (
    "Best estimate: forgetting as all groups together suggest it, shrunk toward the whole task by what is noise; "
    "the one to rely on for a group that was picked from this table."
)


def group_tables(rows: Sequence[ResultRow], *, scores: bool = False) -> list[Table]:
    """Forgetting and biased forgetting of every group, with `scores` those too; a table a chain, task and dimension."""
    lost = [row for row in rows if row.metric == "forgetting" and row.dimension]
    beside = rows_beside(rows)
    by_dimension: dict[tuple[RowKey, str], list[ResultRow]] = {}
    for row in lost:
        if joint_name(row):
            by_dimension.setdefault((row.key, row.dimension), []).append(row)
    return [_group_table(members, beside, checkpoint(members[0], lost), scores) for members in by_dimension.values()]


def _group_table(members: Sequence[ResultRow], beside: Beside, chain: str, scores: bool) -> Table:
    first = members[0]
    shown = most_forgotten_first(members, beside)[:_LARGEST_DIMENSION]
    bias = {row.group: beside.get((row.key, "biased_forgetting", row.dimension, row.group)) for row in shown}
    relative = next((row.bf_reference for row in bias.values() if row), "")
    whole = "that of the rest" if relative == "rest" else "the whole task's"
    note = (
        f"In {units_in_words([first.unit])}, most forgotten first; biased forgetting is the group's forgetting minus "
        f"{whole}, "
        "positive says that this group loses more."
    )
    is_adjusted = any(row.estimate.is_adjusted for row in (*shown, *bias.values()) if row)
    over = [row.family for row in (*shown, *bias.values()) if row and "pairs" in row.family]
    best = {row.group: _best(row, beside) for row in shown}
    pooled = any(cell for cells in best.values() for cell in cells)
    bounds = any((row.key, LOWER, row.dimension, row.group) in beside for row in members)
    notes = (
        _ADJUSTED.format(" and of pairs of checkpoints" if over else "") if is_adjusted else "",
        _POOLED if pooled else "",
        without_loss(members),
        *biased_only_note(biased_only(members, beside)),
        _INCOMPLETE if bounds else "",
    )
    note += "".join(f" {text}" for text in notes if text)
    if len(members) > len(shown):
        file = "results.parquet" if first.chain else "the JSON format"
        note += f" {len(shown)} of {len(members)} groups, those with too few clusters last; {file} has all."
    levels = {row.group: _levels(row, beside) for row in shown} if scores else {}
    known = is_known(one.answers for several in levels.values() for one in several)
    return Table(
        f"Who forgot {first.task}: {first.dimension}" + (f", {chain}" if chain else ""),
        note,
        (
            first.dimension, "n", "clusters", *(("before", "after") if scores else ()),
            *(ANSWERS_HEADER if known else ()), "forgetting", "verdict", *((BEST,) if pooled else ()),
            "biased forgetting", "p",
        ),
        tuple(
            _group_line(row, bias[row.group], _scores(levels.get(row.group, ()), known), best[row.group] * pooled)
            for row in shown
        ),
    ).without_empty(ANSWERS_HEADER)  # fmt: skip


def _best(row: ResultRow, beside: Beside) -> tuple[str]:
    """The cell of the best estimate of a group's forgetting; empty where there is none."""
    best = beside.get((row.key, "pooled_forgetting", row.dimension, row.group))
    return (change(best) if best and not math.isnan(best.estimate.value) else "",)


def _levels(row: ResultRow, beside: Beside) -> list[ResultRow]:
    """The group's scores under the checkpoint that is compared with, and under the later one."""
    return [beside[key, "accuracy", row.dimension, row.group] for key in keys_of_sides(row)]


def _scores(levels: Sequence[ResultRow], known: bool) -> tuple[str, ...]:
    cells = tuple(levels_in(one.unit).number(one.estimate.value) for one in levels)
    return cells + (answers_cells([one.answers for one in levels], levels[0].unit) if known else ())


def _group_line(
    row: ResultRow, bias: ResultRow | None, scores: tuple[str, ...], best: tuple[str, ...]
) -> tuple[str, ...]:
    return (
        joint_name(row),
        str(row.estimate.n),
        str(row.estimate.n_clusters),
        *scores,
        change(row),
        row.verdict,
        *best,
        change(bias),
        p_text(bias.estimate.p_adjusted) if bias else "",
    )


_OTHERS = {
    "asymmetry": "Asymmetry: forgetting of the safety task when it comes first minus that of the capability task",
    "disparity": "Disparity: largest minus smallest forgetting among the groups",
    "disparity_expected": "Disparity expected if all groups forgot alike",
    "outlying_seed": "Farthest seed: its forgetting minus the mean of the other seeds'",
    LOWER: "Forgetting with every example that lacks a score at its best",
    UPPER: "Forgetting with every example that lacks a score at its worst",
    BIASED_LOWER: "Biased forgetting with what lacks a score at its best in the group and at its worst elsewhere",
    BIASED_UPPER: "Biased forgetting with what lacks a score at its worst in the group and at its best elsewhere",
    "bwt": "Backward transfer (Lopez-Paz and Ranzato)",
    "fwt": "Forward transfer (Lopez-Paz and Ranzato)",
    "rounding": "Share of answers that change when the base is scored in another grouping: rounding",
    "rounding_nats": "Change of a log-probability by the same, median",
    "rounding_difference": "Mean score of the first run minus that of the second, of texts that the base wrote twice",
    "bbq_bias_ambiguous": "BBQ bias score, ambiguous contexts",
    "bbq_bias_disambiguated": "BBQ bias score, disambiguated contexts",
}


def _by_several(row: ResultRow) -> str:
    """The item metrics of a difference or mean of tasks that have each their own."""
    return f", by {row.item_metric.replace('_', ' ')}" if " and " in row.item_metric else ""


def _others(rows: Sequence[ResultRow]) -> list[Table]:
    known = {"accuracy", "gain", "forgetting", "biased_forgetting", "order_effect", "retained_gain"}
    known |= CURVATURE_METRICS | KL_METRICS | {*VARIANT_METRICS}
    rest = [row for row in rows if row.metric not in known and not row.group]
    names, cells_of = checkpoint_columns(rest)
    lines = [
        (
            _OTHERS.get(row.metric, row.metric.replace("_", " ")) + _by_several(row),
            *cells_of(row),
            " ".join(filter(None, (row.task, f"by {row.dimension}" if row.dimension else ""))),
            change(row, named=True),
            p_text(row.estimate.p_value),
        )
        for row in rest
    ]
    note = f"In {units_in_words(row.unit for row in rest)}."
    if any(map(_by_several, rest)):
        note += " Points of two measures are not alike: where guessing scores more, fewer of them can be lost."
    return [Table("Further results", note, ("what", *names, "task", "value", "p"), tuple(lines))]
