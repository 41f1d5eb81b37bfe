"""How far each stage moved the model on the task that it taught, beside what the stage before it then lost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from chaintune.errors import DataError
from chaintune.forgetting.grouping import grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.predictors import correlation_rows
from chaintune.records import CHOICE_METRICS, Checkpoint, Estimate, ResultRow, Scores, Task, chain_label, variant_label
from chaintune.records.comparison import Divergence
from chaintune.stats.clusters import Design, Floats
from chaintune.stats.ratios import ratios

if TYPE_CHECKING:
    import polars as pl

NATS = "nats"
FORWARD, BACKWARD, CORRELATION = "kl_forward", "kl_backward", "kl_forgetting_correlation"
# Why a divergence is infinite: a token has no probability at all under the second model.
_INFINITE = {
    "forward": "infinite in {of}: the later model rules out tokens that the earlier one does not",
    "backward": "infinite in {of}: the earlier model rules out tokens that the later one does not",
}
PAIRS_SCHEMA: dict[str, Any] = {
    "base": str, "chain": str, "variant": str, "seed": str, "taught": str,
    "task": str, FORWARD: float, f"{FORWARD}_low": float, f"{FORWARD}_high": float,
    BACKWARD: float, f"{BACKWARD}_low": float, f"{BACKWARD}_high": float, "n": int,
    "forgetting": float, "forgetting_low": float, "forgetting_high": float, "reason": str,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StageDivergence:
    """How far a stage moved the model.

    Attributes:
        checkpoint: after the stage, with its seed.
        parent_key: of the checkpoint before it.
        task: that the stage taught, on whose answers both were read.
        forward: mean KL(parent ‖ child) in nats a token.
        backward: mean KL(child ‖ parent).
    """

    checkpoint: Checkpoint
    parent_key: str
    task: str
    forward: Estimate
    backward: Estimate


def mean_divergences(table: pa.Table, task: Task, options: Inference) -> tuple[Estimate, Estimate]:
    """The mean forward and backward divergence of a token, in nats, each with its interval over clusters.

    Args:
        table: a measurement's, with the columns `example_id`, `forward`, `backward` and `tokens`.
        task: whose test examples were read.
        options: how sure.

    Undefined: both, where one model rules out tokens that the other does not; the interval, of fewer clusters than one
    needs. There is no test: a model that was trained at all moved.
    """
    clusters = {example.id: example.cluster for example in task.test}
    names = [clusters[name] for name in table.column("example_id").to_pylist()]
    numbers = np.unique(names, return_inverse=True)[1].astype(np.int64)
    design = Design.of(numbers, sparse.csr_array((len(names), 0)))
    (forward,), (backward,) = (_means(table, name, design, options) for name in ("forward", "backward"))
    return forward, backward


def group_divergences(
    table: pa.Table,
    scores: Scores,
    by: Sequence[str],
    intersections: Sequence[tuple[str, str]],
    options: Inference,
) -> tuple[Divergence, ...]:
    """The mean divergences of a token between two models, of the whole task and of every group.

    Args:
        table: a measurement's, as of `mean_divergences`.
        scores: of one of the models on the same examples, which say groups and clusters.
        by: dimensions; those that the examples lack are left out.
        intersections: pairs of dimensions whose groups are crossed.
        options: how sure.

    Raises:
        DataError: the two are not of the same examples.

    Undefined: as `mean_divergences`. A mean is over tokens, so that the labels of a task are not balanced.
    """
    ids = scores.table.column("example_id").to_pylist()
    places = {name: place for place, name in enumerate(table.column("example_id").to_pylist())}
    if places.keys() != set(ids):
        raise DataError(f"task '{scores.task}': its divergence is of other examples than its scores; measure both anew")
    plain = replace(scores, metric=CHOICE_METRICS["accuracy"])  # means over tokens, not over labels
    known = set(scores.dimensions)
    crossed = [pair for pair in intersections if known.issuperset(pair)]
    groups = grouping(plain, [name for name in by if name in known], crossed, level=options.level)
    ordered = table.take([places[name] for name in ids])
    both = (_means(ordered, name, groups.design, options) for name in ("forward", "backward"))
    return tuple(Divergence(*label, *pair) for label, *pair in zip(groups.labels, *both, strict=True))


def _means(table: pa.Table, name: str, design: Design, options: Inference) -> list[Estimate]:
    """The mean of one direction of a token, of each of a design's groups."""
    values = table.column(name).to_numpy()
    tokens: Floats = table.column("tokens").to_numpy().astype(np.float64)
    infinite = np.isinf(values)
    counts = design.members.T @ infinite.astype(np.float64)
    # What is infinite lies in groups that are not defined, and counts in no other.
    known = ratios(
        design, np.where(infinite, 0.0, values), tokens, rare="too skewed divergences",
        level=options.level, resamples=options.resamples, seed=options.seed,
    )  # fmt: skip
    return [
        Estimate.undefined(_INFINITE[name].format(of=f"{count:.0f} of {one.n} examples"), n=one.n)
        if count
        else replace(one, p_value=math.nan, method=one.method.partition(";")[0])
        for one, count in zip(known, counts, strict=True)
    ]


