"""Variants of a study compared: each against the one that comes first, on the same examples and seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from chaintune.forgetting.bounds import Incomplete
from chaintune.forgetting.changes import changes
from chaintune.forgetting.families import Ends, over_tasks, whole_ends
from chaintune.forgetting.missing import between_bounds, incomplete_between
from chaintune.forgetting.options import Inference
from chaintune.forgetting.references import lost_tasks, reference_checkpoints
from chaintune.forgetting.rows import Subject, change_rows, samples, subject_of
from chaintune.forgetting.runs import Runs, last_tasks
from chaintune.records import Checkpoint, ForgettingFrom, ResultRow, RowKey, variant_label
from chaintune.stats.clusters import Floats

_Values = tuple[str, list[int], Floats, bool, Incomplete | None]


def variant_rows(runs: Runs, options: Inference, reference: ForgettingFrom) -> list[ResultRow]:
    """What each variant forgot and gained beyond the first one of the study, along the same chain.

    `variant_forgetting` and `variant_biased_forgetting` are differences of forgetting, of whole tasks and of groups;
    `variant_gain` is that of the score of the task that the chain's last stage taught, whole. A row's `variant` is
    compared with its `reference_variant`.

    The whole tasks of all variants after one chain are one family (Holm); the groups of a dimension are a family in
    each variant, and its error rate is divided by the number of variants (Bonferroni).

    What lacks a score is counted at its best and at its worst, so that it makes no difference shown.

    Sign: positive forgot, or gained, more than the first variant.
    """
    tuned = [one for one in runs.conditions if one.chain and one not in runs.mitigates]
    variants, known = list(dict.fromkeys(one.variant for one in tuned)), set(tuned)
    rows: list[ResultRow] = []
    for first in (one for one in tuned if one.variant == variants[0]):
        beside = [replace(first, variant=variant) for variant in variants[1:]]
        beside = [other for other in beside if other in known and not _are_one(runs, first, other)]
        rows += _of_chain(runs, first, beside, replace(options, pairs=max(1, len(beside))), reference)
    return rows


def _are_one(runs: Runs, first: Checkpoint, other: Checkpoint) -> bool:
    """Whether two names lead to the same weights, as where what is varied is that of a later stage."""
    keys = [{seed: key for (at, seed), key in runs.keys.items() if at == one and key} for one in (first, other)]
    return bool(keys[0]) and keys[0] == keys[1]


def _of_chain(
    runs: Runs, first: Checkpoint, beside: Sequence[Checkpoint], options: Inference, reference: ForgettingFrom
) -> list[ResultRow]:
    rows: list[ResultRow] = []
    ends: dict[tuple[RowKey, str], Ends] = {}
    for other in beside:
        for task, (metric, seeds, values, doubled, incomplete) in _differences(runs, first, other, reference):
            subject = subject_of(runs, other, task, seeds, first)
            if doubled:  # a difference of two differences may be as large as 2, and values lie between -1 and 1
                values = values / 2
                subject = replace(subject, item_unit=replace(subject.item_unit, width=2 * subject.item_unit.width))
            own = _rows(runs, subject, metric, seeds, values, options, incomplete)
            known = whole_ends(subject.item_unit, runs.groups[task], values, seeds, options)
            if incomplete:
                known = _between(
                    *(
                        whole_ends(subject.item_unit, incomplete.groups, extreme, seeds, options)
                        for extreme in incomplete.extremes()
                    )
                )
            ends |= {(own[0].key, seed): at for seed, at in known.items()}
            rows += own
    name = variant_label(first.variant)
    return [
        replace(row, verdict="", verdict_reason=runs.left_out(row.task), reference_variant=name)
        for row in over_tasks(rows, ends, options)
    ]


def _differences(
    runs: Runs, first: Checkpoint, other: Checkpoint, reference: ForgettingFrom
) -> Iterator[tuple[str, _Values]]:
    """Of each task: what is compared, the seeds, the other variant minus the first, and whether that may reach 2."""
    for task, chains in lost_tasks(runs, first, reference).items():
        pairs = ((first, other), (other, first))
        counted = [reference_checkpoints(runs, one, task, chains, beside=[beside]) for one, beside in pairs]
        starts = [dict(zip(*own, strict=True)) for own in counted]
        if seeds := sorted(starts[0].keys() & starts[1].keys()):
            lost = [
                runs.stacked_each([own[seed] for seed in seeds], seeds, task) - runs.stacked(end, seeds, task)
                for own, end in zip(starts, (first, other), strict=True)
            ]
            doubled = any(own[seed].chain for own in starts for seed in seeds)
            # Counted from one base it falls out of the difference.
            between = _incomplete(runs, (other, first), starts[::-1], seeds, task)
            incomplete = between if doubled else incomplete_between(runs, _sides(first, other, seeds), seeds, task)
            yield task, ("variant_forgetting", seeds, lost[1] - lost[0], doubled, incomplete)
    for task in last_tasks(first.chain):
        if seeds := runs.seeds([first, other], task):
            values = runs.stacked(other, seeds, task) - runs.stacked(first, seeds, task)
            incomplete = incomplete_between(runs, _sides(other, first, seeds), seeds, task)
            yield task, ("variant_gain", seeds, values, False, incomplete)


def _sides(before: Checkpoint, after: Checkpoint, seeds: Sequence[int]) -> tuple[list[Checkpoint], list[Checkpoint]]:
    return [before] * len(seeds), [after] * len(seeds)


def _incomplete(
    runs: Runs,
    ends: tuple[Checkpoint, Checkpoint],
    starts: Sequence[Mapping[int, Checkpoint]],
    seeds: Sequence[int],
    task: str,
) -> Incomplete | None:
    """All examples of what the one lost beyond the other; a start that both share falls out of the difference."""
    one, other = (
        incomplete_between(runs, ([own[seed] for seed in seeds], [end] * len(seeds)), seeds, task)
        for own, end in zip(starts, ends, strict=True)
    )
    if one is None or other is None:
        return None
    keys = [[runs.key(own[seed], seed) for own in starts] for seed in seeds]
    alike = np.array([[bool(pair[0]) and pair[0] == pair[1]] for pair in keys])
    before = [np.where(alike, 0.0, side.before) for side in (one, other)]
    return replace(one, before=before[0], minus=replace(other, before=before[1]))


def _between(least: Mapping[str, Ends], most: Mapping[str, Ends]) -> dict[str, Ends]:
    """From the lower end at the least to the upper end at the most."""

    def at(seed: str) -> Ends:
        return lambda level: (least[seed](level)[0], most[seed](level)[1])

    return {seed: at(seed) for seed in least}


def _rows(
    runs: Runs,
    subject: Subject,
    metric: str,
    seeds: Sequence[int],
    values: Floats,
    options: Inference,
    incomplete: Incomplete | None,
) -> list[ResultRow]:
    groups, own = runs.groups[subject.task], list[ResultRow]()
    for seed, sample in samples(groups, values, seeds, options):
        own += change_rows(subject, seed, changes(groups, sample, options))
    names = {"forgetting": metric, "biased_forgetting": metric.replace("variant_", "variant_biased_")}
    kept = own if metric == "variant_forgetting" else [row for row in own if row.is_whole]
    return [
        replace(row, metric=names[row.metric], family=row.family and f"variant_{row.family}")
        for row in between_bounds(kept, subject, incomplete, seeds, options)
    ]
