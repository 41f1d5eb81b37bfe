"""Two checkpoints on one task: what was forgotten, and who was."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.forgetting.auc import auc_rows
from chaintune.forgetting.bounds import Incomplete
from chaintune.forgetting.chance import Every, judged_rows, level_rows
from chaintune.forgetting.changes import comparable_columns
from chaintune.forgetting.families import Ends, over_tasks, whole_ends
from chaintune.forgetting.grouping import Grouping, grouping
from chaintune.forgetting.missing import with_bounds
from chaintune.forgetting.options import Inference
from chaintune.forgetting.pairing import OnMissing, every_example, pair
from chaintune.forgetting.people import people_labels
from chaintune.forgetting.power import OnDraw, power_by_simulation
from chaintune.forgetting.rounding import DIFFERENCE, rounding_of_scores
from chaintune.forgetting.rows import Subject, forgetting_rows
from chaintune.forgetting.second_lines import known_dimensions, second_rows, with_usual
from chaintune.forgetting.units import Unit
from chaintune.records import Checkpoint, Comparison, Estimate, ResultRow, Scores, SimulatedPower
from chaintune.records.amounts import USUAL_MARGIN, is_share, margin_in
from chaintune.records.comparison import BEFORE, LOWER, UPPER
from chaintune.records.margins import NO_VERDICT, SCALED_MARGIN
from chaintune.stats import Adjustment, Reference, mcnemar_p
from chaintune.stats.clusters import Floats


def compare(
    before: Scores,
    after: Scores,
    *,
    by: Sequence[str] = (),
    reference: Reference = "overall",
    metric: str | None = None,
    further: Sequence[str] = (),
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    adjust: Adjustment = "minp",
    on_missing: OnMissing = "error",
    margin: float | str = USUAL_MARGIN,
    intersections: Sequence[tuple[str, str]] = (),
) -> Comparison:
    """Forgetting between two checkpoints, overall and for each group of the requested dimensions.

    Args:
        before: scores of the earlier checkpoint.
        after: scores of the later checkpoint on the same task.
        by: dimensions whose groups are compared; none, and only the whole task is.
        reference: biased forgetting is relative to the `overall` forgetting or to that of the `rest`.
        metric: what scores an example, one of the scores' `metrics`; None is their own.
        further: others of the `metrics`, which stand beside it without a verdict, as scaled margins and the
            difference of preferences do wherever they are known.
        level: of the intervals.
        resamples: random halves of the clusters that are drawn.
        seed: of the draws; same seed, same bits.
        adjust: correction for several groups of a dimension, `minp`, `holm` or `bh`.
        on_missing: what becomes of examples that only one checkpoint answered: `error`; `intersect`, and verdicts count
            each at its best and at its worst, as those without a score in any case; or `drop`, which takes examples and
            scores to be missing at random.
        margin: a loss up to it counts as none, as a share of the score or as text with a unit, `0.05 nats`; the margin
            that the scores' task names goes first.
        intersections: pairs of dimensions whose groups are crossed.

    Raises:
        ConfigError: an option or dimension that does not exist.
        DataError: the scores are not of the same examples.

    Sign: positive forgetting is worse; positive biased forgetting: this group loses more.
    """
    inference = Inference(level, resamples, seed, adjust, reference, margin)
    return compare_scores(
        before, after, by=by, intersections=intersections, metric=metric, on_missing=on_missing, inference=inference,
        further=[(before.by(name), after.by(name)) for name in further],
    ).comparison  # fmt: skip


@dataclass(frozen=True, eq=False)
class Compared:
    """The comparison of one task, and the ends of the whole task's interval at any level."""

    comparison: Comparison
    ends: Ends


def in_one_family(compared: Sequence[Compared], options: Inference) -> list[Comparison]:
    """The comparisons, one a task and pair of checkpoints, the verdicts on whole tasks corrected as one family."""
    named = [_whole(one.comparison) for one in compared]
    ends = {(several[0].key, several[0].seed): one.ends for several, one in zip(named, compared, strict=True)}
    corrected = iter(over_tasks([row for several in named for row in several], ends, options))
    comparisons = []
    for several, one in zip(named, compared, strict=True):
        new, *_ = (next(corrected) for _ in several)
        rows = tuple(
            replace(row, estimate=new.estimate, verdict=new.verdict, family=new.family)
            if row.metric == "forgetting" and row.is_whole
            else row
            for row in one.comparison.rows
        )
        comparisons.append(replace(one.comparison, rows=rows))
    return comparisons


