"""Two checkpoints on one task: bad input, numbers by hand, invariants, degenerate data."""

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.errors import ChaintuneError, ConfigError, DataError
from chaintune.forgetting import compare
from chaintune.forgetting.grouping import grouping
from chaintune.records import Comparison, GroupComparison, Scores
from chaintune.stats import Sample, detectable_biased, detectable_means
from tests import synthetic

FAST = 200


def faiths(n: int, names: str = "abcd") -> Mapping[str, list[str]]:
    return {"faith": [names[row % len(names)] for row in range(n)]}


def two(n: int = 80, *, seed: int = 0, lost: float = 0.2, **options: Any) -> tuple[Scores, Scores]:
    """Scores before and after, with some forgotten and some learned."""
    rng = np.random.default_rng(seed)
    before = rng.random(n) < 0.7
    after = np.where(before, rng.random(n) > lost, rng.random(n) < 0.15)
    settings_of = {"groups": faiths(n)} | options
    return synthetic.scores(before.tolist(), noise=1, **settings_of), synthetic.scores(
        after.tolist(), noise=2, **settings_of
    )


@cache
def found_of_two(n: int) -> Comparison:
    """What is found of `two` as they are."""
    return compare(*two(n), by=["faith"], resamples=FAST)


def row(comparison: Comparison, group: str) -> GroupComparison:
    return next(found for found in comparison.groups if found.group == group)


def test_numbers_by_hand() -> None:
    groups = {"faith": ["a", "a", "a", "b", "b", "b", "b", ["a", "b"]]}
    before = synthetic.scores([1, 1, 1, 0, 1, 0, 1, 1], groups=groups)
    after = synthetic.scores([0, 0, 1, 1, 1, 0, 0, 1], groups=groups)
    found = compare(before, after, by=["faith"], resamples=FAST)
    assert [found.overall.before.value, found.overall.after.value] == [6 / 8, 4 / 8]
    assert (found.overall.forgot, found.overall.learned) == (3, 1)
    assert found.overall.forgetting.value == pytest.approx(2 / 8)
    assert found.overall.mcnemar_p == pytest.approx(2 * (1 + 4) / 16)
    a, b = row(found, "a"), row(found, "b")
    assert (a.forgetting.n, b.forgetting.n) == (4, 5)
    assert [a.forgetting.value, b.forgetting.value] == pytest.approx([2 / 4, 0.0])
    assert [a.biased_forgetting.value, b.biased_forgetting.value] == pytest.approx([1 / 4, -1 / 4])
    assert (a.forgot, a.learned, b.forgot, b.learned) == (2, 0, 1, 1)
    rest = compare(before, after, by=["faith"], reference="rest", resamples=FAST)
    assert row(rest, "a").biased_forgetting.value == pytest.approx(2 / 4 - 0 / 4)


def test_reads_from_top_to_bottom_as_a_table_and_as_plain_data() -> None:
    found = compare(*two(), by=["faith"], resamples=FAST)
    table = found.to_polars()
    assert table["group"].to_list() == ["", "a", "b", "c", "d"]
    assert table["forgetting"].to_list()[0] == found.overall.forgetting.value
    assert {"forgetting_low", "biased_forgetting_p_adjusted", "verdict", "forgot"} <= set(table.columns)
    assert list(found.to_pandas()["group"]) == table["group"].to_list()
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["overall"]["verdict"] == found.overall.verdict


def test_the_same_scores_forget_nothing_and_keep_everything() -> None:
    before, _ = two(800)
    found = compare(before, before, by=["faith"], resamples=FAST)
    for each in (found.overall, *found.groups):
        assert (each.forgetting.value, each.forgetting.low, each.forgetting.high) == (0.0, 0.0, 0.0)
        assert each.verdict == "kept"
    assert all(each.biased_forgetting.value == 0.0 for each in found.groups)


@pytest.mark.parametrize(("n", "verdict"), [(40, "inconclusive"), (400, "kept")])
def test_no_flip_under_other_scores_is_kept_only_where_there_are_enough_examples(n: int, verdict: str) -> None:
    before, after = (synthetic.scores([True] * n, noise=seed) for seed in (1, 2))
    found = compare(before, after, resamples=FAST).overall
    assert found.forgetting.value == 0.0
    assert found.verdict == verdict
    assert found.forgetting.high > 0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abc")), min_size=8, max_size=40))
def test_swapping_before_and_after_turns_every_sign(examples: list[tuple[bool, bool, str]]) -> None:
    groups = {"faith": [faith for *_, faith in examples]}
    before = synthetic.scores([one for one, *_ in examples], groups=groups, noise=1)
    after = synthetic.scores([other for _, other, _ in examples], groups=groups, noise=2)
    there, back = (compare(*pair, by=["faith"], resamples=FAST) for pair in ((before, after), (after, before)))
    for one, other in zip((there.overall, *there.groups), (back.overall, *back.groups), strict=True):
        assert _same(other.forgetting.value, -one.forgetting.value)
        assert _same(other.forgetting.low, -one.forgetting.high)
        assert _same(other.biased_forgetting.value, -one.biased_forgetting.value)
        assert _same(other.biased_forgetting.low, -one.biased_forgetting.high)
        assert (other.forgot, other.learned) == (one.learned, one.forgot)
        # What is not above chance before can be lost one way only.
        if not one.verdict_reason and not other.verdict_reason:
            assert (one.verdict == "forgot") == (other.verdict == "gained")
            assert (one.verdict == "gained") == (other.verdict == "forgot")


