"""What was found, in words."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chaintune.forgetting import compare
from chaintune.records import Comparison, Estimate, Recommendation, ResultRow, Verdict
from chaintune.report.group_words import group_differences
from chaintune.report.mitigations import mitigation_tables
from chaintune.report.recovery_words import recommendations, recommended
from chaintune.report.results import Results
from chaintune.report.words import definition
from chaintune.report.words import summary as summary_of
from tests import synthetic

PROMISES = re.compile(r"debias|unbiased|\bfix|\bprove|\bcure|guarantee", re.IGNORECASE)


def row(metric: str, value: float, low: float = math.nan, high: float = math.nan, **facts: Any) -> ResultRow:
    """A row about s after s>c; facts of the row or of its estimate."""
    own = {"chain": "s>c", "variant": "", "stage": 2, "reference": "s", "task": "s"}
    own |= {"dimension": "", "group": "", "seed": "0"}
    own |= {name: facts.pop(name) for name in list(facts) if name in own}
    verdict: Verdict | str = facts.pop("verdict", "")
    estimate = Estimate(value, low, high, **({"n": 440, "n_clusters": 85} | facts))
    return ResultRow(study="x", base="m", metric=metric, estimate=estimate, verdict=verdict, **own)  # type: ignore[arg-type]


def summary(rows: Sequence[ResultRow], level: float = 0.95) -> str:
    return summary_of(Results("t", rows, level))


LOST = row("forgetting", 0.05, 0.012, 0.088, verdict="forgot")
GROUPS = [
    row("biased_forgetting", 0.071, 0.02, 0.12, p_value=0.001, p_adjusted=0.011, dimension="faith", group="a"),
    row("biased_forgetting", -0.06, -0.11, -0.01, p_value=0.004, p_adjusted=0.04, dimension="faith", group="b"),
    row("biased_forgetting", 0.01, -0.09, 0.11, p_value=0.8, p_adjusted=0.9, dimension="faith", group="c"),
    row("biased_forgetting", 0.2, dimension="faith", group="d", reason="too few clusters for an interval: 2"),
    row("detectable_biased_forgetting", 0.12, dimension="faith", group="a"),
    row("detectable_biased_forgetting", 0.14, dimension="faith", group="c"),
]


def test_a_correction_over_tasks_is_told_where_there_is_one() -> None:
    assert "corrected over the tasks" not in summary([LOST])
    several = replace(LOST, family="forgetting of 2 tasks")
    assert "corrected over the tasks of each checkpoint: forgetting of 2 tasks." in summary([several])


def test_nothing_followed_nothing_forgotten() -> None:
    assert summary([]) == "No task was followed by another, so nothing could be forgotten."
    assert "nothing could be forgotten" in summary([row("accuracy", 0.5)])


def test_says_what_how_much_and_of_how_many() -> None:
    assert "s>c forgot s: +5.0 points (95 % CI +1.2 to +8.8), 440 examples in 85 clusters." in summary([LOST])


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("kept", "s>c kept s"), ("gained", "s>c is better at s than s"), ("inconclusive", "Whether s>c forgot s is")],
)
def test_each_verdict_has_its_words(verdict: Verdict, words: str) -> None:
    assert words in summary([row("forgetting", 0.0, -0.01, 0.01, verdict=verdict)])


def test_says_who_lost_more_and_who_less() -> None:
    text = summary([LOST, *GROUPS])
    assert "a (faith) lost more than the whole, by 7.1 points (95 % CI +2.0 to +12.0)." in text
    assert "b (faith) lost less than the whole, by 6.0 points (95 % CI +1.0 to +11.0)." in text


def test_says_how_often_a_gap_of_10_points_is_shown_and_what_it_takes() -> None:
    sizes = {"power_10": 0.34, "examples_needed": 1234, "clusters_needed": 241}
    power = [row(metric, value, dimension="faith", group="c") for metric, value in sizes.items()]
    text = summary([LOST, *GROUPS, *power])
    assert "a gap of 10 points is shown in 34 of 100 such comparisons, and 80 % power takes one of 14 points" in text
    assert "14 points, or one of 10 with about 1,300 examples in 250 clusters." in text
    power[0] = row("power_10", 0.93, dimension="faith", group="c")
    assert "93 of 100 such comparisons, and 80 % power takes one of 14 points." in summary([LOST, *GROUPS, *power])
    limit = row("detectable_biased_forgetting", 0.104, dimension="faith", group="c")
    power[0] = row("power_10", 0.77, dimension="faith", group="c")
    text = summary([LOST, *GROUPS[:-1], limit, *power])
    assert "such comparisons, and 80 % power takes about 1,300 examples in 250 clusters." in text


def test_groups_that_were_picked_have_their_best_estimate() -> None:
    pooled = [
        row("pooled_forgetting", value, dimension="faith", group=name) for name, value in (("a", 0.1), ("b", 0.02))
    ]
    text = summary([LOST, *GROUPS, *pooled])
    assert (
        "a (faith) lost more than the whole, by 7.1 points (95 % CI +2.0 to +12.0) (best estimate 5.0 points)." in text
    )
    assert (
        "b (faith) lost less than the whole, by 6.0 points (95 % CI +1.0 to +11.0) (best estimate 3.0 points)." in text
    )
    assert text.count("picked because they lie far off") == 1
    rest = [replace(one, bf_reference="rest") if one.metric == "biased_forgetting" else one for one in GROUPS]
    half = [replace(one, estimate=replace(one.estimate, n=220)) for one in pooled]
    assert "by 7.1 points (95 % CI +2.0 to +12.0) (best estimate 10.0 points)" in summary([LOST, *rest, *half])


def test_a_price_that_was_kept_says_the_most_that_it_can_be() -> None:
    recovery = row("recovery", 0.5, 0.2, 0.8, chain="s>c>s@5%", reference="s>c")
    price = row("price", -0.01, -0.038, 0.019, chain="s>c>s@5%", reference="s>c", task="c", verdict="kept")
    words = "Its price in c: -1.0 points (95 % CI -3.8 to +1.9), kept, it is at most 1.9 points."
    assert words in summary([LOST, recovery, price])


def test_what_is_called_shown_follows_the_level() -> None:
    text = summary([LOST, *GROUPS], level=0.99)
    assert "(faith) lost" not in text
    assert "No difference is shown for the 3 groups of faith" in text


@pytest.mark.parametrize(("level", "gap"), [(0.95, "now shown"), (0.99, "none shown")])
def test_a_gap_that_is_only_shown_with_a_mitigation_is_not_called_new(level: float, gap: str) -> None:
    about: dict[str, Any] = {"chain": "s>c>s@5%", "reference": "s>c", "dimension": "faith"}
    rows = [
        row("recovery", 0.5, 0.2, 0.8, chain="s>c>s@5%", reference="s>c"),
        row("regained_disparity", 0.1, p_value=0.3, **about),
        row("disparity", 0.1, p_value=0.2, chain="s>c", dimension="faith"),
        row("disparity", 0.2, p_value=0.02, **(about | {"reference": "s"})),
    ]
    tables = {table.title: table for table in mitigation_tables(Results("t", rows, level))}
    assert tables["Did the gap between groups close?"].rows[0][-1] == gap


def test_says_what_could_not_be_seen_and_who_cannot_be_judged() -> None:
    text = summary([LOST, *GROUPS])
    words = "No difference is shown for the one other group of faith: with 440 examples in 85 clusters, "
    assert f"{words}80 % power takes a gap of 14 points." in text
    assert "1 of faith cannot be judged: too few clusters for an interval: 2." in text


def test_says_what_the_typical_of_the_groups_spoken_of_could_show_and_how_many_could_show_none() -> None:
    found = {name: Estimate(0.01, -0.1, 0.1, 0.8, 0.9) for name in "abcd"} | {"e": Estimate(0.3, 0.1, 0.5, 0.0, 0.0)}
    limits = {"a": 0.1, "b": 0.3, "c": math.nan, "d": 0.12, "e": 0.6}
    text = " ".join(group_differences("faith", found, limits, "the whole", level=0.95, unit="share"))
    assert "80 % power takes a gap of 12 points" in text
    assert "; in 1 of them none of any size could be shown." in text
    assert ": these data are too few to show any." in " ".join(
        group_differences("faith", found, {}, "the whole", level=0.95, unit="share")
    )


def test_says_what_change_an_inconclusive_task_could_have_shown() -> None:
    doubtful = row("forgetting", 0.02, -0.03, 0.07, verdict="inconclusive")
    assert "Minimum detectable difference: 8 points (80 % power)." in summary(
        [doubtful, row("detectable_forgetting", 0.08)]
    )
    text = summary([doubtful, row("detectable_forgetting", 0.08), row("power_5", 0.42)])
    assert "A loss of 5 points is shown in 42 of 100 such comparisons; 80 % power takes one of 8 points." in text
    assert "too few to show any change" in summary([doubtful])


def test_says_when_little_was_learned_to_be_forgotten() -> None:
    gain = row("gain", 0.01, -0.03, 0.05, chain="s", reference="base")
    assert (
        "s had not clearly learned s, so this says little: gain over the base +1.0 points (95 % CI -3.0 to +5.0)."
        in summary([LOST, gain])
    )
    clear = row("gain", 0.2, 0.1, 0.3, chain="s", reference="base")
    assert "had not clearly learned" not in summary([LOST, clear])


def test_undefined_says_why() -> None:
    text = summary([row("forgetting", math.nan, verdict="inconclusive", reason="no examples")])
    assert "is unknown: no examples." in text


def test_one_seed_speaks_about_checkpoints_and_several_about_the_recipe() -> None:
    assert "One seed: these numbers speak about these checkpoints" in summary([LOST])
    pooled = row("forgetting", 0.04, 0.01, 0.07, verdict="forgot", seed="all", n_seeds=3)
    text = summary([LOST, pooled])
    assert "Over 3 seeds" in text
    assert "+4.0 points" in text
    assert "+5.0 points" not in text


def test_checkpoints_that_some_seeds_lack_are_named() -> None:
    pooled = row("forgetting", 0.04, 0.01, 0.07, verdict="forgot", seed="all", n_seeds=5)
    scored = [row("accuracy", 0.7, chain=chain, reference="", seed="all", n_seeds=5) for chain in ("s", "s>c")]
    base = row("accuracy", 0.5, chain="base", reference="")
    assert "Not every checkpoint" not in summary([pooled, *scored, base])
    fewer = [row("accuracy", 0.7, chain="c>s", reference="", seed="all", n_seeds=4),
             row("accuracy", 0.7, chain="s>c>s@5%", reference="", seed="3")]  # fmt: skip
    assert (
        "Not every checkpoint was measured under all 5 seeds, and what rests on it is of fewer: c>s (4) and "
        "s>c>s@5% (1)." in summary([pooled, *scored, base, *fewer])
    )


def test_order_and_mitigation_have_their_sentences() -> None:
    order = row("order_effect", 0.13, 0.08, 0.18, chain="c>s", reference="s>c")
    back = row("recovery", 0.64, 0.48, 0.82, chain="s>c>s@5%", reference="s>c")
    price = row("price", 0.03, -0.01, 0.07, chain="s>c>s@5%", reference="s>c", task="c", verdict="inconclusive")
    text = summary([LOST, order, back, price])
    assert "s ends better with c>s than with s>c: +13.0 points (95 % CI +8.0 to +18.0)." in text
    assert "s>c>s@5% brings back 64 % (95 % CI 48 to 82 %) of the loss of s." in text
    assert "Its price in c: +3.0 points (95 % CI -1.0 to +7.0), inconclusive." in text


def test_a_gain_is_told_with_its_own_sign_and_a_recovery_that_is_not_shown_as_such() -> None:
    gained = row("forgetting", -0.05, -0.08, -0.02, verdict="gained")
    assert "s>c is better at s than s: +5.0 points (95 % CI +2.0 to +8.0)" in summary([gained])
    back = row("recovery", 0.36, -0.05, 0.63, chain="s>c>s@5%", reference="s>c")
    text = summary([LOST, back])
    assert "No recovery of s is shown for s>c>s@5%: 36 % (95 % CI -5 to 63 %)." in text
    alone = row("recovery", 0.95, chain="s>c>s@5%", reference="s>c", reason="too few changes")
    assert "No recovery of s is shown for s>c>s@5%: 95 % (too few changes)." in summary([LOST, alone])


def test_groups_that_are_not_named_are_counted_on_their_side_and_reasons_are_not_mixed_up() -> None:
    values = [0.3] * 5 + [-0.2, 0.1]
    shown = {f"g{n}": Estimate(v, v - 0.05, v + 0.05, 0.0, p_adjusted=0.001) for n, v in enumerate(values)}
    unknown = {
        "x": Estimate(0.1, reason="too few clusters for an interval: 1"),
        "y": Estimate(0.1, reason="too few clusters for an interval: 5"),
    }
    text = " ".join(group_differences("faith", shown | unknown, {}, "the whole", level=0.95, unit="share"))
    assert "Of 2 others of faith 1 lost more and 1 lost less." in text
    assert "2 of faith cannot be judged: too few clusters for an interval." in text
    other = {"z": Estimate(0.0, reason="all examples changed alike")}
    text = " ".join(group_differences("faith", unknown | other, {}, "the whole", level=0.95, unit="share"))
    assert "2 for too few clusters for an interval; 1 for all examples changed alike." in text


def test_undefined_recovery_and_order_say_why() -> None:
    back = row("recovery", math.nan, reason="the loss is not shown to be above 0")
    order = row("order_effect", 0.1, reason="too few clusters for an interval: 3")
    text = summary([LOST, order, back])
    assert "is unknown: the loss is not shown to be above 0." in text
    assert "is unknown: too few clusters for an interval: 3." in text


def test_one_reason_is_told_once_for_all_mitigations_of_a_loss_with_what_they_regained() -> None:
    chains = {"s>c>s@5%": 0.01, "s>c>s@10%": 0.03, "s>c>s@25%": -0.02}
    rows = [LOST]
    for chain, value in chains.items():
        about: dict[str, Any] = {"chain": chain, "reference": "s>c"}
        rows += [row("recovery", math.nan, reason="no loss is shown", **about)]
        rows += [row("regained", value, value - 0.05, value + 0.05, **about)]
    text = summary(rows)
    assert text.count("no loss is shown") == 1
    assert "What share of its loss 3 mitigations of s after s>c bring back is unknown: no loss is shown." in text
    assert "Between -2.0 and +3.0 points were regained" in text
    assert "none is shown to have regained or lost anything." in text
    clear = row("regained", 0.09, 0.04, 0.14, chain="s>c>s@5%", reference="s>c")
    assert "s>c>s@5% regained +9.0 points (95 % CI +4.0 to +14.0)." in summary([clear, *rows])


def test_one_reason_is_told_once_for_all_recommendations() -> None:
    def choice(ladder: str, lack: str) -> Recommendation:
        reason = f"no dose tested reaches it; of the largest, 0.25: {lack}"
        return Recommendation("m", "", "s", "s>c", ladder, (), "", math.nan, 0.8, 0.02, reason)

    undefined = "its recovery is undefined: no loss is shown"
    assert recommendations([choice("replay", undefined), choice("rehearse", undefined)]) == [
        "No dose of replay and rehearse of s after s>c is recommended: recovery is undefined."
    ]
    unlike = [choice("replay", "its price is too high"), choice("rehearse", undefined)]
    assert recommendations(unlike) == [recommended(one) for one in unlike]


def test_rounding_is_told_once_where_variants_share_a_base() -> None:
    rows = [row("rounding", 0.1, 0.0, 0.2, variant=f"rate={rate}") for rate in (1, 2)]
    assert summary([LOST, *rows]).count("answers to s (at most") == 1


@pytest.mark.parametrize(
    ("units", "words"),
    [
        (
            {"": "more", "share": "more"},
            "the score before minus the score after, on the same examples, in percentage points",
        ),
        (
            {"characters": "less"},
            "the score after minus the score before, as less is better, on the same examples, in char",
        ),
        (
            {"share": "more", "nats": "less"},
            "(the other way round where less is better), on the same examples, in the unit of",
        ),
    ],
)
def test_forgetting_is_defined_in_the_units_and_directions_of_the_rows(units: dict[str, Any], words: str) -> None:
    rows = [replace(LOST, unit=unit, direction=direction) for unit, direction in units.items()]
    assert words in definition(rows)


def test_many_chains_are_counted_not_listed() -> None:
    many = [row("forgetting", 0.05, 0.01, 0.09, verdict="forgot", chain=f"s>{n}") for n in range(20)]
    assert "8 more are in the tables." in summary(many)


def compared_text(comparison: Comparison) -> str:
    return summary_of(Results.of([comparison]))


def compared(n: int, *, seed: int, lost: float, groups: Sequence[str] = "ab") -> str:
    rng = np.random.default_rng(seed)
    before = rng.random(n) < 0.8
    after = before & (rng.random(n) > lost)
    bears = {"faith": [groups[number % len(groups)] for number in range(n)]}
    pair = [synthetic.scores(part.tolist(), groups=bears, noise=k) for k, part in enumerate((before, after))]
    return compared_text(compare(*pair, by=["faith"], resamples=300))


def test_a_comparison_is_told_with_flips_verdict_groups_and_scope() -> None:
    text = compared(300, seed=1, lost=0.2)
    assert re.match(r"Of 300 examples of t \(300 clusters\), \d+ were right before and wrong after, 0 the other", text)
    one = compare(*(synthetic.scores([right, *[True] * 39]) for right in (True, False)), resamples=300)
    assert ", 1 was right before and wrong after, 0 the other way round: " in compared_text(one)
    assert "The later checkpoint forgot t: +" in text
    assert (
        "No difference is shown for the 2 groups of faith: with 150 examples in 150 clusters, as in the typical one"
        in text
    )
    head = text.partition(" No difference is shown for the 2 groups of faith")[0]
    assert head.endswith("This speaks about these two checkpoints, not about what their recipe does in general.")


def test_a_comparison_of_nothing_changed_is_kept_and_one_too_small_is_inconclusive() -> None:
    scores = synthetic.scores([True, True, True, False] * 20)
    assert "The later checkpoint kept t: +0.0 points" in compared_text(compare(scores, scores, resamples=300))
    other = synthetic.scores([True, True, False, False])
    text = compared_text(compare(synthetic.scores([True, False, True, False]), other, resamples=300))
    assert (
        "Whether the later checkpoint forgot t is inconclusive: +0.0 points (too few clusters for an interval: 4"
        in text
    )
    assert "These data are too few to show any change." in text


def test_what_examples_without_a_score_could_change_or_what_is_assumed_of_them_is_told() -> None:
    one, other = synthetic.scores([True] * 30), synthetic.scores([True] * 29 + [False] * 3)
    text = compared_text(compare(one, other, on_missing="intersect", resamples=300))
    assert "2 other examples lack a score: at their best and at their worst forgetting lies between " in text
    assert "detectable" not in text
    text = compared_text(compare(one, other, on_missing="drop", resamples=300))
    assert "2 examples that lack a score before or after are taken to be missing at random, which these data " in text


def test_no_detectable_difference_is_told_that_the_interval_reaches_beyond() -> None:
    clusters = [f"c{row % 120}" for row in range(960)]
    one, other = (synthetic.scores([True] * 960, clusters=clusters, noise=seed) for seed in (1, 2))
    comparison = compare(one, other, resamples=300)
    text = compared_text(comparison)
    assert "is inconclusive: +0.0 points (95 % CI -3.1 to +3.1)" in text
    assert comparison.overall.detectable_forgetting > comparison.overall.forgetting.high
    assert "80 % power takes one of 3 points." in text
    rows = tuple(
        replace(row, estimate=replace(row.estimate, value=0.02)) if row.metric == "detectable_forgetting" else row
        for row in comparison.rows
    )
    text = compared_text(replace(comparison, rows=rows))
    assert "Up to 3.1 points cannot be excluded." in text
    assert "detectable" not in text
    same = compared_text(compare(one, one, resamples=300))
    assert "Kept: both sides are one, so nothing is left to chance." in same
    assert "detectable" not in same


@pytest.mark.parametrize("seed", range(5))
def test_no_sentence_promises(seed: int) -> None:
    assert not PROMISES.search(compared(80, seed=seed, lost=0.1 * seed, groups="abcdefg"))
    assert not PROMISES.search(summary([LOST, *GROUPS]))