def divergence_pairs(divergences: Sequence[StageDivergence], rows: Sequence[ResultRow]) -> "pl.DataFrame":
    """One row for each stage and each other task that was forgotten in it, counted from the stage's parent.

    Args:
        divergences: of a study's stages.
        rows: of the study.
    """
    import polars as pl  # comparing two files needs none, and starts sooner

    whole = [row for row in rows if row.metric == "forgetting" and row.is_whole and row.deciding]
    pairs: list[dict[str, Any]] = []
    for one in divergences:
        for row in whole:
            if _in_stage(row, one):
                own: dict[str, Any] = {"base": row.base, "chain": row.chain, "variant": row.variant, "seed": row.seed}
                own |= {"taught": one.task, "task": row.task, "n": one.forward.n, "reason": one.forward.reason}
                named = ((FORWARD, one.forward), (BACKWARD, one.backward), ("forgetting", row.estimate))
                pairs.append(own | {name + end: value for name, of in named for end, value in _ends(of).items()})
    return pl.DataFrame(pairs, schema=PAIRS_SCHEMA)


def _ends(estimate: Estimate) -> dict[str, float]:
    return {"": estimate.value, "_low": estimate.low, "_high": estimate.high}


def _in_stage(row: ResultRow, one: StageDivergence) -> bool:
    """Whether a forgetting is that of another task in the very stage whose divergence is known."""
    at = one.checkpoint
    same = (row.base, row.chain, row.variant, row.seed) == (
        at.base, chain_label(at.labels), variant_label(at.variant), str(at.seed)
    )  # fmt: skip
    return same and row.reference_keys == (one.parent_key,) and row.task != one.task


def divergence_rows(
    divergences: Sequence[StageDivergence],
    pairs: "pl.DataFrame",
    *,
    study: str,
    options: Inference,
) -> list[ResultRow]:
    """Both divergences of each stage, and the rank correlation of the forward one with what was forgotten.

    Pairs of one stage and several tasks share their divergence; see `correlation_rows`.

    Args:
        divergences: of a study's stages.
        pairs: from `divergence_pairs`.
        study: name of the study.
        options: level of the intervals; permutations behind each p-value, and their seed.
    """
    rows = [row for one in divergences for row in _stage_rows(one, study)]
    return rows + correlation_rows(pairs, FORWARD, CORRELATION, study=study, options=options)


def _stage_rows(one: StageDivergence, study: str) -> list[ResultRow]:
    at = one.checkpoint
    return [
        ResultRow(
            study, at.base, chain_label(at.labels), variant_label(at.variant), len(at.chain),
            chain_label(at.labels[:-1]), one.task, metric, "", "", str(at.seed), estimate,
            checkpoint_keys=(at.key,) if at.key else (), reference_keys=(one.parent_key,), steps=at.labels,
            settings=tuple(value for _, value in at.variant), unit=NATS, direction="less",
        )
        for metric, estimate in ((FORWARD, one.forward), (BACKWARD, one.backward))
    ]  # fmt: skip