def _whole(comparison: Comparison) -> list[ResultRow]:
    """The forgetting of the whole task, by the names of the checkpoints, and behind it its bounds."""
    rows = [row for row in comparison.named_rows if row.is_whole and row.metric in ("forgetting", LOWER, UPPER)]
    return sorted(rows, key=lambda row: row.metric != "forgetting")


def compare_scores(
    before: Scores,
    after: Scores,
    *,
    by: Sequence[str],
    intersections: Sequence[tuple[str, str]],
    metric: str | None,
    on_missing: OnMissing,
    inference: Inference,
    further: Sequence[tuple[Scores, Scores]] = (),
    identical: bool = False,
    power: bool = False,
    on_draw: OnDraw | None = None,
    names: tuple[str, str] = ("", ""),
) -> Compared:
    """The same as `compare`, of options that were checked before.

    `further` are both scores by each further metric; the scores are `identical` where both are of one source. With
    `power` comparisons are simulated, and `on_draw` is called after each. `names` are those of the two checkpoints
    where there are more.
    """
    paired = pair(before, after, on_missing=on_missing)
    identical = identical or before is after
    if paired.n_left_out and not len(paired.before):
        raise DataError(
            f"task '{before.task}': none of {number_of(paired.n_left_out, 'example')} has a score before and after"
        )
    known = _metric_of(before, metric)
    sides = (paired.before.by(known), paired.after.by(known))
    groups = grouping(sides[0], by, intersections, level=inference.level)
    scores = (sides[0].item_scores(), sides[1].item_scores())
    named = next((side.metric for side in sides if not math.isnan(side.metric.margin)), sides[0].metric)
    unit = Unit.of(named, scores)
    values = (unit.inward(scores[0]), unit.inward(scores[1]))
    subject = Subject("", Checkpoint(""), BEFORE, before.task, unit)
    beside = with_usual(further, (before.by(known), after.by(known)))
    judged = inference.without_verdict
    whole = _whole_sides(before.by(known), after.by(known), by, intersections) if paired.n_left_out else (None, None)
    incomplete = None
    if paired.n_left_out and on_missing != "drop" and not identical:
        every, *ends = every_example(before.by(known), after.by(known))
        incomplete = Incomplete(
            grouping(every, by, intersections, level=inference.level),
            *(unit.inward(values)[np.newaxis] for values in ends),
        )
    second = [
        row
        for one in beside
        for row in second_rows(one, by, intersections, judged, identical=identical, incomplete=incomplete is not None)
    ]
    comparison = Comparison(
        before.task, known, inference.reference, inference.level,
        margin_in(named.unit, inference.margin, named.margin), inference.adjust,
        inference.resamples, inference.seed, paired.n_left_out,
        tuple(
            _rows(subject, groups, sides, values, whole, incomplete, inference, identical=identical or paired.identical)
        ),
        dict(before.provenance), dict(after.provenance), (*_auc_rows(subject, groups, sides, inference), *second),
        graded=any(bool(np.any((values != 0) & (values != 1))) for values in scores),
        on_missing=on_missing, start=names[0], end=names[1],
        rounding=_rounding(before, after, known, inference), people=people_labels(*sides, level=inference.level),
    )  # fmt: skip
    if power:
        first = replace(inference, level=1 - (1 - inference.level) / inference.pairs, pairs=1)
        comparison = replace(comparison, simulated_power=_simulated(comparison, groups, values, first, on_draw))
    return Compared(comparison, whole_ends(unit, groups, (values[0] - values[1])[np.newaxis], [0], inference)["0"])


