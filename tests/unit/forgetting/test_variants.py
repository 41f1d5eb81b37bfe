"""Variants against the first: signs, pairs of the same examples, corrections, and where nothing is to be said."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from chaintune.forgetting import compare, summarise
from chaintune.forgetting.options import Inference
from chaintune.forgetting.runs import Runs
from chaintune.forgetting.variants import variant_rows
from chaintune.records import CheckpointScores, ForgettingFrom, ResultRow, Settings
from chaintune.records.results import VARIANT_METRICS
from chaintune.report.results import Results
from chaintune.report.variants import against_first_sentences
from tests import synthetic
from tests.variant_studies import FULL, LORA, NAMED, checkpoints, rows

FORGETTING, BIASED, GAIN = VARIANT_METRICS
OPTIONS = Inference(resamples=200)


def only(given: Sequence[ResultRow], metric: str, **facts: Any) -> ResultRow:
    facts = {"dimension": "", "seed": "0"} | facts
    alike = [row for row in given if all(getattr(row, name) == value for name, value in facts.items())]
    (row,) = [row for row in alike if row.metric == metric]
    return row


def compared(
    *variants: Settings, seeds: Sequence[int] = (0,), reference: ForgettingFrom = "trained"
) -> list[ResultRow]:
    return variant_rows(Runs.of(checkpoints(variants, seeds=seeds)), OPTIONS, reference)


@pytest.mark.parametrize(("chain", "task", "taught"), [("s>c", "s", "c"), ("c>s", "c", "s")])
def test_each_difference_is_that_of_what_is_said_of_the_variants_alone(chain: str, task: str, taught: str) -> None:
    given, at = rows(FULL, LORA, NAMED), {"chain": chain, "task": task}
    for metric, name, facts in (
        (FORGETTING, "forgetting", at),
        (BIASED, "biased_forgetting", at | {"dimension": "kind", "group": "group b"}),
        (GAIN, "gain", at | {"task": taught}),
    ):
        values = [only(given, name, variant=one, **facts).estimate.value for one in ("full lr=1e-4", "lora lr=1e-3")]
        row = only(given, metric, variant="lora lr=1e-3", **facts)
        assert row.estimate.value == pytest.approx(values[1] - values[0])
        assert (row.reference_variant, row.reference, row.verdict) == ("full lr=1e-4", chain, "")


def test_the_other_one_first_turns_the_sign() -> None:
    row, turned = (only(compared(*pair), FORGETTING, chain="s>c") for pair in ((FULL, LORA), (LORA, FULL)))
    assert row.estimate.value == pytest.approx(-turned.estimate.value)
    assert row.estimate.value < 0
    assert row.estimate.p_value == turned.estimate.p_value


def test_counted_from_the_base_it_is_the_comparison_of_the_two_ends() -> None:
    ends = {
        one.checkpoint.variant: one.scores["s"]
        for one in checkpoints([FULL, LORA])
        if one.checkpoint.labels == ("s", "c")
    }
    row = only(compared(FULL, LORA, reference="base"), FORGETTING, chain="s>c", task="s")
    alone = compare(ends[LORA], ends[FULL], resamples=200).overall.forgetting
    assert (row.estimate.value, row.estimate.p_value) == (-alone.value, alone.p_value)
    assert (row.estimate.low, row.estimate.high) == pytest.approx((-alone.high, -alone.low))


def test_on_the_same_examples_it_says_more_than_both_intervals() -> None:
    given = rows(FULL, LORA, NAMED)
    row = only(given, FORGETTING, chain="s>c", variant="lora lr=1e-3")
    apart = [only(given, "forgetting", chain="s>c", variant=name).estimate for name in ("full lr=1e-4", "lora lr=1e-3")]
    assert row.estimate.high - row.estimate.low < sum((one.high - one.low) ** 2 for one in apart) ** 0.5


def test_a_variant_that_is_as_the_first_differs_in_nothing() -> None:
    twin: Settings = (("method", "full"), ("learning_rate", "0.0002"))
    given = checkpoints([FULL])
    twins = [replace(one, checkpoint=replace(one.checkpoint, variant=twin)) for one in given if one.checkpoint.chain]
    assert not variant_rows(Runs.of([*given, *twins]), OPTIONS, "trained"), "one checkpoint under two names"
    twins = [replace(one, checkpoint=replace(one.checkpoint, key=f"twin {place}")) for place, one in enumerate(twins)]
    differences = variant_rows(Runs.of([*given, *twins]), OPTIONS, "trained")
    assert len(differences) > 10
    assert all(row.estimate.value == 0 and not row.estimate.is_shown(0.95) for row in differences)


def test_one_variant_is_compared_with_nothing() -> None:
    assert not compared(LORA)
    assert not variant_rows(Runs.of([]), OPTIONS, "trained")


def test_a_variant_of_which_a_chain_is_missing_is_left_out_there() -> None:
    given = [
        one
        for one in checkpoints([FULL, LORA])
        if (one.checkpoint.variant, one.checkpoint.labels) != (LORA, ("s", "c"))
    ]
    assert {row.chain for row in variant_rows(Runs.of(given), OPTIONS, "trained")} == {"s", "c", "c>s"}


def test_families_hold_tasks_and_variants_of_a_chain_and_the_groups_of_each_variant() -> None:
    given = [row for row in rows(FULL, LORA, NAMED) if row.chain == "s>c"]
    whole = [row for row in given if row.metric == FORGETTING and not row.dimension]
    assert {row.family for row in whole} == {"variant_forgetting over 2 pairs of checkpoints"}
    assert all(row.estimate.p_adjusted >= row.estimate.p_value for row in whole)
    groups = [row for row in given if row.metric == BIASED]
    assert {row.family for row in groups} == {"variant_biased_forgetting by kind over 2 pairs of checkpoints"}
    assert all("Bonferroni over 2 pairs" in row.estimate.method for row in groups)


def test_several_seeds_are_paired_seed_by_seed() -> None:
    given = compared(FULL, LORA, seeds=(0, 1))
    row = only(given, FORGETTING, chain="s>c", seed="all")
    alone = [only(given, FORGETTING, chain="s>c", seed=seed).estimate.value for seed in "01"]
    assert row.estimate.n_seeds == 2
    assert row.estimate.value == pytest.approx(sum(alone) / 2)


def test_examples_without_a_score_are_told() -> None:
    given = [
        replace(one, scores={"s": synthetic.lengths([None if len(one.checkpoint.chain) == 2 else 5.0, *range(12)])})
        for one in checkpoints([FULL, LORA])
        if one.checkpoint.labels in ((), ("s",), ("s", "c"))
    ]
    given = [replace(one, scores={"s": replace(one.scores["s"], task="s")}) for one in given]
    found = variant_rows(Runs.of(given), OPTIONS, "trained")
    assert {row.verdict_reason for row in found} == {"1 of 13 examples without a score under some checkpoint"}
    assert not any(row.estimate.is_shown(0.95) for row in found)
    results = Results(
        "t", summarise(given, study="made", roles={"s": "safety", "c": "capability"}, resamples=100), 0.95
    )
    told = (
        "Left out of the estimate: 1 of 13 examples without a score under some checkpoint; no interval: 1 of 13 "
        "examples without a score, which in characters has no bounds."
    )
    assert told in " ".join(against_first_sentences(results.shown, 0.95))


@pytest.mark.parametrize("reference", ["trained", "base"])
def test_missing_answers_make_no_difference_shown(reference: ForgettingFrom) -> None:
    """The second variant is right and wrong as often as the first, and is silent where the first alone is right."""
    first, other = [1.0, 1.0, 0.0, 0.0] * 30, [1.0, None, 1.0, 0.0] * 30
    groups = {"kind": ["a", "b"] * 60}
    given = []
    for variant, end in ((FULL, first), (LORA, other)):
        for chain, values in ((("s",), [1.0] * 120), (("s", "c"), end)):
            scores = synthetic.scores([bool(value) for value in values], task="s", groups=groups)
            gone = pa.array([value is None for value in values])
            place = scores.table.schema.get_field_index("score")
            column = pc.if_else(gone, pa.scalar(None, pa.float64()), scores.table.column("score"))
            scores = replace(scores, table=scores.table.set_column(place, scores.table.schema.field(place), column))
            given.append(CheckpointScores(synthetic.checkpoint(*chain, variant=variant), {"s": scores}))
    given.append(CheckpointScores(synthetic.checkpoint(), given[0].scores))
    differences = variant_rows(Runs.of(given), OPTIONS, reference)
    whole, group = (
        only(differences, metric, chain="s>c", **facts).estimate
        for metric, facts in ((FORGETTING, {}), (BIASED, {"dimension": "kind", "group": "a"}))
    )
    assert whole.value == pytest.approx(-1 / 3), "on the examples that both have answered"
    assert whole.low < -0.25 < 0 < whole.high
    assert whole.p_value == 1
    assert "what lacks a score is at its best and at its worst" in whole.method
    assert group.low <= -0.5 + 0.25
    assert not any(row.estimate.is_shown(0.95) for row in differences if row.metric == FORGETTING and row.is_whole)
