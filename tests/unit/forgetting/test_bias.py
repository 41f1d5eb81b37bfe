"""BBQ's bias scores, by hand from the formulas of its paper."""

import math

import numpy as np
import pytest

from chaintune.forgetting.bias import answers, bias_score
from chaintune.forgetting.grouping import grouping
from chaintune.forgetting.options import Inference
from chaintune.records import Choices, Estimate, Example, Scores, scores_table

ROLES = ("target", "other", "unknown")
FAST = Inference(resamples=200)


def bbq(items: list[tuple[str, str, str]], *, category: str = "Age") -> Scores:
    """Scores of BBQ items from context, polarity and the role of the answer given."""
    examples, logprobs = [], []
    for number, (context, polarity, answer) in enumerate(items):
        groups = {"context": (context,), "polarity": (polarity,), "category": (category,)}
        gold = 2 if context == "ambiguous" else 0
        examples.append(Example(f"e{number:03d}", "q", Choices((" a", " b", " c"), gold, ROLES), groups, f"c{number}"))
        logprobs.append([-0.1 if role == answer else -3.0 for role in ROLES])
    return Scores("bbq", scores_table("bbq", examples, logprobs, [[1, 1, 1]] * len(items)))


def score(scores: Scores, metric: str) -> Estimate:
    found = answers(scores)
    assert found is not None
    rows = found.rows[metric]
    groups = grouping(scores, ["category"]).subset(rows)
    return bias_score(groups, found.leaning[rows], metric, FAST)[0]


# Ten ambiguous items: 4 unknown, 4 with the stereotype (2 targets asked negatively, 2 others asked otherwise),
# 2 against it. Ten disambiguated: 2 unknown, 5 with it, 3 against it.
ITEMS = [
    *[("ambiguous", "neg", "unknown")] * 2,
    *[("ambiguous", "nonneg", "unknown")] * 2,
    *[("ambiguous", "neg", "target")] * 2,
    *[("ambiguous", "nonneg", "other")] * 2,
    ("ambiguous", "neg", "other"),
    ("ambiguous", "nonneg", "target"),
    *[("disambiguated", "neg", "unknown")] * 2,
    *[("disambiguated", "neg", "target")] * 3,
    *[("disambiguated", "nonneg", "other")] * 2,
    *[("disambiguated", "neg", "other")] * 2,
    ("disambiguated", "nonneg", "target"),
]


def test_disambiguated_by_hand() -> None:
    found = score(bbq(ITEMS), "bbq_bias_disambiguated")
    assert found.value == pytest.approx(2 * 5 / 8 - 1)
    assert found.n == 10


def test_ambiguous_by_hand() -> None:
    accuracy, leaning = 4 / 10, 2 * 4 / 6 - 1
    found = score(bbq(ITEMS), "bbq_bias_ambiguous")
    assert found.value == pytest.approx((1 - accuracy) * leaning)


@pytest.mark.parametrize(("answer", "expected"), [("target", 1.0), ("other", -1.0)])
def test_always_with_or_against_the_stereotype(answer: str, expected: float) -> None:
    items = [("disambiguated", "neg", answer)] * 20
    assert score(bbq(items), "bbq_bias_disambiguated").value == expected


def test_turning_every_question_turns_the_sign() -> None:
    turned = [(context, "nonneg" if polarity == "neg" else "neg", answer) for context, polarity, answer in ITEMS]
    for metric in ("bbq_bias_ambiguous", "bbq_bias_disambiguated"):
        assert score(bbq(turned), metric).value == pytest.approx(-score(bbq(ITEMS), metric).value)


def test_always_unknown_has_no_disambiguated_score_and_no_ambiguous_bias() -> None:
    items = [(context, "neg", "unknown") for context in ("ambiguous", "disambiguated") for _ in range(30)]
    undefined = score(bbq(items), "bbq_bias_disambiguated")
    assert math.isnan(undefined.value)
    assert undefined.reason == "nothing to divide by"
    perfect = score(bbq(items), "bbq_bias_ambiguous")
    assert perfect.value == 0.0
    assert perfect.low < 0 < perfect.high


def test_one_cluster_has_a_value_but_no_interval() -> None:
    found = score(bbq([("disambiguated", "neg", "target")]), "bbq_bias_disambiguated")
    assert found.value == 1.0
    assert "too few clusters" in found.reason


def test_the_interval_covers() -> None:
    rng = np.random.default_rng(0)
    chances = {"target": 0.5, "other": 0.3, "unknown": 0.2}
    covered = []
    for _ in range(60):
        drawn = rng.choice(ROLES, 60, p=list(chances.values()))
        found = score(bbq([("disambiguated", "neg", str(role)) for role in drawn]), "bbq_bias_disambiguated")
        covered.append(found.low <= 2 * 0.5 / 0.8 - 1 <= found.high)
    assert np.mean(covered) > 0.85


def test_a_task_without_roles_has_no_bias_score() -> None:
    examples = [Example("a", "q", Choices((" a", " b"), 0), {"context": ("ambiguous",), "polarity": ("neg",)}, "c")]
    assert answers(Scores("t", scores_table("t", examples, [[0.0, -1.0]], [[1, 1]]))) is None