def _rows(
    subject: Subject,
    groups: Grouping,
    sides: tuple[Scores, Scores],
    values: tuple[Floats, Floats],
    whole: tuple[Every | None, Every | None],
    incomplete: Incomplete | None,
    options: Inference,
    *,
    identical: bool,
) -> Iterator[ResultRow]:
    """Rows of two checkpoints of which no chain and no seed is known."""
    level = replace(subject, reference="")
    before, after = (
        [
            replace(row, chain=chain, seed="")
            for row in level_rows(level, groups, [side], own[np.newaxis], [0], options, every=every)
        ]
        for chain, side, own, every in zip((BEFORE, ""), sides, values, whole, strict=True)
    )
    change = (values[0] - values[1])[np.newaxis]
    lost = forgetting_rows(subject, groups, change, [0], options, identical=identical)
    lost = with_bounds(lost, subject, incomplete, [0], options)
    others = (*lost, *_flips(subject, groups, change[0]), *_sizes(subject, groups, options))
    rows = [replace(row, chain="", seed="") for row in others]
    answers = {(row.seed, row.dimension, row.group): row.answers for row in after}
    chat = "on" if sides[0].provenance.get("chat") == "on" else "off"
    yield from (replace(row, chat=chat) for row in (*before, *after, *judged_rows(rows, before, answers, options)))


def _whole_sides(
    before: Scores, after: Scores, by: Sequence[str], intersections: Sequence[tuple[str, str]]
) -> tuple[Every, Every]:
    """All examples of each side, those without a score among them."""
    one, other = (([side], grouping(side, *known_dimensions(side, by, intersections))) for side in (before, after))
    return one, other


def _rounding(before: Scores, after: Scores, metric: str, options: Inference) -> dict[str, Estimate]:
    """What changed of scores of texts that were written twice, of the earlier checkpoint where it was asked so."""
    own = (one for one in (before, after) if one.metric.name == metric)
    known = (rounding_of_scores(one, options) for one in own)
    return next((one for one in known if DIFFERENCE in one), {})


def _simulated(
    comparison: Comparison, groups: Grouping, values: tuple[Floats, Floats], options: Inference, on_draw: OnDraw | None
) -> SimulatedPower:
    """Power by simulation, or why there is none."""
    reason = ""
    if not is_share(comparison.unit) or comparison.graded:
        reason = "scores other than 0 and 1 do not flip, so their changes are not simulated"
    elif not np.any(values[0] != values[1]):
        reason = "no answer changed, so there are no flips to simulate"
    if reason:
        return SimulatedPower(math.nan, math.nan, math.nan, reason=reason, level=options.level)
    testable = {
        (row.dimension, row.group)
        for row in comparison.rows
        if row.metric == "biased_forgetting" and not math.isnan(row.estimate.p_value)
    }
    right = float(values[0].mean())
    return power_by_simulation(groups, values[0] - values[1], options, right=right, testable=testable, on_draw=on_draw)


def _auc_rows(
    subject: Subject, groups: Grouping, sides: tuple[Scores, Scores], options: Inference
) -> Iterator[ResultRow]:
    """Rows of the AUC of both sides and of what it lost."""
    for chain, side in zip((BEFORE, ""), sides, strict=True):
        of_side = auc_rows(replace(subject, reference=""), "accuracy", groups, [side], [0], options)
        yield from (replace(row, chain=chain, seed="") for row in of_side)
    moved = auc_rows(subject, "forgetting", groups, sides[:1], [0], options, minus=sides[1:])
    yield from (replace(row, chain="", seed="") for row in moved)


def _flips(subject: Subject, groups: Grouping, change: Floats) -> Iterator[ResultRow]:
    """How many examples forgot and how many learned, with McNemar's test that both are as likely."""
    forgot, learned = (groups.design.members.T @ (d > 0).astype(np.float64) for d in (change, -change))
    reason = "no interval: it was counted"
    for k, label in enumerate(groups.labels):
        p_value = mcnemar_p(round(forgot[k]), round(learned[k]))
        for metric, count in (("forgot", forgot[k]), ("learned", learned[k])):
            yield subject.row(metric, "0", Estimate(round(count), p_value=p_value, reason=reason), label)


def _sizes(subject: Subject, groups: Grouping, options: Inference) -> Iterator[ResultRow]:
    for dimension in groups.dimensions:
        count = len(comparable_columns(groups, dimension, options))
        yield subject.row("disparity_groups", "0", Estimate(count, reason="it was counted"), (dimension, ""))


def _metric_of(scores: Scores, metric: str | None) -> str:
    if SCALED_MARGIN in (metric, "" if metric else scores.metric.name):
        raise ConfigError(f"metric '{SCALED_MARGIN}' {NO_VERDICT}")
    if metric is not None and metric not in scores.metrics:
        raise ConfigError(f"metric '{metric}': {nearest(metric, scores.metrics)}")
    return metric or scores.metric.name
