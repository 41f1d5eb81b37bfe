"""A study's rows: by hand, with seeds, with chains of every kind, and bad input."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaintune.errors import ConfigError, DataError
from chaintune.forgetting import compare, summarise
from chaintune.forgetting.bias import CONTEXTS
from chaintune.forgetting.options import Inference
from chaintune.forgetting.runs import Runs
from chaintune.forgetting.slope import slope_rows
from chaintune.records import (
    CheckpointScores,
    Estimate,
    MitigationRef,
    ResultRow,
    Role,
    Scores,
    SeedVariance,
    pooled,
    rows_to_polars,
)
from chaintune.report.results import Results
from chaintune.report.tables import result_tables
from chaintune.report.words import summary
from tests import synthetic

FAST = 200
N = 60
ROLES: Mapping[str, Role] = {"s": "safety", "c": "capability", "d": "capability"}

Chain = tuple[str, ...]


@cache
def scored(task: str, right: int, *, seed: int = 0, faiths: str = "ab") -> Scores:
    """Scores of which the first so many of shuffled examples are right; the shuffle is the task's."""
    order = np.random.default_rng(len(task)).permutation(N)
    flags = order < right + seed
    groups = {"faith": [faiths[row % len(faiths)] for row in range(N)]} if task == "s" else None
    return synthetic.scores(flags.tolist(), task=task, groups=groups, noise=right + seed)


def mitigates(chain: Chain) -> tuple[MitigationRef, ...]:
    """A replay is compared with the chain before it."""
    if not chain or "@" not in chain[-1]:
        return ()
    task, _, dose = chain[-1].rstrip("%").partition("@")
    keep = tuple(step for step in chain[:-1] if step != task)
    return (MitigationRef("replay", "replay", task, synthetic.chain(*chain[:-1]), keep, float(dose) / 100),)


def measured(
    table: Mapping[Chain, Mapping[str, int]],
    *,
    seeds: Iterable[int] = (0,),
    variant: tuple[tuple[str, str], ...] = (),
    faiths: str = "ab",
) -> list[CheckpointScores]:
    """Checkpoints from how many examples of each task are right after each chain."""
    found = []
    for seed in seeds:
        for chain, tasks in table.items():
            used = seed if chain else 0
            scores = {task: scored(task, right, seed=used, faiths=faiths) for task, right in tasks.items()}
            at = synthetic.checkpoint(*chain, variant=variant if chain else (), seed=seed)
            found.append(CheckpointScores(at, scores, mitigates(chain)))
    return found


BOTH_ORDERS: dict[Chain, dict[str, int]] = {
    (): {"s": 15, "c": 18},
    ("s",): {"s": 45, "c": 20},
    ("c",): {"s": 17, "c": 48},
    ("s", "c"): {"s": 33, "c": 47},
    ("c", "s"): {"s": 46, "c": 40},
}


def summed(given: Sequence[CheckpointScores], **options: Any) -> list[ResultRow]:
    return summarise(given, study="made-up", roles=ROLES, resamples=FAST, **options)


@cache
def of_both_orders(*seeds: int) -> list[ResultRow]:
    return summed(measured(BOTH_ORDERS, seeds=seeds))


def only(rows: Sequence[ResultRow], metric: str, **facts: Any) -> ResultRow:
    """The one row that fits; the whole task's where no group is named."""
    wanted = {"metric": metric, "group": "", "seed": "0"} | facts
    found = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    assert len(found) == 1, f"{len(found)} rows with {wanted}"
    return found[0]


def test_every_value_of_a_study_of_both_orders_by_hand() -> None:
    rows = of_both_orders(0)
    share = {chain: {task: right / N for task, right in tasks.items()} for chain, tasks in BOTH_ORDERS.items()}
    expected = [
        (only(rows, "accuracy", chain="base", task="s"), share[()]["s"]),
        (only(rows, "accuracy", chain="s>c", task="c"), share["s", "c"]["c"]),
        (only(rows, "gain", chain="s", task="s"), 30 / N),
        (only(rows, "gain", chain="s>c", task="c"), 29 / N),
        (only(rows, "forgetting", chain="s>c", task="s"), 12 / N),
        (only(rows, "forgetting", chain="c>s", task="c"), 8 / N),
        (only(rows, "order_effect", task="s"), 13 / N),
        (only(rows, "asymmetry"), 12 / N - 8 / N),
        (only(rows, "retained_gain", chain="s>c"), (33 - 15) / (45 - 15)),
        (only(rows, "bwt", chain="s>c"), -12 / N),
        (only(rows, "fwt", chain="s>c"), (20 - 18) / N),
        (only(rows, "fwt", chain="c>s"), (17 - 15) / N),
    ]
    for row, value in expected:
        assert row.estimate.value == pytest.approx(value), row


