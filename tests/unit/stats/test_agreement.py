"""Agreement of two judges: bad input, by hand, another implementation, coverage, degenerate data, invariants."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintune.errors import DataError
from chaintune.stats.agreement import agreement

# 40 texts of two judges: both yes 20, yes and no 5, no and yes 5, both no 10.
FIRST = ["yes"] * 25 + ["no"] * 15
SECOND = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 5 + ["no"] * 10


def test_labels_that_are_not_one_a_text_are_refused() -> None:
    with pytest.raises(DataError, match="2 labels of one judge, 1 of the other"):
        agreement(["yes", "no"], ["yes"])
    with pytest.raises(DataError, match="clusters of 1 texts"):
        agreement(["yes"] * 2, ["yes"] * 2, clusters=["a"])


def test_values_by_hand() -> None:
    both = agreement(FIRST, SECOND)
    by_chance = 25 / 40 * 25 / 40 + 15 / 40 * 15 / 40
    assert both.share.value == pytest.approx(30 / 40)
    assert both.kappa.value == pytest.approx((30 / 40 - by_chance) / (1 - by_chance))
    assert both.counts == {("no", "no"): 10, ("no", "yes"): 5, ("yes", "no"): 5, ("yes", "yes"): 20}
    assert both.to_dict()["share"]["value"] == pytest.approx(0.75)
    assert both.kappa.low < both.kappa.value < both.kappa.high < 1


def test_kappas_error_is_that_of_another_implementation() -> None:
    kappa = agreement(FIRST * 10, SECOND * 10).kappa
    # statsmodels 0.15.0: inter_rater.cohens_kappa([[200, 50], [50, 100]]), kappa and std_kappa
    assert kappa.value == pytest.approx(0.4666666666666667)
    assert kappa.high - kappa.value == pytest.approx(1.9659 * 0.04563732498842111, rel=0.002)


def test_texts_of_one_cluster_count_once() -> None:
    alone = agreement(FIRST, SECOND)
    doubled = agreement(FIRST * 2, SECOND * 2, clusters=[*range(40), *range(40)])
    independent = agreement(FIRST * 2, SECOND * 2)
    for name in ("share", "kappa"):
        one, two, wrong = (getattr(each, name) for each in (alone, doubled, independent))
        assert (two.value, two.n_clusters, two.n) == (pytest.approx(one.value), 40, 80)
        assert two.high - two.low > 0.9 * (one.high - one.low) > wrong.high - wrong.low


def test_intervals_cover() -> None:
    rng, draws = np.random.default_rng(0), 300
    cells, held = np.array([0.45, 0.1, 0.05, 0.4]), np.zeros(2)
    by_chance = 0.55 * 0.5 + 0.45 * 0.5
    truth = np.array([0.85, (0.85 - by_chance) / (1 - by_chance)])
    for _ in range(draws):
        cell = rng.choice(4, 60, p=cells)
        both = agreement(np.array(["a", "b"])[cell // 2].tolist(), np.array(["a", "b"])[cell % 2].tolist())
        held += [one.low <= true <= one.high for one, true in zip((both.share, both.kappa), truth, strict=True)]
    assert (held / draws >= 0.93).all()


def test_degenerate_data_say_why() -> None:
    none = agreement([], [])
    assert (none.share.reason, none.kappa.reason, none.counts) == ("no texts", "no texts", {})
    one_label = agreement(["yes"] * 20, ["yes"] * 20)
    assert one_label.share.low > 0.8
    assert math.isnan(one_label.kappa.value)
    assert "one label to all texts" in one_label.kappa.reason
    assert one_label.to_dict()["kappa"]["value"] is None
    few = agreement([*FIRST[:3], "no"], [*SECOND[:3], "no"])
    assert few.kappa.value == 1
    assert math.isnan(few.kappa.low)
    assert "too few clusters" in few.kappa.reason


def test_judges_who_always_agree_are_not_certain_to() -> None:
    both = agreement(FIRST, FIRST)
    assert both.kappa.value == both.kappa.high == 1
    assert 0.7 < both.kappa.low < 0.95


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=8, max_size=30), st.randoms())
def test_neither_order_nor_names_nor_who_is_first_matter(
    labels: list[tuple[str, str]],
    order: random.Random,
) -> None:
    first, second = (list(one) for one in zip(*labels, strict=True))
    shuffled = order.sample(labels, len(labels))
    renamed = {"a": "z", "b": "y", "c": "x"}
    others = [
        agreement([a for a, _ in shuffled], [b for _, b in shuffled]),
        agreement([renamed[a] for a in first], [renamed[b] for b in second]),
        agreement(second, first),
    ]
    kappa = agreement(first, second).kappa
    for other in others:
        for end in ("value", "low", "high"):
            assert getattr(other.kappa, end) == pytest.approx(getattr(kappa, end), nan_ok=True)
