"""Rounding error of scores, measured by scoring the base twice: forgetting below it is noise."""

import json

import numpy as np

from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import subject_of
from chaintune.forgetting.runs import Runs
from chaintune.records import Checkpoint, ResultRow
from chaintune.stats import median, rates


def rounding_rows(runs: Runs, condition: Checkpoint, options: Inference) -> list[ResultRow]:
    """Share of answers, and log-probabilities, that changed when the base was scored in another grouping.

    Rows of `rounding` (a share, where an answer was preferred to another) and `rounding_nats` (median over examples of
    an answer's largest change; of a likelihood, a token).
    """
    if condition.chain:
        return []
    rows = []
    for task in runs.tasks(condition):
        seed = runs.seeds([condition], task)[0]
        scores = runs.scores[condition, seed, task]
        if "rounding" not in scores.provenance:
            continue
        again = json.loads(scores.provenance["rounding"])
        place = {example: row for row, example in enumerate(scores.example_ids)}
        kept = [row for row, example in enumerate(again["example_id"]) if example in place]
        picked = np.array([place[again["example_id"][row]] for row in kept])
        design = runs.groups[task].subset(picked).design
        subject = subject_of(runs, condition, task, [seed])
        if "changed" in again:  # not of one answer a model had no choice in
            changed = rates(design, np.array(again["changed"], dtype=np.float64)[kept], level=options.level)[0]
            rows.append(subject.row("rounding", str(seed), changed))
        rows.append(subject.row("rounding_nats", str(seed), median(again["nats"], level=options.level)))
    return rows