def test_rows_say_what_they_are_about() -> None:
    rows = of_both_orders(0)
    lost = only(rows, "forgetting", chain="s>c")
    assert (lost.study, lost.base, lost.stage, lost.reference, lost.task) == ("made-up", "m", 2, "s", "s")
    assert lost.verdict == "forgot"
    effect = only(rows, "order_effect", task="s")
    assert (effect.chain, effect.reference) == ("c>s", "s>c")
    asymmetry = only(rows, "asymmetry")
    assert (asymmetry.chain, asymmetry.reference, asymmetry.task) == ("s>c", "c>s", "s")
    assert only(rows, "gain", chain="s", task="s").reference == "base"


def test_every_row_has_an_interval_or_a_reason_and_says_how_many() -> None:
    for row in of_both_orders(0, 1):
        estimate = row.estimate
        assert not math.isnan(estimate.low) or estimate.reason, row
        assert estimate.n > 0, row
        assert estimate.n_clusters > 0, row
        assert (row.verdict != "") == (row.metric in ("forgetting", "price"))


def test_forgetting_is_that_of_compare() -> None:
    given = measured(BOTH_ORDERS)
    rows = summed(given)
    by_chain = {one.checkpoint.labels: one.scores["s"] for one in given}
    found = compare(by_chain["s",], by_chain["s", "c"], by=["faith"], resamples=FAST)
    assert _numbers(only(rows, "forgetting", chain="s>c").estimate) == _numbers(found.overall.forgetting)
    for each in found.groups:
        facts = {"chain": "s>c", "group": each.group, "dimension": "faith"}
        assert _numbers(only(rows, "forgetting", **facts).estimate) == _numbers(each.forgetting)
        assert _numbers(only(rows, "biased_forgetting", **facts).estimate) == _numbers(each.biased_forgetting)
        assert only(rows, "detectable_forgetting", **facts).estimate.value == each.detectable_forgetting
    assert only(rows, "disparity", chain="s>c").estimate.value == found.disparities[0].estimate.value
    assert only(rows, "disparity_expected", chain="s>c").estimate.value == found.disparities[0].null_expectation


def test_one_seed_speaks_about_these_checkpoints_several_about_the_recipe() -> None:
    rows = of_both_orders(0, 1, 2)
    facts = {"chain": "s>c", "task": "s"}
    alone, together = (only(rows, "forgetting", seed=seed, **facts) for seed in ("1", "all"))
    assert alone.estimate.n_seeds == 1
    assert "these checkpoints only" in alone.estimate.method
    assert together.estimate.n_seeds == 3
    assert "crossed with seeds" in together.estimate.method
    values = [only(rows, "forgetting", seed=seed, **facts).estimate.value for seed in ("0", "1", "2")]
    assert together.estimate.value == pytest.approx(np.mean(values))


def test_one_seed_makes_no_row_of_all_seeds() -> None:
    assert {row.seed for row in of_both_orders(0)} == {"0"}


def test_the_base_is_measured_once_for_every_seed_and_variant() -> None:
    given = [one for one in measured(BOTH_ORDERS, seeds=(0, 1)) if one.checkpoint.chain or one.checkpoint.seed == 0]
    rows = summed(given)
    assert only(rows, "gain", chain="s", task="s", seed="1").estimate.value == pytest.approx(31 / N)
    assert only(rows, "accuracy", chain="base", task="s").estimate.n == N
    assert not [row for row in rows if row.chain == "base" and row.seed == "all"]


@pytest.mark.parametrize(
    ("reference", "name", "lost"),
    [("trained", "s", 5), ("base", "base", -25), ("previous", "s>c", -7), ("best", "s>c>d>c", 7)],
)
def test_references(reference: Any, name: str, lost: int) -> None:
    table: dict[Chain, dict[str, int]] = {
        (): {"s": 15},
        ("s",): {"s": 45},
        ("s", "c"): {"s": 33},
        ("s", "c", "d"): {"s": 40},
    }
    if reference == "best":
        table |= {("s", "c", "d", "c"): {"s": 47}, ("s", "c", "d", "c", "d"): {"s": 40}}
    chain = "s>c>d>c>d" if reference == "best" else "s>c>d"
    row = only(summed(measured(table), forgetting_from=reference), "forgetting", chain=chain, task="s")
    assert row.reference == name
    assert row.estimate.value == pytest.approx(lost / N)