@settings(max_examples=25, deadline=None)
@given(st.permutations(list(range(40))))
def test_the_order_of_the_rows_does_not_matter(order: list[int]) -> None:
    before, after = two(40)
    shuffled = Scores("t", before.table.take(pa.array(order)))
    assert compare(shuffled, after, by=["faith"], resamples=FAST).to_dict() == found_of_two(40).to_dict()


@settings(max_examples=10, deadline=None)
@given(st.permutations("wxyz"))
def test_renaming_groups_changes_nothing_but_names(names: list[str]) -> None:
    first = found_of_two(80)
    again = compare(*two(groups=faiths(80, "".join(names))), by=["faith"], resamples=FAST)
    for old, new in zip("abcd", names, strict=True):
        one, other = row(first, old), row(again, new)
        assert one.forgetting.value == other.forgetting.value
        assert one.forgetting.low == pytest.approx(other.forgetting.low, nan_ok=True)
        assert one.biased_forgetting.p_value == pytest.approx(other.biased_forgetting.p_value)
        assert one.verdict == other.verdict
    assert first.disparities[0].null_expectation == pytest.approx(again.disparities[0].null_expectation)


def test_a_group_that_is_the_whole_task_has_forgetting_but_no_bias() -> None:
    found = compare(*two(groups={"faith": ["a"] * 80}), by=["faith"], resamples=FAST)
    assert row(found, "a").forgetting.value == found.overall.forgetting.value
    assert math.isnan(row(found, "a").biased_forgetting.value)
    assert row(found, "a").biased_forgetting.reason == "the group is the whole task"
    assert found.disparities[0].estimate.reason.startswith("fewer than two groups")


def test_a_group_of_two_examples_is_inconclusive_with_a_reason() -> None:
    found = compare(*two(groups={"faith": ["a"] * 2 + ["b"] * 78}), by=["faith"], resamples=FAST)
    small = row(found, "a")
    assert (small.forgetting.n, small.verdict) == (2, "inconclusive")
    assert "too few clusters" in small.forgetting.reason
    assert "too few clusters" in small.biased_forgetting.reason
    assert math.isnan(small.detectable_forgetting)


@pytest.mark.parametrize(("right", "verdict"), [((1, 0), "forgot"), ((0, 1), "gained"), ((1, 1), "inconclusive")])
def test_all_right_and_all_wrong(right: tuple[int, int], verdict: str) -> None:
    before, after = (synthetic.scores([value] * 30, groups=faiths(30), noise=seed) for seed, value in enumerate(right))
    found = compare(before, after, by=["faith"], resamples=FAST)
    assert found.overall.forgetting.value == right[0] - right[1]
    assert found.overall.verdict == verdict
    assert all(each.biased_forgetting.value == 0.0 for each in found.groups)


@pytest.mark.parametrize("n", [1, 5])
def test_one_example_and_one_cluster_are_inconclusive(n: int) -> None:
    before, after = (synthetic.scores([value] * n, clusters=["c"] * n, noise=value) for value in (1, 0))
    found = compare(before, after, resamples=FAST).overall
    assert found.forgetting.value == 1.0
    assert found.verdict == "inconclusive"
    assert "too few clusters" in found.forgetting.reason


def test_intersections_are_groups_of_both_dimensions() -> None:
    n = 80
    groups = {"faith": ["a", "b"] * 40, "age": ["old"] * 40 + ["young"] * 40}
    found = compare(*two(n, groups=groups), intersections=[("faith", "age")], resamples=FAST)
    assert [each.group for each in found.groups] == ["a & old", "a & young", "b & old", "b & young"]
    assert {each.dimension for each in found.groups} == {"faith & age"}
    assert all(each.forgetting.n == 20 for each in found.groups)


def test_p_values_are_corrected_within_a_dimension_only() -> None:
    groups = dict(faiths(80)) | {"half": ["x", "y"] * 40}
    found = compare(*two(groups=groups), by=["faith", "half"], resamples=FAST)
    alone = compare(*two(groups=groups), by=["half"], resamples=FAST)
    assert row(found, "x").forgetting.p_adjusted == pytest.approx(row(alone, "x").forgetting.p_adjusted)
    assert math.isnan(found.overall.forgetting.p_adjusted)


