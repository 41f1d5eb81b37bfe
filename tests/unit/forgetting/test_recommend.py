"""The rule that recommends a dose."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintune.errors import ConfigError
from chaintune.forgetting import recommend
from chaintune.records import Estimate, Limits, ResultRow
from chaintune.report.card import model_card
from chaintune.report.mitigations import mitigation_tables
from chaintune.report.results import Results

Interval = tuple[float, float]
ENOUGH: Interval = (0.85, 1.0)
CHEAP: Interval = (-0.01, 0.01)


def row(metric: str, estimate: Estimate, dose: float, **facts: Any) -> ResultRow:
    named = {"task": "s", "seed": "0", "mitigation": "replay", "variant": ""} | facts
    chain = f"s>c>s@{100 * dose:g}%"
    return ResultRow(
        "study", "m", chain, named["variant"], 3, "s>c", named["task"], metric, "", "", named["seed"], estimate,
        mitigation=named["mitigation"],
    )  # fmt: skip


def measured(dose: float, recovery: Interval | None, *prices: Interval, **facts: Any) -> list[ResultRow]:
    """The rows of one dose."""
    share = Estimate.undefined("the loss is not shown") if recovery is None else Estimate(sum(recovery) / 2, *recovery)
    rows = [row("dose", Estimate(dose), dose, **facts), row("recovery", share, dose, **facts)]
    for number, price in enumerate(prices):
        rows.append(row("price", Estimate(sum(price) / 2, *price), dose, task=f"c{number}", **facts))
    return rows


def only(rows: Sequence[ResultRow], **options: Any) -> Any:
    (choice,) = recommend(rows, Limits(**options))
    return choice


def test_the_smallest_dose_that_reaches_the_target_inside_the_margin() -> None:
    rows = measured(0.1, ENOUGH, CHEAP) + measured(0.05, ENOUGH, CHEAP) + measured(0.01, (0.5, 0.9), CHEAP)
    choice = only(rows)
    assert (choice.dose, choice.chosen, choice.after, choice.task) == (0.05, "s>c>s@5%", "s>c", "s")
    assert choice.tested == ("s>c>s@1%", "s>c>s@5%", "s>c>s@10%")
    assert "recovery wholly above 80 % and every price wholly below 2 points" in choice.reason


def test_no_dose_is_recommended_by_examples_that_have_a_score_where_others_have_none() -> None:
    dose, recovery, price = measured(0.1, ENOUGH, CHEAP)
    reason = "3 of 40 examples without a score under some checkpoint"
    told = only([dose, replace(recovery, verdict_reason=reason), price]).reason
    assert told.endswith(f"its recovery, 92 % (85 to 100 %), may be another: {reason}")
    upper = replace(price, metric="price_upper_bound", estimate=Estimate(0.02, 0.0, 0.04))
    assert "may be above 2 points, as some examples lack a score" in only([dose, recovery, price, upper]).reason


@pytest.mark.parametrize(
    ("recovery", "prices", "why"),
    [
        ((0.7, 1.2), [CHEAP], "its recovery, 95 % (70 to 120 %), is not wholly above 80 %"),
        ((0.8, 1.0), [CHEAP], "is not wholly above 80 %"),
        (ENOUGH, [(-0.01, 0.03)], "its price in c0, +1.0 points (-1.0 to +3.0), is not wholly below 2 points"),
        (ENOUGH, [CHEAP, (0.0, 0.02)], "its price in c1"),
        (ENOUGH, [CHEAP, (math.nan, math.nan)], "without an interval"),
        (ENOUGH, [], "no kept task was measured"),
        (None, [CHEAP], "its recovery is undefined: the loss is not shown"),
    ],
)
def test_no_dose_tested_reaches_it(recovery: Interval | None, prices: list[Interval], why: str) -> None:
    choice = only(measured(0.05, recovery, *prices))
    assert choice.chosen == ""
    assert math.isnan(choice.dose)
    assert choice.reason.startswith("no dose tested reaches it; of the largest, 0.05: ")
    assert why in choice.reason
    assert choice.to_dict()["dose"] is None


def test_a_price_in_a_unit_without_a_margin_recommends_nothing() -> None:
    rows = measured(0.05, ENOUGH, CHEAP)
    rows[-1] = replace(rows[-1], unit="characters", estimate=Estimate(1.5, 0.5, 2.5))
    choice = only(rows)
    assert not choice.chosen
    assert "its price in c0, +1.50 characters (+0.50 to +2.50), has no margin in that unit" in choice.reason


def test_the_margin_that_a_kept_task_names_is_told() -> None:
    rows = measured(0.05, ENOUGH, CHEAP, CHEAP)
    rows[-1] = replace(rows[-1], unit="nats", margin=0.05)
    assert only(rows).reason.endswith("every price wholly below 2 points (0.05 nats in c1)")
    rows[-2] = replace(rows[-2], margin=0.03)
    assert only(rows).reason.endswith("every price wholly below 3 points in c0, 0.05 nats in c1")
    notes = [table.note for table in mitigation_tables(Results("t", rows, 0.95))]
    assert sum("below 3 points in c0, 0.05 nats in c1" in note for note in notes) == 2
    about: dict[str, Any] = {"written": "s>c>s@5%", "before": "s", "after": "s>c", "recipe": {}, "level": 0.95}
    card = model_card([replace(rows[1], task="*"), *rows[1:]], only(rows), **about)
    assert "price in every kept task lies below 3 points in c0, 0.05 nats in c1 with its whole interval" in card


def test_of_merges_the_smallest_fraction_is_recommended() -> None:
    small, large = (
        [replace(one, metric=one.metric.replace("dose", "fraction")) for one in measured(share, ENOUGH, CHEAP)]
        for share in (0.25, 0.5)
    )
    choice = only([*large, *small])
    assert (choice.dose, choice.varied) == (0.25, "fraction")
    assert choice.reason.startswith("the smallest fraction tested")
    (line,) = next(t for t in mitigation_tables(Results("t", small, 0.95)) if t.title == "Recommended doses").rows
    assert line[3] == "fraction 25%"


def test_a_gain_in_a_kept_task_is_no_price() -> None:
    assert only(measured(0.05, ENOUGH, (-0.2, -0.1))).chosen


def test_target_and_margin_are_the_callers() -> None:
    rows = measured(0.05, (0.55, 0.6), (0.0, 0.04))
    assert not only(rows, target=0.5).chosen
    assert not only(rows, margin=0.05).chosen
    choice = only(rows, target=0.5, margin=0.05)
    assert (choice.chosen, choice.target, choice.margin) == ("s>c>s@5%", 0.5, 0.05)
    for options in ({"target": 0.0}, {"margin": -0.1}, {"margin": 2.0}):
        with pytest.raises(ConfigError, match="expected a target above 0"):
            recommend(rows, Limits(**options))


def test_seeds_together_speak_before_each_alone() -> None:
    rows = measured(0.05, ENOUGH, CHEAP, seed="0") + measured(0.05, (0.2, 1.0), CHEAP, seed="all")
    assert not only(rows).chosen


def test_each_kind_and_variant_has_a_choice_of_its_own() -> None:
    rows = measured(0.05, ENOUGH, CHEAP)
    rows += measured(0.05, (0.1, 0.2), CHEAP, mitigation="replay balanced by side")
    rows += measured(0.05, ENOUGH, CHEAP, variant="lr=1")
    found = {(choice.dose_curve, choice.variant): bool(choice.chosen) for choice in recommend(rows)}
    assert found == {("replay", ""): True, ("replay balanced by side", ""): False, ("replay", "lr=1"): True}


def test_without_doses_there_is_nothing_to_choose() -> None:
    assert recommend([]) == []
    assert recommend([one for one in measured(0.05, ENOUGH, CHEAP) if one.metric != "dose"]) == []


@given(
    st.dictionaries(
        st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.25, 1.0]),
        st.tuples(st.floats(0, 1.2), st.floats(-0.1, 0.1)),
        min_size=1,
        max_size=6,
    )
)
def test_what_is_chosen_fits_and_nothing_smaller_does(doses: dict[float, tuple[float, float]]) -> None:
    rows = [r for dose, (low, high) in doses.items() for r in measured(dose, (low, low + 0.1), (high - 0.1, high))]
    fitting = [dose for dose, (low, high) in doses.items() if low > 0.8 and high < 0.02]
    choice = only(rows)
    assert math.isnan(choice.dose) if not fitting else choice.dose == min(fitting)