def test_recovery_slope_and_asymmetry_are_counted_from_the_same_checkpoint() -> None:
    table = {**BOTH_ORDERS, ("s", "c", "s@5%"): {"s": 42, "c": 44}, (): {"s": 58, "c": 55}}
    rows = summed(measured(table), forgetting_from="base")
    assert only(rows, "recovery").estimate.value == pytest.approx((42 - 33) / (58 - 33))
    assert only(rows, "asymmetry").estimate.value == pytest.approx(((58 - 33) - (55 - 40)) / N)
    given = measured({(): {"s": 15}})
    for rate, first, left in (("1", 45, 39), ("2", 50, 33)):
        given += measured({("s",): {"s": first}, ("s", "c"): {"s": left}}, variant=(("epochs", rate),))
    for reference, name, slope in (("trained", "s", 11), ("base", "base", 6), ("best", "s", 11)):
        row = only(summed(given, forgetting_from=reference), "forgetting_slope", chain="s>c")
        assert row.reference == name
        assert row.estimate.value == pytest.approx(slope / N)


def test_a_further_item_metric_has_rows_of_its_own_and_decides_nothing() -> None:
    plain = measured({**BOTH_ORDERS, ("s", "c", "s@5%"): {"s": 42, "c": 44}}, seeds=(0, 1))
    both = [
        replace(one, further={"s": {"accuracy_per_byte": one.scores["s"].by("accuracy_per_byte")}}) for one in plain
    ]
    rows = summed(both)
    deciding = [row for row in rows if row.deciding]
    assert rows_to_polars(deciding).equals(rows_to_polars(summed(plain)), null_equal=True)
    further = [row for row in rows if not row.deciding]
    assert {(row.task, row.item_metric, row.verdict, row.mitigation) for row in further} == {
        ("s", "accuracy_per_byte", "", "")
    }
    assert {row.metric for row in further} >= {"accuracy", "gain", "forgetting", "biased_forgetting", "order_effect"}
    assert not {row.metric for row in further} & {"recovery", "price", "retained_gain", "asymmetry"}
    assert pooled(rows) == pooled(deciding)
    assert pooled(rows, further=True) == [row for row in further if row.seed == "all" or row.chain == "base"]
    assert summary(Results("t", rows, 0.95)) == summary(Results("t", deciding, 0.95))
    tables = {table.title: table for table in result_tables(Results("t", rows, 0.95))}
    lines = [line[1:] for line in tables["Learned, then forgotten"].rows if line[1] == "s by accuracy_per_byte"]
    assert lines
    assert all(line[4] == "" for line in lines)
    assert f"s by accuracy_per_byte (n={N})" in tables["Accuracy"].header


def test_a_task_tuned_twice_is_forgotten_from_its_last_tuning() -> None:
    table: dict[Chain, dict[str, int]] = {
        ("s",): {"s": 45},
        ("s", "c"): {"s": 30},
        ("s", "c", "s"): {"s": 50},
        ("s", "c", "s", "c"): {"s": 38},
    }
    rows = summed(measured(table))
    assert only(rows, "forgetting", chain="s>c>s>c", task="s").estimate.value == pytest.approx(12 / N)
    assert not [row for row in rows if row.metric == "forgetting" and row.chain == "s>c>s" and row.task == "s"]


def test_replay_recovers_at_a_price() -> None:
    table = BOTH_ORDERS | {("s", "c", "s@5%"): {"s": 42, "c": 44}}
    rows = summed(measured(table))
    back = only(rows, "recovery")
    assert (back.chain, back.reference, back.task) == ("s>c>s@5%", "s>c", "s")
    assert back.estimate.value == pytest.approx((42 - 33) / (45 - 33))
    price = only(rows, "price")
    assert price.task == "c"
    assert price.estimate.value == pytest.approx(3 / N)
    left = only(rows, "forgetting", chain="s>c>s@5%", task="s")
    assert left.reference == "s"
    assert left.estimate.value == pytest.approx(3 / N)
    assert not [row for row in rows if row.metric in ("gain", "bwt") and row.chain == "s>c>s@5%"]


def test_recovery_of_no_loss_is_undefined() -> None:
    table = BOTH_ORDERS | {("s", "c"): {"s": 45, "c": 47}, ("s", "c", "s@5%"): {"s": 50, "c": 44}}
    estimate = only(summed(measured(table)), "recovery").estimate
    assert math.isnan(estimate.value)
    assert "not shown to be above 0" in estimate.reason


