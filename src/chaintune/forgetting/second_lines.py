"""Item metrics beside the one that decides about two checkpoints: their rows, which have no verdict."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from chaintune.forgetting.chance import level_rows
from chaintune.forgetting.changes import changes
from chaintune.forgetting.grouping import grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.pairing import pair
from chaintune.forgetting.rows import Subject, change_rows, samples
from chaintune.forgetting.units import Unit
from chaintune.records import Checkpoint, Estimate, ResultRow, Scores
from chaintune.records.comparison import BEFORE
from chaintune.records.examples import LABEL
from chaintune.records.margins import SCALED_MARGIN
from chaintune.records.preference import DIFFERENCE

Sides = tuple[Scores, Scores]
# What stands beside the metric that decides without being named.
USUAL = (SCALED_MARGIN, DIFFERENCE)


def with_usual(further: Sequence[Sides], deciding: Sides) -> list[Sides]:
    """Both sides by each further metric, and by scaled margins and differences of preferences where these are known.

    Args:
        further: of whole sides, as a margin is scaled by all of a checkpoint's.
        deciding: the same by the metric that decides.
    """
    there = {before.metric.name for before, _ in (*further, deciding)}
    usual = [name for name in USUAL if name not in there and all(name in one.metrics for one in deciding)]
    return [*further, *((deciding[0].by(name), deciding[1].by(name)) for name in usual)]


def second_rows(
    sides: Sides,
    by: Sequence[str],
    intersections: Sequence[tuple[str, str]],
    options: Inference,
    *,
    identical: bool = False,
    incomplete: bool = False,
) -> Iterator[ResultRow]:
    """Both scores, forgetting and biased forgetting of the whole task and of every group, without a verdict.

    Args:
        sides: scores before and after by a further metric; examples without one are left out.
        by: dimensions.
        intersections: pairs of dimensions whose groups are crossed.
        options: how sure, and relative to what.
        identical: both sides are of one source, so nothing is left to chance.
        incomplete: examples lack the score that decides, and are not taken to be missing at random.

    Undefined: of the whole task, with the reason, where no example has a score on both sides; the interval and test of
        biased forgetting, where examples lack the score that decides.
    """
    paired = pair(*sides, on_missing="drop")
    tables = (paired.before, paired.after)
    scores = (tables[0].item_scores(), tables[1].item_scores())
    subject = Subject("", Checkpoint(""), BEFORE, sides[0].task, Unit.of(sides[0].metric, scores))
    level = replace(subject, reference="")
    if not len(tables[0]):
        nothing = Estimate.undefined(_why_none(sides))
        rows = [(BEFORE, level.row("accuracy", "", nothing)), ("", level.row("accuracy", "", nothing))]
        rows += [("", subject.row("forgetting", "", nothing))]
    else:
        groups = grouping(tables[0], *known_dimensions(tables[0], by, intersections), level=options.level)
        values = [subject.item_unit.inward(one)[np.newaxis] for one in scores]
        rows = [
            (chain, row)
            for chain, table, own in zip((BEFORE, ""), tables, values, strict=True)
            for row in level_rows(level, groups, [table], own, [0], options)
        ]
        change = values[0] - values[1]
        for seed, sample in samples(groups, change, [0], options):
            estimates = changes(groups, sample, options, identical=identical or paired.identical)
            rows += [("", _open(row) if incomplete else row) for row in change_rows(subject, seed, estimates)]
    for chain, row in rows:
        yield replace(row, chain=chain, seed="", verdict="", deciding=False)


def _open(row: ResultRow) -> ResultRow:
    """The row; a biased forgetting without interval and test, as no bounds are known of what is missing."""
    if row.metric != "biased_forgetting":
        return row
    one = row.estimate
    facts = {"n": one.n, "n_clusters": one.n_clusters, "n_seeds": one.n_seeds}
    reason = "scores are missing, and second lines have no bounds"
    return replace(row, estimate=replace(Estimate.undefined(reason, **facts), value=one.value), family="")


def known_dimensions(
    scores: Scores, by: Sequence[str], intersections: Sequence[tuple[str, str]]
) -> tuple[list[str], list[tuple[str, str]]]:
    """The dimensions and pairs of them on which examples have groups."""
    known = {*scores.dimensions, *([LABEL] if scores.metric.average == "balanced" else [])}
    return [name for name in by if name in known], [pair for pair in intersections if known.issuperset(pair)]


def _why_none(sides: Sides) -> str:
    reasons = (one.table.column("missing_reason").drop_null() for one in sides)
    return next((several[0].as_py() for several in reasons if len(several)), "no example has a score on both sides")
