"""Examples without a score: what they could change enters verdict and gate, and never makes one of them pass."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chaintune
from chaintune.errors import DataError
from chaintune.forgetting import summarise
from chaintune.forgetting.bounds import Incomplete
from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.order import order_rows
from chaintune.forgetting.pairing import OnMissing
from chaintune.forgetting.runs import Runs
from chaintune.gate import Budget, Policy, judge
from chaintune.gate.policy import Limit
from chaintune.records import (
    BudgetStatistic,
    ChainStep,
    Checkpoint,
    CheckpointScores,
    Comparison,
    Role,
    Scores,
    items_table,
    plain_scores,
)
from chaintune.report.results import Results
from chaintune.report.words import summary
from tests import synthetic

FAST = 300
Score = float | None


def side(scores: Sequence[Score], *, groups: Sequence[str] = (), rows: Sequence[int] | None = None) -> Scores:
    """Scores of some rows; None has no score, and says why."""
    kept = range(len(scores)) if rows is None else rows
    borne = [{"faith": (groups[row],)} if groups else {} for row in kept]
    ids = [f"e{row:04d}" for row in kept]
    reasons = [None if scores[row] is not None else "the server did not answer" for row in kept]
    return plain_scores("t", items_table(ids, [scores[row] for row in kept], borne, None, reasons))


def compared(before: Scores, after: Scores, *, on_missing: OnMissing = "intersect", **options: Any) -> Comparison:
    by = ["faith"] if before.dimensions else []
    return chaintune.compare(before, after, by=by, on_missing=on_missing, resamples=FAST, **options)


def answer(found: Comparison, share: float = 0.02, statistic: BudgetStatistic = "forgetting", **changes: Any) -> str:
    limit = Limit(share, relative=changes.pop("relative", False), unit=found.unit)
    budget = Budget("t", changes.pop("by", ""), (), statistic, limit, "block", required=True)
    return judge(Policy("p", (budget,)), [found]).answer


RIGHT = [1.0] * 80 + [float(row % 10 < 7) for row in range(320)]


def test_eighty_missing_answers_that_were_right_before_neither_pass_nor_are_kept() -> None:
    found = compared(side(RIGHT), side(RIGHT, rows=range(80, 400)))
    assert (found.n_left_out, found.overall.forgetting.n, found.overall.forgetting.value) == (80, 320, 0.0)
    assert (found.overall.verdict, answer(found)) == ("inconclusive", "inconclusive")
    lower, upper = found.bounds_of("", "")
    assert (lower.value, upper.value, lower.n) == (0.0, 0.2, 400)
    assert answer(found, 0.3) == "pass"


def test_scores_that_a_table_says_are_missing_count_like_absent_rows() -> None:
    absent = compared(side(RIGHT), side(RIGHT, rows=range(80, 400)))
    null = compared(side(RIGHT), side([*[None] * 80, *RIGHT[80:]]), on_missing="error")
    assert null.n_left_out == 80
    assert null.bounds == absent.bounds
    assert null.overall.verdict == "inconclusive"


def test_dropping_is_what_is_assumed_and_the_result_says_so() -> None:
    found = compared(side(RIGHT), side(RIGHT, rows=range(80, 400)), on_missing="drop")
    assert (found.overall.verdict, found.bounds, found.on_missing) == ("kept", (), "drop")
    told = "80 examples that lack a score before or after are taken to be missing at random"
    assert found.assumption == told
    limit = Limit(0.02, relative=False)
    policy = Policy("p", (Budget("t", "", (), "forgetting", limit, "block", required=True),))
    (judgement,) = judge(policy, [found]).judgements
    assert (judgement.answer, told in judgement.reason) == ("pass", True)
    assert compared(side(RIGHT), side(RIGHT), on_missing="drop").assumption == ""


def test_a_loss_or_gain_that_no_missing_answer_can_undo_is_shown() -> None:
    wrong, right = [0.0] * 400, [1.0] * 400
    for before, after, verdict, word in ((right, wrong, "forgot", "fail"), (wrong, right, "gained", "pass")):
        found = compared(side(before), side(after, rows=range(80, 400)))
        assert (found.overall.verdict, answer(found, 0.1)) == (verdict, word)
    # All that is missing could undo a small one.
    some = [float(row % 10 != 9) for row in range(400)]
    assert compared(side([1.0] * 400), side(some)).overall.verdict == "forgot"
    small = compared(side([1.0] * 400, rows=range(80, 400)), side(some))
    assert (small.overall.verdict, small.bounds_of("", "")[0].value < 0) == ("inconclusive", True)


def test_a_group_that_lacks_answers_is_open_and_the_others_are_not() -> None:
    right = [1.0] * 1200
    groups = ["a", "b", "c"] * 400
    found = compared(side(right, groups=groups), side(right, groups=groups, rows=[r for r in range(1200) if r % 9]))
    assert {row.group: row.verdict for row in found.groups} == {"a": "inconclusive", "b": "kept", "c": "kept"}
    assert [one.upper.n for one in found.bounds] == [1200, 400, 400, 400]
    assert found.groups[0].forgetting.n < 400
    assert answer(found, by="faith") == "inconclusive"


GROUPS = ["a", "b"] * 300
MOST = [float(row % 10 < 8) for row in range(600)]


def unlike(after: Sequence[Score], missing: Sequence[int] = (), **options: Any) -> Comparison:
    """Two groups of 300 examples, of which some have no score after."""
    rows = sorted(set(range(600)).difference(missing))
    return compared(side(MOST, groups=GROUPS), side(after, groups=GROUPS, rows=rows), **options)


def test_differences_between_groups_pass_only_if_no_missing_answer_could_undo_it() -> None:
    found = unlike(MOST, range(0, 160, 2))  # 80 of a, 64 of which were right before
    assert {row.biased_forgetting.value for row in found.groups} == {0.0}
    for statistic in ("biased_forgetting", "disparity"):
        answers = [answer(found, share, statistic, by="faith") for share in (0.05, 0.9)]
        assert answers == ["inconclusive", "pass"], statistic
    assert answer(unlike(MOST), 0.5, "disparity", by="faith") == "pass"
    assert answer(found, 0.9, "biased_forgetting", by="faith", relative=True) == "inconclusive"
    (spread,) = found.disparities
    assert (spread.estimate.value, spread.estimate.low, spread.estimate.high) == pytest.approx((0.0, 0.0, 64 / 300))
    assert math.isnan(spread.estimate.p_value)


def test_a_group_is_said_to_have_lost_more_only_where_its_missing_answers_could_not_undo_it() -> None:
    lost = [0.0 if row % 2 == 0 and row < 240 else value for row, value in enumerate(MOST)]  # of a 96 of 300
    few, many = unlike(lost, range(0, 20, 2)), unlike(lost, range(0, 240, 2))
    assert [row.biased_forgetting.is_shown(0.95) for row in unlike(lost).groups] == [True, True]
    assert [row.biased_forgetting.is_shown(0.95) for row in few.groups] == [True, True]
    assert answer(few, 0.05, "biased_forgetting", by="faith") == "fail"
    # All that a lost is missing: the others of a lost nothing, and a may have lost 32 points, or gained 8.
    assert [row.biased_forgetting.is_shown(0.95) for row in many.groups] == [False, False]
    both = [(one.biased_lower.value, one.biased_upper.value) for one in many.bounds]
    assert both[1] == pytest.approx((-24 / 600, 96 / 600))
    text = summary(Results.of([many]))
    assert "No difference is shown for the 2 groups of faith that holds whatever the missing scores are" in text
    assert "of 100 such comparisons" not in text


def test_what_one_group_lacks_is_reckoned_with_in_another_that_lacks_nothing() -> None:
    found = unlike(MOST, range(0, 300, 2))
    lower, upper = found.bounds_of("faith", "b", "biased_forgetting")
    assert (lower.value, upper.value) == pytest.approx((-0.2, 0.05))
    one = next(row for row in found.groups if row.group == "b").biased_forgetting
    assert one.low <= lower.low < upper.high <= one.high
    assert "what lacks a score is at its best and at its worst" in one.method


def test_bounds_of_groups_lie_around_every_way_to_fill_in_what_is_missing() -> None:
    rng = np.random.default_rng(3)
    after: list[Score] = [1 - value if rng.random() < 0.2 else value for value in MOST]
    gone = rng.choice(600, 12, replace=False).tolist()
    bounds = {one.group: one for one in unlike(after, gone).bounds}
    for _ in range(6):
        filled = [float(rng.integers(2)) if row in gone else value for row, value in enumerate(after)]
        for row in unlike(filled).groups:
            known = bounds[row.group]
            assert known.biased_lower.value - 1e-9 <= row.biased_forgetting.value <= known.biased_upper.value + 1e-9


def test_groups_balanced_over_labels_have_bounds_too() -> None:
    groups = {"faith": ["a", "b"] * 200}
    before, after = (synthetic.labelled({"x": ["x"] * 280, "y": ["y"] * 120}, groups=groups) for _ in range(2))
    after = after.at(np.arange(400) >= 8)
    found = chaintune.compare(before, after, by=["faith"], on_missing="intersect", resamples=FAST)
    for one in found.groups:
        lower, upper = found.bounds_of("faith", one.group, "biased_forgetting")
        assert lower.value < 0 < upper.value
        assert (one.biased_forgetting.value, one.biased_forgetting.is_shown(0.95)) == (0.0, False)


def test_missing_answers_make_no_order_effect_shown() -> None:
    """Both orders are as often right; one is silent where the other alone is right."""
    ends: dict[tuple[str, str], list[Score]] = {("t", "c"): [1, 1, 0, 0] * 30, ("c", "t"): [1, None, 1, 0] * 30}
    made = [CheckpointScores(synthetic.checkpoint(*chain), {"t": side(scores)}) for chain, scores in ends.items()]
    rows = order_rows(Runs.of(made), {"t": "safety", "c": "capability"}, Inference(resamples=FAST), "trained")
    effect = next(row.estimate for row in rows if row.metric == "order_effect")
    assert effect.value == pytest.approx(1 / 3)
    assert (effect.low < 0, effect.p_value) == (True, 1)


def test_a_score_without_bounds_leaves_all_open_with_the_reason() -> None:
    rng = np.random.default_rng(0)
    groups = {"faith": ["a", "b"] * 100}
    before = rng.uniform(10, 11, 200).tolist()
    after = [None if row == 0 else value + 3 for row, value in enumerate(before)]
    found = compared(synthetic.lengths(before, groups), synthetic.lengths(after, groups))
    reason = "1 of 200 examples without a score, which in characters has no bounds"
    assert (found.overall.verdict, found.overall.verdict_reason) == ("inconclusive", reason)
    assert {row.group: row.verdict for row in found.groups} == {"a": "inconclusive", "b": "forgot"}
    assert answer(found, 0.1) == "inconclusive"
    assert answer(compared(synthetic.lengths(before[1:]), synthetic.lengths(after[1:])), 0.1) == "fail"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 0.5, None])] * 2), min_size=1, max_size=5))
def test_the_bounds_are_those_of_all_ways_to_fill_in_what_is_missing(pairs: list[tuple[Score, Score]]) -> None:
    design = synthetic.design(range(len(pairs)))
    sides = [np.array([[math.nan if v is None else v for v in column]]) for column in zip(*pairs, strict=True)]
    least, most = Incomplete(Grouping((("", ""),), design), *sides).extremes()
    ways = [
        [
            b - a
            for b in ((0.0, 1.0) if before is None else (before,))
            for a in ((0.0, 1.0) if after is None else (after,))
        ]
        for before, after in pairs
    ]
    means = [sum(way) for way in itertools.product(*ways)]
    assert (least.sum(), most.sum()) == pytest.approx((min(means), max(means)))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.05, 0.1]))
def test_more_missing_answers_never_turn_an_open_question_into_a_pass(seed: int, margin: float) -> None:
    rng = np.random.default_rng(seed)
    before = (rng.random(300) < 0.7).astype(float)
    flips = rng.random(300) < rng.choice([0.05, 0.2])
    after = np.where(flips, 1 - before, before)
    order = rng.permutation(300)
    answers = []
    for count in (0, 1, 5, 20, 80):
        gone = set(order[:count].tolist())
        lacking = [None if row in gone else value for row, value in enumerate(after.tolist())]
        found = compared(side(before.tolist()), side(lacking), margin=margin)
        answers.append(answer(found, margin))
        assert (answers[-1] == "pass") == (found.overall.verdict in ("kept", "gained"))
    passed = [one == "pass" for one in answers]
    assert passed == sorted(passed, reverse=True)


@pytest.mark.parametrize("missing", [0, 40])
def test_the_very_same_file_is_kept_without_inference_and_equal_answers_are_not(tmp_path: Path, missing: int) -> None:
    rows = [
        f"q{i},{int(i % 10 < 7) if i >= missing else ''},{i % 120},{'' if i >= missing else 'x'}" for i in range(960)
    ]
    one, other = (tmp_path / name for name in ("one.csv", "other.csv"))
    for path in (one, other):
        path.write_text("\n".join(["id,score,cluster,missing_reason", *rows]))
    options: dict[str, Any] = {"resamples": FAST, "cluster": "cluster"}
    same = chaintune.compare(one, tmp_path / "." / "one.csv", **options)
    assert (same.overall.verdict, same.overall.forgetting.low, same.overall.forgetting.high) == ("kept", 0.0, 0.0)
    equal = chaintune.compare(one, other, **options)
    assert (equal.overall.verdict, equal.overall.forgetting.value) == ("inconclusive", 0.0)
    assert equal.overall.forgetting.high > 0.02


def test_two_columns_of_one_file_are_two_sides(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    path.write_text("\n".join(["id,base,tuned", *(f"q{i},1,{int(i % 2)}" for i in range(200))]))
    found = chaintune.compare(f"{path}#base", f"{path}#tuned", resamples=FAST)
    assert (found.overall.verdict, found.overall.forgetting.value) == ("forgot", 0.5)
    again = chaintune.compare(f"{path}#tuned", f"{path}#tuned", resamples=FAST)
    assert again.overall.forgetting.high == 0.0


def test_without_the_option_missing_rows_are_refused() -> None:
    with pytest.raises(DataError, match=r"80 only before .*counts the others at their worst"):
        compared(side(RIGHT), side(RIGHT, rows=range(80, 400)), on_missing="error")


def at(*tasks: str, scores: Sequence[Score]) -> CheckpointScores:
    chain = tuple(ChainStep(task, (task,)) for task in tasks)
    return CheckpointScores(Checkpoint("m", chain, (), 0), {"t": side(scores)}, final=len(tasks) > 1)


def test_a_study_reckons_with_what_is_missing_under_either_checkpoint_or_another() -> None:
    lacking = [*[None] * 80, *RIGHT[80:]]
    roles: dict[str, Role] = {"t": "safety", "u": "capability"}
    words, ends = {}, {}
    for name, base, trained, end in (
        ("none", RIGHT, RIGHT, RIGHT), ("after", RIGHT, RIGHT, lacking), ("elsewhere", lacking, RIGHT, RIGHT)
    ):  # fmt: skip
        checkpoints = [at(scores=base), at("t", scores=trained), at("t", "u", scores=end)]
        rows = summarise(checkpoints, study="s", roles=roles, resamples=FAST)
        whole = {row.metric: row for row in rows if row.chain == "t>u" and row.is_whole}
        words[name] = whole["forgetting"].verdict
        ends[name] = [row.estimate.value for metric, row in whole.items() if metric.endswith("_bound")]
    assert words == {"none": "kept", "after": "inconclusive", "elsewhere": "kept"}
    assert ends == {"none": [], "after": [0.0, 0.2], "elsewhere": [0.0, 0.0]}