def test_what_is_detectable_shares_the_error_rate_with_the_groups_that_are_tested() -> None:
    small = [f"s{number // 3}" for number in range(30)]
    pair = two(150, groups={"faith": ["a", "b"] * 60 + small})
    sample = Sample.of(grouping(pair[0], ["faith"]).design, pair[0].item_scores() - pair[1].item_scores())
    found = row(compare(*pair, by=["faith"], adjust="holm", resamples=FAST), "a")
    assert found.detectable_forgetting == pytest.approx(detectable_means(sample, error_rate=0.05 / 2)[1])
    assert found.detectable_biased_forgetting == pytest.approx(detectable_biased(sample, error_rate=0.05 / 2)[1])
    stepwise = row(compare(*pair, by=["faith"], resamples=FAST), "a")
    assert detectable_means(sample, error_rate=0.05)[1] <= stepwise.detectable_forgetting < found.detectable_forgetting


@pytest.mark.parametrize("adjust", ["holm", "bh"])
def test_corrected_p_values_are_no_smaller(adjust: Any) -> None:
    found = compare(*two(), by=["faith"], adjust=adjust, resamples=FAST)
    assert all(each.forgetting.p_adjusted >= each.forgetting.p_value - 1e-12 for each in found.groups)


def test_kept_needs_an_upper_end_below_the_margin_not_a_large_p() -> None:
    pair = two(60, lost=0.1)
    strict, lax = (compare(*pair, margin=margin, resamples=FAST).overall for margin in (0.02, 0.9))
    assert strict.forgetting.p_value > 0.05
    assert strict.verdict == "inconclusive"
    assert lax.verdict == "kept"


def test_same_seed_same_bits_and_other_seed_other_interval() -> None:
    pair = two(60)
    first, again, other = (compare(*pair, by=["faith"], resamples=FAST, seed=seed) for seed in (1, 1, 2))
    assert first.to_dict() == again.to_dict()
    assert first.groups != other.groups


def test_missing_examples_are_named_and_refused() -> None:
    before, after = two(20)
    with pytest.raises(DataError, match=r"2 only before \('e0018', 'e0019'\)"):
        compare(before, Scores("t", after.table.slice(0, 18)))


def test_missing_examples_are_left_out_on_request_and_counted() -> None:
    before, after = two(20)
    found = compare(before, Scores("t", after.table.slice(0, 18)), by=["faith"], on_missing="intersect", resamples=FAST)
    assert (found.n_left_out, found.overall.forgetting.n) == (2, 18)
    cut = [Scores("t", scores.table.slice(0, 18)) for scores in (before, after)]
    complete = compare(*cut, by=["faith"], resamples=FAST)
    assert complete.to_dict()["groups"] == found.to_dict()["groups"]


def test_nothing_in_common_is_refused() -> None:
    before, _ = two(20)
    other = synthetic.scores([True] * 20, ids=[f"x{number}" for number in range(20)])
    with pytest.raises(DataError, match="no example in common"):
        compare(before, other, on_missing="intersect")


def test_other_tasks_gold_answers_clusters_and_groups_are_refused() -> None:
    before, after = two(20)
    gold = after.table.column("gold").to_pylist()
    gold[3] = 1
    changed = after.table.set_column(4, "gold", pa.array(gold, pa.int32()))
    for other, message in [
        (Scores("u", after.table), "task 't', after of 'u'"),
        (Scores("t", changed), r"gold differs .* in 1 example \('e0003'\)"),
        (two(20, clusters=["c"] * 20)[1], "cluster differs"),
        (two(20, groups={"age": ["old"] * 20})[1], "dimension 'age'"),
        (two(20, groups=faiths(20, "abce"))[1], "groups of 'faith' differ between before and after: d, e"),
        (two(20, groups=faiths(20, "badc"))[1], "groups of 'faith' differ in 20 examples"),
    ]:
        with pytest.raises(DataError, match=message):
            compare(before, other, by=["faith"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"by": ["fath"]}, "did you mean 'faith'"),
        ({"intersections": [("faith", "age")]}, "no dimension 'age'"),
        ({"level": 1.0}, "level 1.0"),
        ({"level": 95}, "level 95"),
        ({"resamples": 10}, "resamples 10"),
        ({"margin": 2}, "margin 2"),
        ({"adjust": "bonferroni"}, "valid: bh, minp, holm"),
        ({"reference": "all"}, "Valid: overall, rest"),
        ({"metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"on_missing": "ignore"}, "valid: intersect, error"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_by_name(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compare(*two(20), **option)
    assert isinstance(caught.value, ChaintuneError)


def test_groups_survive_slices_nulls_and_repeats() -> None:
    groups = {"faith": [["a", "a"], [], ["b"]] * 10}
    before, after = (synthetic.scores([True, False, True] * 10, groups=groups, noise=seed) for seed in (1, 2))
    cut = [Scores("t", scores.table.slice(3, 24)) for scores in (before, after)]
    found = compare(*cut, by=["faith"], resamples=FAST)
    assert [(each.group, each.forgetting.n) for each in found.groups] == [("a", 8), ("b", 8)]


def _same(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or one == pytest.approx(other, abs=1e-9)
