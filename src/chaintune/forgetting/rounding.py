"""Rounding error of scores, measured by asking the base twice: forgetting below it is noise."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chaintune.forgetting.grouping import grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import subject_of
from chaintune.forgetting.runs import Runs
from chaintune.forgetting.units import Unit
from chaintune.records import Checkpoint, Estimate, ResultRow, Scores
from chaintune.stats import Sample, means, median, rates
from chaintune.stats.clusters import Floats

ROUNDING = "rounding"
# Of texts that were written twice, in the unit of the item metric.
DIFFERENCE = "rounding_difference"


def rounding_rows(runs: Runs, condition: Checkpoint, options: Inference) -> list[ResultRow]:
    """Share of answers, and log-probabilities or scores, that changed when the base was asked in another grouping.

    Rows of `rounding` (a share, where an answer was preferred to another, or a text was scored), `rounding_nats`
    (median over examples of an answer's largest change; of a likelihood, a token), and `rounding_difference` (of texts
    that were written twice, the mean score of the first run minus that of the second).
    """
    if condition.chain:
        return []
    rows = []
    for task in runs.tasks(condition):
        seed = runs.seeds([condition], task)[0]
        subject = subject_of(runs, condition, task, [seed])
        known = rounding_of_scores(runs.scores[condition, seed, task], options)
        for name, estimate in known.items():
            row = subject.row(ROUNDING if name == DIFFERENCE else name, str(seed), estimate)
            # The difference is in the unit of the scores already.
            unit = subject.item_unit.metric.unit if name == DIFFERENCE else row.unit
            rows.append(replace(row, metric=name, unit=unit))
    return rows


def rounding_of_scores(scores: Scores, options: Inference) -> dict[str, Estimate]:
    """What changed of scores when some examples were asked a second time, by the names of rows; empty where none was.

    Sign: a difference is positive where the second run scored worse.
    """
    again = json.loads(scores.provenance.get(ROUNDING, "{}"))
    if not again:
        return {}
    ids = scores.table.column("example_id")
    chosen = scores.at(pc.is_in(ids, pa.array(again["example_id"], pa.string())))
    place = {example: row for row, example in enumerate(again["example_id"])}
    rows = [place[example] for example in chosen.example_ids]
    if not rows:
        return {}
    known: dict[str, Estimate] = {}
    groups = grouping(chosen, ())
    if "changed" in again:  # not of one answer a model had no choice in
        changed = np.array(again["changed"], dtype=np.float64)[rows]
        # A share of examples, whatever labels means are balanced over.
        known[ROUNDING] = rates(groups.subset(np.arange(len(rows))).design, changed, level=options.level)[0]
    if "nats" in again:
        known["rounding_nats"] = median(again["nats"], level=options.level)
    if "difference" in again:
        differences = np.array(again["difference"], dtype=np.float64)[rows]
        known[DIFFERENCE] = _mean_difference(chosen, differences, options)
    return known


def _mean_difference(scores: Scores, differences: Floats, options: Inference) -> Estimate:
    """The mean of how much less the second run scored, of the examples that have a score in both runs."""
    has_both = ~np.isnan(differences)
    if not has_both.any():
        return Estimate.undefined("no example has a score in both runs")
    scores, differences = scores.at(pa.chunked_array([pa.array(has_both)])), differences[has_both]
    first = scores.item_scores()
    unit = Unit.of(scores.metric, (first, first - differences))
    lost = unit.inward(first) - unit.inward(first - differences)
    design = grouping(scores, (), level=options.level).design
    sample = Sample.of(design, lost[np.newaxis], resamples=options.resamples, seed=options.seed)
    return unit.difference(means(sample, level=options.level)[0])
