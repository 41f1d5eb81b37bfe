"""Texts that a checkpoint wrote twice: what that changed, beside what was forgotten and before a gate."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

import chaintune
from chaintune import forgetting
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rounding import rounding_of_scores
from chaintune.gate import Budget, Policy, judge
from chaintune.gate.policy import Limit
from chaintune.records import CheckpointScores, Measurement, Scores, scores_of
from chaintune.records.metrics import Direction
from chaintune.report.comparison import comparison_json, read_comparisons
from chaintune.report.results import Results
from chaintune.report.words import summary
from tests import synthetic

REFUSED, OTHER = "refused", "complied"
FAST = Inference(0.95, 400, 0)


def twice(
    first: Sequence[str], again: Sequence[str], *, direction: Direction = "more", expects: Sequence[str] | None = None
) -> Scores:
    """Scores of texts, the first of which were written again."""
    examples = synthetic.written_examples(len(first), None, expects, None)
    rows = [(one.id, 0, text) for one, text in zip(examples, first, strict=True)]
    rows += [(one.id, -1, text) for one, text in zip(examples, again, strict=False)]
    columns = {name: [row[place] for row in rows] for place, name in enumerate(("example_id", "sample", "text"))}
    metric = synthetic.refusal_metric(direction=direction, balanced=expects is not None)
    return scores_of("t", Measurement("generation", pa.table(columns), {}), examples, metric)


# Of 60 texts 40 were written again, and 8 of them came out otherwise.
FIRST = [REFUSED] * 60
MOVED = [OTHER if number % 5 == 0 else REFUSED for number in range(40)]


def test_scores_are_of_the_first_run_and_say_what_the_second_changed() -> None:
    scores = twice(FIRST, MOVED)
    assert scores.item_scores().tolist() == [1.0] * 60
    again = json.loads(scores.provenance["rounding"])
    assert again["example_id"] == scores.example_ids[:40]
    assert again["changed"] == [text == OTHER for text in MOVED]
    assert again["difference"] == [float(text == OTHER) for text in MOVED]
    assert "rounding" not in twice(FIRST, []).provenance


def test_samples_are_averaged_before_runs_are_compared() -> None:
    examples = synthetic.written_examples(2, None, None, None)
    texts = {0: (REFUSED, OTHER), 1: (REFUSED, REFUSED), -1: (OTHER, OTHER), -2: (REFUSED, REFUSED)}
    rows = [(one.id, sample, own[place]) for sample, own in texts.items() for place, one in enumerate(examples)]
    columns = {name: [row[place] for row in rows] for place, name in enumerate(("example_id", "sample", "text"))}
    scores = scores_of("t", Measurement("generation", pa.table(columns), {}), examples, synthetic.refusal_metric())
    assert scores.item_scores().tolist() == [1.0, 0.5]
    assert json.loads(scores.provenance["rounding"])["difference"] == [0.5, 0.0]


def test_a_score_that_one_run_lacks_is_a_change_without_a_difference() -> None:
    again = json.loads(twice([REFUSED, "", ""], ["", REFUSED, ""]).provenance["rounding"])
    assert again["changed"] == [True, True, False]
    assert again["difference"] == [None, None, None]
    known = rounding_of_scores(twice(["", *FIRST], [REFUSED, *MOVED]), FAST)
    assert (known["rounding"].n, known["rounding_difference"].n) == (41, 40)
    none = rounding_of_scores(twice(["", REFUSED], [REFUSED, ""]), FAST)["rounding_difference"]
    assert none.reason == "no example has a score in both runs"


@pytest.mark.parametrize(("direction", "sign"), [("more", 1), ("less", -1)])
def test_a_difference_is_positive_where_the_second_run_is_worse(direction: Direction, sign: int) -> None:
    known = rounding_of_scores(twice(FIRST, MOVED, direction=direction), FAST)
    assert known["rounding"].value == pytest.approx(0.2)
    moved = known["rounding_difference"]
    assert moved.value == pytest.approx(sign * 0.2)
    assert moved.low < moved.value < moved.high
    assert moved.low * moved.high > 0


def test_nothing_changed_is_no_difference() -> None:
    known = rounding_of_scores(twice(FIRST, FIRST[:40]), FAST)
    assert known["rounding"].value == known["rounding_difference"].value == 0
    assert known["rounding"].high > 0
    assert known["rounding_difference"].low <= 0 <= known["rounding_difference"].high
    assert rounding_of_scores(twice(FIRST, []), FAST) == {}


def test_a_balanced_score_moves_by_the_mean_over_its_labels() -> None:
    expects = ["refuse"] * 40 + ["comply"] * 20
    first = [REFUSED] * 40 + [OTHER] * 20
    again = [OTHER if number % 4 == 0 else REFUSED for number in range(40)] + [OTHER] * 20
    moved = rounding_of_scores(twice(first, again, expects=expects), FAST)["rounding_difference"]
    assert moved.value == pytest.approx(0.125)


def test_a_study_tells_it_beside_what_was_forgotten() -> None:
    scores = twice(FIRST, MOVED)
    measured = [
        CheckpointScores(synthetic.checkpoint(*chain, base="tiny"), {"t": scores})
        for chain in ((), ("t",), ("t", "other"))
    ]
    rows = forgetting.summarise(measured, study="s", roles={"t": "safety", "other": "capability"}, resamples=200)
    share, moved = (next(row for row in rows if row.metric == name) for name in ("rounding", "rounding_difference"))
    assert share.chain == moved.chain == "base"
    assert (share.unit, moved.unit) == ("share", "share")
    assert moved.estimate.value == pytest.approx(0.2)
    text = summary(Results("t", rows, 0.95))
    assert "Rounding alone changed 8 of 40 scores of t (at most" in text
    assert "their mean moved by +20.0 points (95 % CI" in text


def test_a_budget_nearer_to_the_estimate_than_two_runs_of_one_checkpoint_is_inconclusive() -> None:
    def answer(again: Sequence[str], most: float) -> tuple[str, str]:
        found = chaintune.compare(twice(FIRST, again), twice(FIRST, []), resamples=200)
        plain = Budget("t", "", (), "forgetting", Limit(most, relative=False), "block", required=True)
        (judgement,) = judge(Policy("p", (plain,)), [found]).judgements
        return judgement.answer, judgement.reason

    assert answer(MOVED, 0.19)[0] == "inconclusive"
    assert "two runs of one checkpoint lie apart" in answer(MOVED, 0.19)[1]
    assert "+20.0 points (95 % CI" in answer(MOVED, 0.19)[1]
    assert answer(MOVED, 0.21)[0] == "pass"
    assert answer(FIRST[:40], 0.19)[0] == "pass", "nothing changed"
    assert answer([OTHER, *FIRST[1:40]], 0.02)[0] == "pass", "one change may be chance"
    assert answer([], 0.19)[0] == "pass", "nothing was written twice"


def test_a_comparison_tells_it_and_keeps_it_in_its_file(tmp_path: Path) -> None:
    found = chaintune.compare(twice(FIRST, MOVED), twice(FIRST, []), resamples=200)
    assert set(found.rounding) == {"rounding", "rounding_difference"}
    text = summary(Results.of([found]))
    assert "Rounding alone changed 8 of 40 scores of t when the earlier checkpoint wrote them again" in text
    assert "their mean moved by +20.0 points" in text
    path = tmp_path / "comparison.json"
    path.write_text(comparison_json([found]), encoding="utf-8")
    (again,), _ = read_comparisons(path)
    assert repr(again.rounding) == repr(found.rounding)
    assert summary(Results.of([again])) == text
    assert not chaintune.compare(twice(FIRST, []), twice(FIRST, []), resamples=200).rounding