def test_slope_against_the_learning_rate_is_for_a_tenfold() -> None:
    given = []
    for rate, left in (("1e-5", 45), ("1e-4", 39), ("1e-3", 33)):
        table = {chain: tasks for chain, tasks in BOTH_ORDERS.items() if chain} | {("s", "c"): {"s": left, "c": 47}}
        given += measured(table, variant=(("method", "full"), ("recipe.learning_rate", rate)))
    row = only(summed(given), "forgetting_slope", chain="s>c")
    assert row.estimate.value == pytest.approx(6 / N)
    assert row.variant == "full lr=log10 slope"
    assert row.estimate.low < 6 / N < row.estimate.high


def test_names_of_recipes_that_are_figures_have_no_slope() -> None:
    given = [
        one
        for name in ("8", "16")
        for one in measured({c: t for c, t in BOTH_ORDERS.items() if c}, variant=(("recipe", name),))
    ]
    assert not slope_rows(Runs.of(given), Inference(resamples=100), "trained")


def test_slope_needs_numbers_that_differ() -> None:
    given = [
        *measured(BOTH_ORDERS, variant=(("recipe.method", "full"), ("epochs", "1"))),
        *measured({c: t for c, t in BOTH_ORDERS.items() if c}, variant=(("recipe.method", "lora"), ("epochs", "1"))),
    ]
    assert not [row for row in summed(given) if row.metric == "forgetting_slope"]


def test_chains_of_three_have_transfer_over_their_tasks() -> None:
    table: dict[Chain, dict[str, int]] = {
        (): {"s": 10, "c": 12, "d": 14},
        ("s",): {"s": 40, "c": 15, "d": 14},
        ("s", "c"): {"s": 30, "c": 45, "d": 20},
        ("s", "c", "d"): {"s": 25, "c": 39, "d": 50},
    }
    rows = summed(measured(table))
    assert only(rows, "bwt", chain="s>c>d").estimate.value == pytest.approx(((25 - 40) + (39 - 45)) / 2 / N)
    assert only(rows, "fwt", chain="s>c>d").estimate.value == pytest.approx(((15 - 12) + (20 - 14)) / 2 / N)


def test_no_chain_no_forgetting() -> None:
    rows = summed(measured({(): {"s": 15}}))
    assert {row.metric for row in rows} == {"accuracy"}


def test_nothing_measured_nothing_said() -> None:
    assert summed([]) == []


def test_rows_make_a_table() -> None:
    rows = of_both_orders(0, 1)
    table = rows_to_polars(rows)
    assert table.height == len(rows)
    assert set(table["seed"]) == {"0", "1", "all"}


def test_same_seed_same_rows() -> None:
    first, again = map(rows_to_polars, (of_both_orders(0, 1), summed(measured(BOTH_ORDERS, seeds=(0, 1)))))
    assert first.equals(again, null_equal=True)


def test_a_task_without_a_role_is_refused() -> None:
    with pytest.raises(ConfigError, match="task 's' has no role"):
        summarise(measured(BOTH_ORDERS), study="x", roles={"c": "capability"})


def test_a_task_that_a_chain_never_teaches_is_counted_from_the_base() -> None:
    table = {chain: {**tasks, "d": 30 - 4 * len(chain)} for chain, tasks in BOTH_ORDERS.items()}
    taught = summed(measured(table))
    assert not [row for row in taught if row.task == "d" and row.metric == "forgetting"]
    ends = [replace(one, final=len(one.checkpoint.chain) == 2) for one in measured(table)]
    rows = summed(ends)
    lost = only(rows, "forgetting", chain="s>c", task="d")
    assert (lost.reference, lost.verdict != "") == ("base", True)
    assert lost.estimate.value == pytest.approx(8 / N)
    assert {row.chain for row in rows if row.task == "d" and row.metric == "forgetting"} == {"s>c", "c>s"}
    assert not [row for row in rows if row.task == "d" and row.metric in ("gain", "retained_gain")]
    # The verdicts on whole tasks are a family, which this task has joined.
    others, alone = (
        [row for row in some if row.task != "d" and (row.metric != "forgetting" or row.dimension)]
        for some in (rows, taught)
    )
    assert rows_to_polars(others).equals(rows_to_polars(alone), null_equal=True)
    assert lost.family == only(rows, "forgetting", chain="s>c", task="s").family == "forgetting of 2 tasks"
    assert "forgot d since the base" in summary(Results("t", rows, 0.95))
    (first,) = [table for table in result_tables(Results("t", rows, 0.95)) if table.title == "Learned, then forgotten"]
    assert {(line[1], line[2]) for line in first.rows} == {("s", "s"), ("c", "c"), ("d", "base")}


