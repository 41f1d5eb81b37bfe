"""Variants of a study compared: each against the one that comes first, on the same examples and seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from chaintune.forgetting.changes import changes
from chaintune.forgetting.families import Ends, over_tasks, whole_ends
from chaintune.forgetting.options import Inference
from chaintune.forgetting.references import lost_tasks, reference_checkpoints
from chaintune.forgetting.rows import Subject, change_rows, samples, subject_of
from chaintune.forgetting.runs import Runs, last_tasks
from chaintune.records import Checkpoint, ForgettingFrom, ResultRow, RowKey, variant_label
from chaintune.stats.clusters import Floats

_Values = tuple[str, list[int], Floats, bool]


def variant_rows(runs: Runs, options: Inference, reference: ForgettingFrom) -> list[ResultRow]:
    """What each variant forgot and gained beyond the first one of the study, along the same chain.

    `variant_forgetting` and `variant_biased_forgetting` are differences of forgetting, of whole tasks and of groups;
    `variant_gain` is that of the score of the task that the chain's last stage taught, whole. A row's `variant` is
    compared with its `reference_variant`.

    The whole tasks of all variants after one chain are one family (Holm); the groups of a dimension are a family in
    each variant, and its error rate is divided by the number of variants (Bonferroni).

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
        for task, (metric, seeds, values, doubled) in _differences(runs, first, other, reference):
            subject = subject_of(runs, other, task, seeds, first)
            if doubled:  # a difference of two differences may be as large as 2, and values lie between -1 and 1
                values = values / 2
                subject = replace(subject, item_unit=replace(subject.item_unit, width=2 * subject.item_unit.width))
            own = _rows(runs, subject, metric, seeds, values, options)
            ends |= {
                (own[0].key, seed): at
                for seed, at in whole_ends(subject.item_unit, runs.groups[task], values, seeds, options).items()
            }
            rows += own
    name = variant_label(first.variant)
    # No bounds are known of what is missing.
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
            yield task, ("variant_forgetting", seeds, lost[1] - lost[0], doubled)
    for task in last_tasks(first.chain):
        if seeds := runs.seeds([first, other], task):
            values = runs.stacked(other, seeds, task) - runs.stacked(first, seeds, task)
            yield task, ("variant_gain", seeds, values, False)


def _rows(
    runs: Runs, subject: Subject, metric: str, seeds: Sequence[int], values: Floats, options: Inference
) -> list[ResultRow]:
    rows = []
    for seed, sample in samples(runs.groups[subject.task], values, seeds, options):
        own = change_rows(subject, seed, changes(runs.groups[subject.task], sample, options))
        biased = metric.replace("variant_", "variant_biased_")
        names = {"forgetting": metric, "biased_forgetting": biased}
        kept = own if metric == "variant_forgetting" else [row for row in own if row.is_whole]
        rows += [replace(row, metric=names[row.metric], family=row.family and f"variant_{row.family}") for row in kept]
    return rows
