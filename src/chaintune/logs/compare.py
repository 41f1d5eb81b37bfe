"""Two logs, of whatever harness, compared task by task."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc

from chaintune.arguments import taking
from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.names import told_apart
from chaintune.forgetting.agreement import agreement
from chaintune.forgetting.compare import Compared, compare_scores, in_one_family
from chaintune.forgetting.grouping import grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.pairing import OnMissing
from chaintune.forgetting.power import OnDraw
from chaintune.logs.cautions import cautions
from chaintune.logs.log import Log
from chaintune.logs.options import CompareOptions, Crossing, Metrics, compare_options
from chaintune.logs.sides import Logged, Sides, read_series, read_sides, shared
from chaintune.records import Comparison, Estimate, Series
from chaintune.records.amounts import USUAL_MARGIN
from chaintune.stats import Adjustment, Reference

_LOG = logging.getLogger(__name__)
_NAMED = 3


def compare(
    before: Logged,
    after: Logged,
    *,
    by: str | Sequence[str] = (),
    also_by: str | Sequence[str] = (),
    intersections: Sequence[Crossing] = (),
    reference: Reference = "overall",
    level: float = 0.95,
    margin: float | str = USUAL_MARGIN,
    adjust: Adjustment = "minp",
    resamples: int = 10_000,
    seed: int = 0,
    on_missing: OnMissing = "error",
    force: bool = False,
    chosen_of: int = 1,
    power: bool = False,
    task: str | Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    cluster: str | None = None,
    metric: Metrics = None,
    filter: str | None = None,  # noqa: A002 - as readers call it
    scale: tuple[float, float] = (0.0, 1.0),
    reader: str | None = None,
) -> Comparison:
    """Forgetting between two checkpoints on one task, overall and for each group of the dimensions in `by`.

    Args:
        before: what the earlier checkpoint scored: scores of a task or a list of several tasks', a frame with the
            columns `id` and `score`, or the path of a score file, of a table, or of another harness's log.
        after: the same of the later checkpoint.
        by: dimensions whose groups are compared; `a x b` crosses two.
        also_by: the same of dimensions that no task need have.
        intersections: pairs of dimensions, each the same as `a x b` in `by`.
        reference: what biased forgetting is relative to, the `overall` forgetting or that of the `rest`.
        level: of the intervals; `1 - level` is the error rate of a verdict.
        margin: a loss up to it counts as none: a share of the score, or text with a unit, `0.05 nats`.
        adjust: correction for several groups of a dimension: `minp`, `holm` or `bh`.
        resamples: random halves of the clusters that are drawn.
        seed: of the draws.
        on_missing: `error`; `intersect`, and verdicts count what lacks a score at its best and at its worst; `drop`,
            and it is taken to be missing at random.
        force: compare what is not comparable, and have the result say so.
        chosen_of: how many checkpoints the later one was chosen of by these very scores.
        power: simulate comparisons like this one, up to a few minutes, to tell how often they show a loss.
        task: the only one to read, or several.
        columns: what a field is called in the log, where it has another name: `{"id": "qid"}`.
        cluster: the field that says which examples are not independent.
        metric: which score, where a log has several: one, or a list whose first decides, or task -> either.
        filter: whose answers, where a log holds those of several.
        scale: the worst and the best score there can be.
        reader: name of the log reader; None tells by the file.

    Raises:
        ConfigError: an option, field or dimension that does not exist.
        DataError: a log cannot be read, the two are not comparable, or they hold several tasks and `task` names none.

    Sign: positive forgetting is worse; positive biased forgetting: this group loses more.
    """
    options = compare_options(
        by=by, also_by=also_by, intersections=intersections, reference=reference, level=level, margin=margin,
        adjust=adjust, resamples=resamples, seed=seed, on_missing=on_missing, force=force, chosen_of=chosen_of,
        power=power, task=task, columns=columns, cluster=cluster, metric=metric, filter=filter, scale=scale,
        reader=reader,
    )  # fmt: skip
    comparisons = compare_sides(read_sides(before, after, options), options)
    if len(comparisons) > 1:
        names = ", ".join(comparison.task for comparison in comparisons)
        raise DataError(f"there are {len(comparisons)} tasks, name one as task=: {names}")
    return comparisons[0]


@taking(checkpoints=(Mapping, Sequence))
def compare_series(  # noqa: D417 - the others are those of `compare`
    checkpoints: Mapping[str, Logged] | Sequence[Logged],
    *,
    against_first: bool = False,
    by: str | Sequence[str] = (),
    also_by: str | Sequence[str] = (),
    intersections: Sequence[Crossing] = (),
    reference: Reference = "overall",
    level: float = 0.95,
    margin: float | str = USUAL_MARGIN,
    adjust: Adjustment = "minp",
    resamples: int = 10_000,
    seed: int = 0,
    on_missing: OnMissing = "error",
    force: bool = False,
    chosen_of: int = 1,
    power: bool = False,
    task: str | Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    cluster: str | None = None,
    metric: Metrics = None,
    filter: str | None = None,  # noqa: A002 - as readers call it
    scale: tuple[float, float] = (0.0, 1.0),
    reader: str | None = None,
) -> Series:
    """Forgetting along several checkpoints: from each to the next, and from the first to each later one.

    The options are those of `compare`; of several tasks all are compared. `chosen_of` is about the last checkpoint, of
    rivals about each, and `power` is simulated for each pair.

    Args:
        checkpoints: name -> what it scored, in order, each as `compare` takes it; or these alone, whose names are then
            what tells their paths apart.
        against_first: they are rivals: each is compared with the first one only.

    Raises:
        ConfigError: an option, field or dimension that does not exist, or fewer than three checkpoints.
        DataError: a log cannot be read, or two are not comparable.

    Sign: positive forgetting is worse; positive biased forgetting: this group loses more.
    """
    named = (
        checkpoints if isinstance(checkpoints, Mapping) else dict(zip(_names(checkpoints), checkpoints, strict=True))
    )
    if len(named) < 3:
        raise ConfigError(f"checkpoints: expected three or more, got {len(named)}; `compare` takes two")
    options = compare_options(
        by=by, also_by=also_by, intersections=intersections, reference=reference, level=level, margin=margin,
        adjust=adjust, resamples=resamples, seed=seed, on_missing=on_missing, force=force, chosen_of=chosen_of,
        power=power, task=task, columns=columns, cluster=cluster, metric=metric, filter=filter, scale=scale,
        reader=reader,
    )  # fmt: skip
    return Series(tuple(compare_pairs(read_series(named, options, against_first=against_first), options)))


def _names(checkpoints: Sequence[Logged]) -> list[str]:
    """What tells paths apart; of what is no path, its place."""
    if all(isinstance(one, Path | str) for one in checkpoints):
        return told_apart([str(one) for one in checkpoints])
    return [f"checkpoint {place}" for place in range(1, len(checkpoints) + 1)]


def compare_sides(sides: Sides, options: CompareOptions, *, on_draw: OnDraw | None = None) -> list[Comparison]:
    """One comparison for each task that both sides have.

    Args:
        sides: that were read.
        options: how to compare.
        on_draw: of power by simulation: is called after each simulated comparison, with how many are done and how many
            there are for the task.

    Raises:
        ConfigError: a dimension that no task has.
        DataError: the two are not comparable.
    """
    return compare_pairs([sides], options, on_draw=on_draw)


def compare_pairs(
    pairs: Sequence[Sides], options: CompareOptions, *, on_draw: OnDraw | None = None
) -> list[Comparison]:
    """One comparison for each pair of checkpoints and each task that both have, corrected over pairs and tasks.

    Raises:
        ConfigError: a dimension that no task has.
        DataError: two are not comparable.
    """
    for task in pairs[0].tasks:
        _tell_without_group(pairs[0].before[task], options)
    every = [(sides, task) for sides in pairs for task in sides.tasks]
    check_dimensions([side[task] for sides, task in every for side in (sides.before, sides.after)], options)
    inference = options.judged(len(pairs))
    compared = [_compared(sides, task, options, inference, on_draw) for sides, task in every]
    return [
        replace(comparison, tasks_left_out=sides.left_out)
        for comparison, (sides, _) in zip(in_one_family(compared, inference), every, strict=True)
    ]


def check_dimensions(logs: Sequence[Log], options: CompareOptions) -> None:
    """Refuse a dimension that no task has; one that some lack is left out there.

    Raises:
        ConfigError: a dimension that no log has, though `by` names it.
    """
    for name in options.dimensions:
        if name in options.required and not any(name in log.dimensions for log in logs):
            others = [field for log in logs for field in log.fields if field != name]
            empty = ", that field is empty throughout" if any(name in log.fields for log in logs) else ""
            raise ConfigError(f"{logs[0].where}: no example has a group on '{name}'{empty}: {nearest(name, others)}")


def _tell_without_group(log: Log, options: CompareOptions) -> None:
    """Examples of no group count in the whole alone, as do those whose group was lost on the way here."""
    for name in sorted(options.required.intersection(log.dimensions)):
        without = log.scores.groups(name).count(())
        if without:
            _LOG.warning("%s: %d of %d examples have no group on '%s'", log.where, without, len(log.scores), name)


def _compared(
    sides: Sides, task: str, options: CompareOptions, inference: Inference, on_draw: OnDraw | None
) -> Compared:
    before, after = sides.before[task], sides.after[task]
    one, other = before.scores, after.scores
    against = objections(before, after)
    if against and not options.force:
        raise DataError(
            f"task '{one.task}' of {before.where} and {after.where} cannot be compared: "
            f"{'; '.join(against)}; to compare them all the same, and have the result say so, use force (--force)"
        )
    common = shared(before, after)
    _check_both(common, shared(after, before), options)
    if one.details != other.details:
        raise DataError(f"{before.where} and {after.where} are logs of different kinds; compare two of one kind")
    metric = options.read.metric_of(one.task)
    if one.metric != other.metric and metric is None:
        raise DataError(
            f"task '{one.task}': the metric before is '{one.metric.name}', after '{other.metric.name}'; name one"
        )
    by, intersections = _grouped_by(common, options)
    compared = compare_scores(
        one,
        other,
        by=by,
        intersections=intersections,
        metric=None if options.read.side else metric,
        on_missing=options.on_missing,
        inference=inference,
        further=[(before.further[name], after.further[name]) for name in before.further],
        identical=sides.identical,
        power=options.power,
        on_draw=on_draw,
        names=sides.names,
    )
    comparison = compared.comparison
    gone = _vanished(comparison, (before, after), options) if comparison.n_left_out else ()
    comparison = replace(
        comparison,
        forced=tuple(against),
        groups_left_out=tuple(gone),
        chosen_of=options.chosen_of,
        cautions=cautions(before, after),
        chat_agreement=_agreement(sides, task, options),
    )
    return replace(compared, comparison=comparison)


def _agreement(sides: Sides, task: str, options: CompareOptions) -> dict[str, Estimate]:
    """How far each checkpoint answers the task alike both ways; empty where it was asked one way."""
    shares = {}
    for name, side in (("before", sides.before), ("after", sides.after)):
        for log in side.values():
            if log.scores.provenance.get("other_way_of") == task:
                shares[name] = agreement(side[task].scores, log.scores, options.judged())
    return shares


def _check_both(before: Log, after: Log, options: CompareOptions) -> None:
    """Refuse a dimension that one side alone has."""
    for name in options.dimensions:
        having = [log for log in (before, after) if name in log.dimensions]
        if len(having) == 1:
            one, none = (before, after) if having[0] is before else (after, before)
            raise DataError(
                f"task '{before.scores.task}': only {one.where} has groups on '{name}', {none.where} has none; "
                "give both the same groups, or compare by another dimension"
            )


def _grouped_by(log: Log, options: CompareOptions) -> tuple[list[str], list[Crossing]]:
    """The dimensions and crossings of the options that a log has."""
    having = set(log.dimensions)
    crossings = [pair for pair in options.crossings if having.issuperset(pair)]
    return [name for name in options.plain if name in having], crossings


def _vanished(comparison: Comparison, logs: Sequence[Log], options: CompareOptions) -> list[tuple[str, str]]:
    """Groups of which no example is on both sides."""
    labels = (label for log in logs for label in grouping(log.scores, *_grouped_by(log, options)).labels if label[0])
    return sorted(set(labels) - {(row.dimension, row.group) for row in comparison.groups})


def objections(before: Log, after: Log) -> list[str]:
    """The reasons why two logs should not be compared; empty when there are none.

    Facts of one side only are ignored. Models and tokenizers may differ; the questions may not.
    """
    reasons = [f"{side}, {doubt}" for side, log in (("before", before), ("after", after)) for doubt in log.doubts]
    for name, known in before.facts.items():
        other = after.facts.get(name, known)
        if other != known:
            reasons.append(f"{name} is {known} before and {other} after")
    for name in before.digests:
        if name in after.digests:
            reasons += _differing(before, after, name)
    asked_alike = before.facts.get("chat") == after.facts.get("chat")  # else the content differs by that
    differs = before.content and after.content and before.content != after.content
    if asked_alike and differs and before.scores.example_ids == after.scores.example_ids:
        reasons.append("the examples have the same ids but not the same content")
    return reasons


def _differing(before: Log, after: Log, name: str) -> Iterator[str]:
    """A sentence if the digests of that name differ for some examples."""
    ids, other_ids = (log.scores.table.column("example_id").combine_chunks() for log in (before, after))
    one, other = before.digests[name], after.digests[name]
    if not ids.equals(other_ids):
        other = other.take(pc.index_in(ids, value_set=other_ids))
    compared = pc.not_equal(one, other)
    shared = len(compared) - compared.null_count
    differing = ids.filter(pc.fill_null(compared, False))
    if len(differing):
        some = ", ".join(f"'{key}'" for key in differing[:_NAMED].to_pylist())
        some += ", ..." if len(differing) > _NAMED else ""
        yield f"the {name} differs in {len(differing)} of {shared} examples ({some})"