def test_groups_share_the_variance_between_seeds_unless_told_otherwise() -> None:
    given = measured(BOTH_ORDERS, seeds=(0, 1, 2), faiths="abc")
    facts = {"chain": "s>c", "task": "s", "group": "a", "seed": "all"}
    both = (summed(given), summed(given, seed_variance="separate"))
    together, apart = (only(rows, "forgetting", **facts) for rows in both)
    assert "moderated" in together.estimate.method
    assert "moderated" not in apart.estimate.method
    texts = [summary(Results("t", rows, 0.95)) for rows in both]
    assert ["scatter much further than those of the others" in text for text in texts] == [True, False]
    with pytest.raises(ConfigError, match="seed_variance 'seperate': did you mean 'separate'"):
        summed(given, seed_variance="seperate")


def test_intervals_of_order_effects_and_of_what_was_regained_are_those_of_their_corrected_tests() -> None:
    table = {**BOTH_ORDERS, ("s", "c", "s@5%"): {"s": 50, "c": 40}}
    rows = [row for row in summed(measured(table)) if row.dimension and row.metric in ("order_effect", "regained")]
    assert {row.metric for row in rows} == {"order_effect", "regained"}
    for row in rows:
        low, high = row.estimate.limits
        assert row.family == f"{row.metric} by {row.dimension}"
        assert (low > 0 or high < 0) == (row.estimate.p_adjusted <= 0.05)


def recipes(*rates: str, seeds: Sequence[int] = (0, 1, 2)) -> list[CheckpointScores]:
    """Recipes that lose alike on average over three seeds, and whose seeds scatter as far, each in a way of its own."""
    given = []
    before: dict[Chain, dict[str, int]] = {chain: BOTH_ORDERS[chain] for chain in ((), ("s",))}
    for rate in rates:
        for seed in seeds:
            more = (8, -8, 0)[(seed + int(rate)) % 3]
            table = {**before, ("s", "c"): {"s": 33 + more, "c": 47}}
            given += measured(table, seeds=(seed,), variant=(("learning_rate", rate),))
    return list({one.checkpoint: one for one in given}.values())


@cache
def of_recipes(*rates: str, seed_variance: SeedVariance) -> list[ResultRow]:
    return summed(recipes(*rates), seed_variance=seed_variance)


def test_recipes_share_the_variance_of_the_whole_task_on_request() -> None:
    facts = {"chain": "s>c", "task": "s", "seed": "all", "variant": "lr=1"}
    ways: tuple[SeedVariance, ...] = ("over_groups", "over_recipes")
    rows = {one: of_recipes("1", "2", "3", seed_variance=one) for one in ways}
    apart, shared = (only(some, "forgetting", **facts).estimate for some in rows.values())
    assert shared.value == apart.value
    assert shared.high - shared.low < 0.8 * (apart.high - apart.low)
    limits = [only(some, "detectable_forgetting", **facts).estimate.value for some in rows.values()]
    assert limits[1] < limits[0]
    assert ["over the recipes of the study" in one.method for one in (apart, shared)] == [False, True]
    texts = [summary(Results("t", some, 0.95)) for some in rows.values()]
    assert ["recipe whose seeds scatter much further" in text for text in texts] == [False, True]
    # Groups' differences from the whole, and what is no forgetting, stay as they are.
    alike = ("accuracy", "gain", "bwt", "biased_forgetting", "detectable_biased_forgetting", "disparity")
    others = [rows_to_polars([row for row in some if row.metric in alike]) for some in rows.values()]
    assert others[0].equals(others[1], null_equal=True)


@pytest.mark.parametrize("fellow", ["none", "one", "fewer seeds"])
def test_a_recipe_without_two_fellows_is_as_over_groups(fellow: str) -> None:
    given = recipes("1", "2") if fellow == "one" else recipes("1")
    if fellow == "fewer seeds":
        given += [one for one in recipes("2", "3", seeds=(0, 1)) if one.checkpoint.chain]
    tables = [
        rows_to_polars([row for row in summed(given, seed_variance=one) if row.variant == "lr=1"])
        for one in ("over_groups", "over_recipes")
    ]
    assert tables[0].equals(tables[1], null_equal=True)


