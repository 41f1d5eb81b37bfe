"""What cannot be done cannot be forgotten: chance, answers by rote, and checkpoints that say nothing."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from chaintune import records
from chaintune.forgetting import compare, summarise
from chaintune.forgetting.chance import answers_of
from chaintune.forgetting.grouping import grouping
from chaintune.records import (
    Answers,
    CheckpointScores,
    Choices,
    Example,
    GroupComparison,
    ItemMetric,
    MitigationRef,
    Scores,
    items_table,
    plain_scores,
    scores_table,
)
from tests import synthetic

FAST = 200
N = 280
# 75 % of the examples are hateful, five in each cluster.
HATEFUL = [row % 4 != 0 for row in range(N)]
GOLD = ["hateful" if hateful else "fine" for hateful in HATEFUL]


def labelled(
    answers: Sequence[str | None],
    gold: Sequence[str] = GOLD,
    *,
    metric: ItemMetric | None = None,
    outcomes: Sequence[str | None] | None = None,
    groups: Sequence[str] | None = None,
) -> Scores:
    """Scores of a labelling task as a log tells them: the label and the answer of each example."""
    ids = [f"i{row:03d}" for row in range(len(gold))]
    borne = [{"target": (name,)} for name in groups] if groups else [{} for _ in gold]
    right = [float(one == other) for one, other in zip(answers, gold, strict=True)]
    scores = plain_scores("t", items_table(ids, right, borne, [f"c{row // 5:02d}" for row in range(len(gold))]))
    table = scores.table
    for name, values in {"label": gold, "answer": answers, "outcome": outcomes or [None] * len(gold)}.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.string()))
    known = records.items.labelled(replace(scores, table=table), balanced=False)
    return replace(known, metric=metric or scores.metric)


def skilled(share: float, *, seed: int = 0) -> list[str]:
    """Answers that are right for about so many examples of either label."""
    rng = np.random.default_rng(seed)
    other = {"hateful": "fine", "fine": "hateful"}
    return [gold if rng.random() < share else other[gold] for gold in GOLD]


def whole(before: Scores, after: Scores, **options: Any) -> GroupComparison:
    return compare(before, after, resamples=FAST, **options).overall


def test_a_base_that_says_one_label_to_all_cannot_lose_it() -> None:
    after = ["hateful"] * (N - 1) + ["fine"]
    found = whole(labelled(["hateful"] * N), labelled(after))
    assert found.verdict == "inconclusive"
    assert found.verdict_reason == (
        "before scores 75.0 % (95 % CI 69.4 to 80.0 %), which is not shown to be above chance, 75.0 %; it answers "
        "'hateful' to 280 of 280 (gold: 75 %); what a model cannot do, it cannot forget"
    )
    assert found.answers_before == Answers(0.75, "hateful", 0.75, "hateful", 1.0, 0.75, N)
    assert found.answers_after.answer_share == pytest.approx(279 / 280)


# The matrix: what is before, what is after, what may be said.
@pytest.mark.parametrize(
    ("before", "after", "verdict", "reason"),
    [
        (0.95, 0.95, "kept", ""),
        (0.95, 0.75, "forgot", ""),
        (0.76, 0.95, "gained", "chance"),
        (0.76, 0.76, "inconclusive", "chance"),
        (0.76, 0.55, "inconclusive", "chance"),
        (0.5, 0.5, "inconclusive", "chance"),
        (0.5, 0.95, "gained", "chance"),
        (0.3, 0.1, "inconclusive", "chance"),
    ],
)
def test_no_verdict_claims_a_loss_or_none_of_what_is_not_above_chance(
    before: float, after: float, verdict: str, reason: str
) -> None:
    sides = [labelled(skilled(share, seed=0)) for share in (before, after)]
    found = whole(*sides, margin=0.15)
    assert found.verdict == verdict
    assert reason in found.verdict_reason
    assert bool(found.verdict_reason) == bool(reason)


def test_one_file_with_itself_is_kept_only_where_it_is_above_chance() -> None:
    for share, verdict in ((0.95, "kept"), (0.76, "inconclusive")):
        side = labelled(skilled(share))
        assert whole(side, side, margin=0.15).verdict == verdict
    # Log-probabilities that are alike to the last bit leave nothing to chance but the score.
    few = synthetic.scores([True] * 4 + [False] * 4)
    assert whole(few, few).verdict == "inconclusive"
    none_right = synthetic.scores([row % 2 for row in range(400)])
    assert "above chance, 50.0 %" in whole(none_right, none_right).verdict_reason


def test_a_group_is_held_to_its_own_chance() -> None:
    groups = ["one label" if hateful else "other" for hateful in HATEFUL]
    side = labelled(["hateful" if hateful or row % 8 else "fine" for row, hateful in enumerate(HATEFUL)], groups=groups)
    found = {row.group: row for row in compare(side, side, by=["target"], resamples=FAST).groups}
    assert found["one label"].answers_before.chance == 1
    assert found["one label"].verdict == "inconclusive"
    assert [found[name].answers_before.gold_label for name in ("one label", "other")] == ["hateful", "fine"]


@pytest.mark.parametrize(
    ("metric", "chance"),
    [
        (ItemMetric("accuracy"), 0.75),
        (ItemMetric("balanced", average="balanced"), 0.5),
        (ItemMetric("toxicity", direction="less"), math.nan),
    ],
)
def test_chance_is_that_of_the_item_metric(metric: ItemMetric, chance: float) -> None:
    side = labelled(skilled(0.9), metric=metric)
    own = answers_of([side], grouping(side, []))[0]
    assert own.chance == pytest.approx(chance, nan_ok=True)
    assert (own.gold_label, own.gold_label_share) == ("hateful", 0.75)


def test_of_other_choices_chance_is_the_mean_of_one_over_their_number() -> None:
    examples = [
        Example(f"e{row}", "q", Choices(tuple(f" {row} {n}" for n in range(2 + row % 3)), row % 2), {}, f"c{row}")
        for row in range(30)
    ]
    logprobs = [[-float(n) for n in range(len(example.choices.texts))] for example in examples]
    table = scores_table("t", examples, logprobs, [[1] * len(row) for row in logprobs])
    own = answers_of([Scores("t", table)], grouping(Scores("t", table), []))[0]
    assert own.chance == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)
    assert (own.gold_label, own.gold_label_share) == ("choice 1", 0.5)
    assert (own.answer, own.answer_share, own.answer_gold_share) == ("choice 1", 1.0, 0.5)
    assert own.is_rote
    assert not replace(own, answer_gold_share=0.91).is_rote
    assert not replace(own, answer_share=0.95).is_rote


def test_where_nothing_is_known_of_chance_nothing_is_blocked() -> None:
    ids = [f"i{row}" for row in range(400)]
    plain = plain_scores("t", items_table(ids, [row % 4 == 0 for row in range(400)], [{}] * 400))
    found = whole(plain, plain)
    assert math.isnan(found.answers_before.chance)
    assert (found.verdict, found.verdict_reason) == ("kept", "")
    # Free texts are neither labels nor choices.
    free = labelled([f"text {row}" for row in range(N)], [f"text {row}" for row in range(N)])
    own = answers_of([free], grouping(free, []))[0]
    assert (math.isnan(own.chance), own.gold_label, own.answer, own.n_answers) == (True, "", "", N)


def tied(share: float, *, gold: int = 0, n: int = 400) -> Scores:
    """Scores of a model that holds both choices equally likely in so many examples, and is right in the others."""
    examples = [
        Example(f"e{row:04d}", "q", Choices((f" a{row}", f" b{row}"), gold), {}, f"e{row:04d}") for row in range(n)
    ]
    best = [-1.0, -2.0] if gold == 0 else [-2.0, -1.0]
    logprobs = [[-1.0, -1.0 + 5e-5] if row < share * n else best for row in range(n)]
    return Scores("t", scores_table("t", examples, logprobs, [[1, 1]] * n))


@pytest.mark.parametrize("gold", [0, 1])
@pytest.mark.parametrize(
    ("share", "verdict"), [(0.0, "kept"), (0.15, "kept"), (0.21, "inconclusive"), (1.0, "inconclusive")]
)
def test_ties_of_all_choices_are_counted_and_many_leave_no_verdict(gold: int, share: float, verdict: str) -> None:
    fine = tied(0.0, gold=gold)
    for before, after in ((tied(share, gold=gold), fine), (fine, tied(share, gold=gold))):
        found = whole(before, after, margin=1.0)
        assert {found.answers_before.ties, found.answers_after.ties} == {round(share * 400), 0}
        assert found.verdict == verdict
        assert ("equally likely in" in found.verdict_reason) == (verdict == "inconclusive")


def test_a_run_of_empty_answers_is_no_forgetting_and_no_gain() -> None:
    good, empty = labelled(skilled(0.95)), labelled([" "] * N)
    reasons = [whole(*pair) for pair in ((good, empty), (empty, good), (empty, empty))]
    assert [one.verdict for one in reasons] == ["inconclusive"] * 3
    assert reasons[0].verdict_reason == (
        "after gives an empty answer to 280 of 280, so the scores do not tell what was known"
    )
    assert reasons[2].verdict_reason.startswith("before gives an empty answer to 280 of 280; after gives")
    refused = labelled(["I cannot help with that"] * N, outcomes=["refusal"] * N)
    assert "declines to answer 280 of 280" in whole(good, refused).verdict_reason
    unanswered = labelled(["?"] * N, outcomes=["no_response"] * N)
    assert whole(good, unanswered).answers_after.empty_answers == N


def test_to_decline_is_an_answer_where_it_is_the_best_one() -> None:
    table = labelled(["no"] * N, ["no"] * N, outcomes=["refusal"] * N)
    assert answers_of([table], grouping(table, []))[0].refusals == 0


def study_rows(shares: Sequence[Sequence[float]], mitigated: float | None = None) -> list[Any]:
    """Rows of a chain of two tasks under several seeds; shares of right answers to the first at base, then, after."""
    rows = []
    for seed, own in enumerate(shares):
        for chain, share in zip(((), ("s",), ("s", "c")), own, strict=True):
            flags = [row < share * 400 for row in range(400)]
            scores = {"s": synthetic.scores(flags, task="s", noise=seed), "c": synthetic.scores(flags, task="c")}
            rows.append(CheckpointScores(synthetic.checkpoint(*chain, seed=seed), scores))
        if mitigated is not None:
            plain = synthetic.checkpoint("s", "c").chain
            held = MitigationRef("replay", "replay", "s", plain, ("c",), 0.05)
            flags = [row < mitigated * 400 for row in range(400)]
            scores = {"s": synthetic.scores(flags, task="s"), "c": synthetic.scores(flags, task="c")}
            rows.append(CheckpointScores(synthetic.checkpoint("s", "c", "s@5%", seed=seed), scores, (held,)))
    return summarise(rows, study="x", roles={"s": "safety", "c": "capability"}, resamples=FAST)


def test_a_study_says_the_same_for_each_seed_and_for_all_together() -> None:
    rows = study_rows([(0.5, 0.51, 0.3), (0.5, 0.9, 0.6), (0.5, 0.52, 0.51)])
    lost = {row.seed: row for row in rows if (row.metric, row.task) == ("forgetting", "s")}
    assert {seed: row.verdict for seed, row in lost.items()} == {
        "0": "inconclusive", "1": "forgot", "2": "inconclusive", "all": "inconclusive"
    }  # fmt: skip
    assert lost["0"].verdict_reason.startswith("s scores 51.0 % (95 % CI")
    assert "above chance" in lost["all"].verdict_reason
    levels = {(row.chain, row.seed): row.answers for row in rows if (row.metric, row.task) == ("accuracy", "s")}
    assert levels["s", "all"].n_answers == 1200
    assert {own.chance for own in levels.values()} == {0.5}


def test_what_was_at_chance_is_not_brought_back_and_no_price_of_it_is_kept() -> None:
    rows = study_rows([(0.5, 0.52, 0.4)], mitigated=0.6)
    recovery = next(row for row in rows if row.metric == "recovery" and row.seed == "0")
    assert math.isnan(recovery.estimate.value)
    assert "not shown to be above chance" in recovery.estimate.reason
    price = next(row for row in rows if row.metric == "price")
    assert price.verdict == "gained"
    assert "above chance" in price.verdict_reason


def test_refusals_asked_as_a_choice_that_one_answer_fits_all_pass_nothing() -> None:
    """As XSTest: 449 of 450 answers are the same before, and after nothing has changed that a choice could tell."""
    gold = ["refuse" if row < 200 else "comply" for row in range(450)]
    said = ["comply"] * 449 + ["refuse"]
    for metric in (ItemMetric("accuracy"), ItemMetric("balanced", average="balanced")):
        side = labelled(said, gold, metric=metric)
        found = whole(side, side)
        assert found.verdict == "inconclusive"
        assert "answers 'comply' to 449 of 450 (gold: 56 %)" in found.verdict_reason


def test_what_scores_below_chance_is_told_so() -> None:
    """As the base of BBQ: 24.8 % of answers right, where guessing gives 33 %."""
    examples = [
        Example(f"e{row:03d}", "q", Choices(tuple(f" {row} {n}" for n in range(3)), row % 3), {}, f"c{row}")
        for row in range(600)
    ]
    logprobs = [[-1.0 if n == (row % 3 + (row % 4 > 0)) % 3 else -2.0 for n in range(3)] for row in range(600)]
    side = Scores("t", scores_table("t", examples, logprobs, [[1] * 3] * 600))
    found = whole(side, side)
    assert found.before.value == 0.25
    assert found.verdict == "inconclusive"
    assert "not shown to be above chance, 33.3 %" in found.verdict_reason


@pytest.mark.parametrize("names", [("blue", "green"), ("green", "blue")])
def test_of_answers_that_are_equally_common_the_first_by_name_is_told(names: tuple[str, str]) -> None:
    golds = [names[row % 2] for row in range(N)]
    side = labelled(golds, golds)
    own = answers_of([side], grouping(side, []))[0]
    assert (own.gold_label, own.answer) == ("blue", "blue")