def test_the_order_of_recipes_says_nothing() -> None:
    tables = [
        rows_to_polars([row for row in of_recipes(*rates, seed_variance="over_recipes")
                        if row.variant == "lr=2" and row.metric == "forgetting"])
        for rates in (("1", "2", "3"), ("3", "1", "2"))
    ]  # fmt: skip
    assert tables[0].equals(tables[1], null_equal=True)


def test_a_seed_that_lies_far_off_has_a_row_of_its_own_and_a_sentence() -> None:
    collapsed = {(): {"s": 15, "c": 18}, ("s",): {"s": 45, "c": 20}, ("s", "c"): {"s": 10, "c": 47}}
    given = measured({chain: BOTH_ORDERS[chain] for chain in collapsed}, seeds=(0, 1, 2, 3))
    rows = summed([*given, *measured(collapsed, seeds=(9,))])
    far = only(rows, "outlying_seed", chain="s>c", task="s", seed="9")
    assert far.estimate.p_value < 0.05
    by_seed = {row.seed: row.estimate.value for row in rows if row.metric == "forgetting" and row.chain == "s>c"
               and row.task == "s" and row.is_whole}  # fmt: skip
    others = np.mean([by_seed[seed] for seed in "0123"])
    assert far.estimate.value == pytest.approx(by_seed["9"] - others)
    assert "Seed 9 lies far off: it lost" in summary(Results("t", rows, 0.95))
    quiet = summed(given)
    assert "lies far off" not in summary(Results("t", quiet, 0.95))
    assert not [row for row in of_both_orders(0, 1) if row.metric == "outlying_seed"]


def test_a_reference_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'trained'"):
        summed(measured(BOTH_ORDERS), forgetting_from="traned")


def test_a_checkpoint_given_twice_is_refused() -> None:
    with pytest.raises(DataError, match="given twice"):
        summed([*measured(BOTH_ORDERS), *measured(BOTH_ORDERS)])


def test_other_examples_under_another_checkpoint_are_refused() -> None:
    given = measured(BOTH_ORDERS)
    short = Scores("s", given[1].scores["s"].table.slice(0, 50))
    given[1] = CheckpointScores(synthetic.checkpoint("s"), {"s": short})
    with pytest.raises(DataError, match="not of the same examples"):
        summed(given)


def test_a_checkpoint_without_a_seed_is_refused() -> None:
    given = CheckpointScores(synthetic.checkpoint("s", "c").of_every_seed, {})
    with pytest.raises(DataError, match="scores under s>c: the checkpoint has no seed"):
        summed([given])


def test_a_row_names_the_weights_it_is_about() -> None:
    def key(*chain: str, seed: int) -> str:
        return synthetic.checkpoint(*chain, seed=seed).key

    rows = [row for row in of_both_orders(0, 1) if row.chain == "s>c" and row.task == "s"]
    lost = {row.seed: row for row in rows if row.metric == "forgetting" and row.is_whole}
    assert (lost["1"].checkpoint_keys, lost["1"].reference_keys) == ((key("s", "c", seed=1),), (key("s", seed=1),))
    assert lost["all"].checkpoint_keys == (key("s", "c", seed=0), key("s", "c", seed=1))
    assert lost["all"].reference_keys == (key("s", seed=0), key("s", seed=1))
    assert {row.steps for row in rows} == {("s", "c")}
    units = {row.metric: (row.item_metric, row.unit, row.direction) for row in rows}
    assert units["forgetting"] == units["accuracy"] == ("accuracy", "share", "more")
    assert {row.bf_reference for row in rows if row.metric == "biased_forgetting"} == {"overall"}
    assert {row.bf_reference for row in rows if row.metric != "biased_forgetting"} == {""}


def _numbers(estimate: Estimate) -> tuple[float, ...]:
    return tuple(round(getattr(estimate, name), 12) for name in ("value", "low", "high", "p_value", "n", "n_clusters"))


def test_every_metric_is_defined_in_the_docs() -> None:
    table = BOTH_ORDERS | {("s", "c", "s@5%"): {"s": 42, "c": 44}}
    given = measured(table, variant=(("lr", "1"),)) + measured(
        {chain: tasks for chain, tasks in table.items() if chain}, variant=(("lr", "2"),)
    )
    emitted = {row.metric for row in summed(given)} | set(CONTEXTS)
    page = (Path(__file__).parents[3] / "docs" / "explanation" / "definitions.md").read_text(encoding="utf-8")
    first_cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    defined = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert len(emitted) == 32
    assert emitted <= defined
