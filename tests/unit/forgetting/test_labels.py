"""Labelling tasks from made-up scores to rows: what accuracy hides, whose loss it was, and what has no number."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from chaintune.cli.comparison import EXIT_CODES
from chaintune.execution.stage_data import _lost_by
from chaintune.forgetting import compare, summarise
from chaintune.gate import Budget, Policy, judge
from chaintune.gate.policy import Limit
from chaintune.records import (
    CHOICE_METRICS,
    CheckpointScores,
    Choices,
    Comparison,
    Example,
    Gate,
    MitigationRef,
    ResultRow,
    Role,
    Scores,
    choice_measurement,
    scores_of,
)
from chaintune.report.comparison import comparison_json, comparison_schema, read_comparisons
from chaintune.report.results import Results
from chaintune.report.tables import result_tables
from chaintune.report.words import summary
from tests import synthetic

FAST = 400
ROLES: Mapping[str, Role] = {"t": "safety", "c": "capability"}
MANY, FEW = 210, 70
TARGETS = [("women", "men", "both")[row % 3] for row in range(MANY + FEW)]


def answered(hateful: int, benign: int, *, metric: str = "balanced_accuracy", one_label: bool = False) -> Scores:
    """Scores where so many of 210 hateful and of 70 benign examples are called hateful.

    Args:
        hateful: of the hateful ones, spread over their clusters.
        benign: of the others.
        metric: item metric.
        one_label: put all benign examples into a group of their own.
    """
    targets = [name if row < MANY or not one_label else "none" for row, name in enumerate(TARGETS)]
    called = {"hateful": _spread(hateful, MANY), "not hateful": _spread(benign, FEW)}
    return synthetic.labelled(called, groups={"target": targets}, metric=metric)


def _spread(count: int, of: int) -> list[str]:
    order = np.random.default_rng(of).permutation(of)
    return ["hateful" if place < count else "not hateful" for place in order]


def rows(points: Mapping[tuple[str, ...], Scores], *, final: tuple[str, ...] = ()) -> list[ResultRow]:
    known = [
        CheckpointScores(synthetic.checkpoint(*chain), {"t": scores}, final=chain == final)
        for chain, scores in points.items()
    ]
    return summarise(known, study="made", roles=ROLES, resamples=FAST)


def find(found: list[ResultRow], metric: str, chain: str, dimension: str = "", group: str = "") -> ResultRow:
    (row,) = [
        row
        for row in found
        if row.deciding and (row.metric, row.chain, row.dimension, row.group) == (metric, chain, dimension, group)
    ]
    return row


@pytest.fixture(scope="module")
def total_loss() -> list[ResultRow]:
    """Base and last checkpoint call everything hateful; the one between has learned."""
    return rows({(): answered(210, 70), ("t",): answered(175, 34), ("t", "c"): answered(210, 69)})


def test_a_total_loss_shows_where_accuracy_hides_it(total_loss: list[ResultRow]) -> None:
    levels = [find(total_loss, "accuracy", chain).estimate for chain in ("base", "t", "t>c")]
    assert [one.value for one in levels] == pytest.approx([0.5, (175 / 210 + 36 / 70) / 2, (1 + 1 / 70) / 2])
    lost = find(total_loss, "forgetting", "t>c")
    assert (lost.verdict, lost.item_metric, lost.unit) == ("forgot", "balanced_accuracy", "share")
    assert lost.estimate.value == pytest.approx(levels[1].value - levels[2].value)
    assert 0 < lost.estimate.low < lost.estimate.value < lost.estimate.high
    assert find(total_loss, "gain", "t").estimate.low > 0
    hidden = rows({chain: answered(*numbers, metric="accuracy") for chain, numbers in {
        (): (210, 70), ("t",): (175, 34), ("t", "c"): (210, 69)}.items()})  # fmt: skip
    assert find(hidden, "forgetting", "t>c").verdict == "inconclusive"


def test_labels_are_a_dimension_with_verdicts() -> None:
    total_loss = rows({("t",): answered(175, 14), ("t", "c"): answered(210, 69)})
    recall = {group: find(total_loss, "forgetting", "t>c", "label", group) for group in ("hateful", "not hateful")}
    assert {group: row.verdict for group, row in recall.items()} == {"hateful": "gained", "not hateful": "forgot"}
    whole = find(total_loss, "forgetting", "t>c").estimate.value
    assert np.mean([row.estimate.value for row in recall.values()]) == pytest.approx(whole)
    bias = find(total_loss, "biased_forgetting", "t>c", "label", "not hateful").estimate
    assert bias.value == pytest.approx(recall["not hateful"].estimate.value - whole)
    assert bias.p_adjusted < 0.01


def test_rote_answers_before_are_no_forgetting() -> None:
    found = rows({("t",): answered(210, 70), ("t", "c"): answered(210, 69)})
    assert find(found, "accuracy", "t").estimate.value == 0.5
    assert find(found, "forgetting", "t>c").verdict != "forgot"


def gate(before: Scores, after: Scores, budget: float = 0.03) -> tuple[Comparison, Gate]:
    policy = Policy("p", (Budget("t", "", (), "forgetting", Limit(budget, relative=False), "block", required=True),))
    found = compare(before, after, resamples=FAST)
    return found, judge(policy, [found])


def test_refusals_that_answer_all_alike_neither_keep_nor_pass() -> None:
    """Like XSTest asked as a choice of two: 449 of 450 answers are one, before and after, while log-odds move."""
    answers = {"refuse": ["comply"] * 200, "comply": ["comply"] * 249 + ["refuse"]}
    rng = np.random.default_rng(0)
    before, after = (
        synthetic.labelled(answers, per_cluster=1, sure=np.abs(rng.normal(mean, 0.5, 450)).tolist())
        for mean in (2, 4.5)
    )
    found, judged = gate(before, after)
    assert found.overall.verdict == "inconclusive"
    assert "not shown to be above chance" in found.overall.verdict_reason
    assert (judged.answer, EXIT_CODES[judged.answer]) == ("inconclusive", 3)
    assert "'comply' to 449 of 450 (gold: 56 %)" in judged.judgements[0].reason
    same, again = gate(before, before)
    assert (same.overall.verdict, again.answer) == ("inconclusive", "inconclusive")


def test_below_guessing_neither_keeps_nor_passes() -> None:
    """Like BBQ of a small base: 24.8 % right of three choices."""
    rng = np.random.default_rng(1)
    examples = [Example(f"e{k}", "q", Choices((f" a{k}", f" b{k}", f" c{k}"), 0), {}, f"{k // 4}") for k in range(1000)]
    sides = []
    for _ in range(2):
        right = rng.permutation(1000) < 248
        logprobs = [[-1.0, -2.0, -3.0] if own else [-3.0, -1.0, -2.0] for own in right]
        measurement = choice_measurement(examples, logprobs, [[1] * 3] * 1000)
        sides.append(scores_of("t", measurement, examples, CHOICE_METRICS["accuracy"]))
    found, judged = gate(sides[0], sides[0], budget=0.2)
    assert (found.overall.verdict, judged.answer) == ("inconclusive", "inconclusive")
    assert "24.8 %" in found.overall.verdict_reason
    found, judged = gate(sides[0], sides[1], budget=0.2)
    assert (found.overall.verdict, judged.answer) == ("inconclusive", "inconclusive")


def test_a_threshold_that_moved_is_told_from_a_skill_that_is_gone(tmp_path: Path) -> None:
    """Log-odds of the same ranking, moved so far that every answer is the same."""
    rng = np.random.default_rng(2)
    labels = ["hateful"] * MANY + ["not hateful"] * FEW
    odds = np.where(np.array(labels) == "hateful", 1.0, -1.0) + rng.normal(size=MANY + FEW)

    def moved(by: float, noise: float = 0.0) -> Scores:
        own = odds + by + noise * rng.normal(size=len(odds))
        said = np.where(own > 0, "hateful", "not hateful").tolist()
        answers = {"hateful": said[:MANY], "not hateful": said[MANY:]}
        return synthetic.labelled(answers, sure=np.abs(own).tolist())

    found = compare(moved(0), moved(4, noise=0.1), resamples=FAST)
    assert found.overall.verdict == "forgot"
    (auc,) = found.auc
    assert auc.forgetting.low < 0 < auc.forgetting.high < 0.02
    assert auc.before.value - auc.after.value == pytest.approx(auc.forgetting.value)
    assert {(row.verdict, row.deciding) for row in found.further} == {("", False)}
    table = next(one for one in result_tables(Results.of([found])) if one.title.startswith("t: "))
    assert [line[0] for line in table.rows] == ["t", "t by AUC", "t by scaled_margin"]
    told = json.loads(comparison_json([found]))
    assert not list(Draft202012Validator(comparison_schema()).iter_errors(told))
    (tmp_path / "c.json").write_text(json.dumps(told), encoding="utf-8")
    (again,), _ = read_comparisons(tmp_path / "c.json")
    assert json.loads(comparison_json([again])) == told
    text = summary(Results.of([found]))
    assert "the threshold of the answer may have moved rather than the skill" in text
    gone = compare(moved(0), moved(4, noise=8.0), resamples=FAST)
    assert "(AUC) lost +" in summary(Results.of([gone]))
    assert "so it changed as well" in summary(Results.of([gone]))


def test_every_target_is_held_against_the_whole_over_the_same_labels() -> None:
    """All that changes is how labels are answered, alike in every group; only their mix differs."""
    before = answered(175, 34, one_label=True)
    after = answered(210, 69, one_label=True)
    found = compare(before, after, by=["target", "label"], resamples=FAST)
    assert found.overall.verdict == "forgot"
    by_group = {(one.dimension, one.group): one for one in found.groups}
    for group in ("women", "men", "both", "none"):
        one = by_group["target", group]
        assert math.isnan(one.forgetting.value)
        assert math.isnan(one.before.value)
        assert "too few clusters of a label, 6 are needed: " in one.forgetting.reason
        assert math.isnan(one.detectable_forgetting)
    for group in ("women", "men", "both"):
        bias = by_group["target", group].biased_forgetting
        assert bias.low <= 0 <= bias.high
        assert "without 'not hateful' (0 clusters)" in bias.method
    # The group that holds every example of a label cannot be held against others of that label.
    assert (
        "no label has 6 clusters in the group and as many outside it"
        in by_group["target", "none"].biased_forgetting.reason
    )
    assert not {one.group for one in compare(before, after, by=["target"], resamples=FAST).groups} - {
        "women",
        "men",
        "both",
        "none",
    }
    plain = compare(before, after, by=["target"], metric="accuracy", resamples=FAST)
    assert next(one for one in plain.groups if one.group == "none").biased_forgetting.p_adjusted < 0.01


def test_groups_are_sorted_by_what_is_known_of_their_loss() -> None:
    before, after = answered(175, 34, one_label=True), answered(210, 69, one_label=True)
    found = compare(before, after, by=["target"], resamples=FAST)
    table = next(one for one in result_tables(Results.of([found])) if one.title == "Who forgot t: target")
    bias = {one.group: one.biased_forgetting for one in found.groups}
    known = sorted((name for name, one in bias.items() if not math.isnan(one.low)), key=lambda name: -bias[name].value)
    assert [line[0] for line in table.rows] == [*known, "none"]
    assert {line[table.header.index("forgetting")] for line in table.rows} == {"undefined"}


def test_targeted_replay_reads_what_is_known_of_a_groups_loss() -> None:
    before, after = answered(175, 34, one_label=True), answered(210, 69, one_label=True)
    found = compare(before, after, by=["target"], resamples=100)
    lost = _lost_by(before, after, "target")
    whole = found.overall.forgetting.value
    assert lost == pytest.approx(
        {
            one.group: 0.0 if math.isnan(one.biased_forgetting.value) else whole + one.biased_forgetting.value
            for one in found.groups
        }
    )
    mixed = _lost_by(answered(175, 34), answered(210, 69), "target")
    assert mixed == pytest.approx({one.group: one.forgetting.value for one in compare(
        answered(175, 34), answered(210, 69), by=["target"], resamples=100).groups})  # fmt: skip


def test_a_crossing_with_labels_is_a_group_of_one_label() -> None:
    before, after = answered(175, 34), answered(210, 69)
    found = compare(before, after, intersections=[("target", "label")], resamples=FAST)
    one = next(one for one in found.groups if one.group == "women & not hateful")
    assert math.isnan(one.forgetting.value)
    assert one.biased_forgetting.n == sum(name == "women" for name in TARGETS[MANY:])


def test_one_label_leaves_everything_undefined_with_the_reason() -> None:
    scores = synthetic.labelled({"yes": ["yes"] * 60, "no": ["yes"] * 4}, per_cluster=1)
    found = compare(scores, scores, by=["label"], resamples=FAST)
    assert math.isnan(found.overall.forgetting.value)
    assert found.overall.verdict == "inconclusive"
    assert "fewer than two labels have the 6 clusters that an interval needs" in found.overall.forgetting.reason
    yes = next(one for one in found.groups if one.group == "yes")
    assert yes.before.value == 1
    assert math.isnan(yes.biased_forgetting.value)


def test_what_changed_alike_does_not_tell_what_could_be_shown() -> None:
    found = compare(answered(210, 70), answered(210, 70), by=["label"], resamples=FAST)
    limits = [row.estimate for row in found.rows if row.metric.startswith(("detectable", "power_"))]
    assert limits
    assert all(math.isnan(one.value) and "alike" in one.reason for one in limits)


def test_the_ranking_of_labels_has_one_row_whatever_stands_beside(total_loss: list[ResultRow]) -> None:
    keys = [(row.key, row.metric, row.seed, row.dimension, row.group) for row in total_loss if row.item_metric == "auc"]
    assert len(keys) == len(set(keys))


def test_recovery_order_and_retained_gain_are_balanced() -> None:
    points = {
        (): (210, 70), ("t",): (175, 34), ("t", "c"): (210, 69), ("c",): (205, 66), ("c", "t"): (180, 30),
        ("t", "c", "t@5%"): (180, 40),
    }  # fmt: skip
    level = {chain: (hateful / MANY + 1 - benign / FEW) / 2 for chain, (hateful, benign) in points.items()}
    back = MitigationRef("replay", "replay", "t", synthetic.chain("t", "c"), ("c",), 0.05)
    known = [
        CheckpointScores(
            synthetic.checkpoint(*chain), {"t": answered(*numbers)}, (back,) if chain[-1:] == ("t@5%",) else ()
        )
        for chain, numbers in points.items()
    ]
    found = summarise(known, study="made", roles=ROLES, resamples=FAST)
    effect = find(found, "order_effect", "c>t").estimate
    assert effect.value == pytest.approx(level["c", "t"] - level["t", "c"])
    assert effect.low > 0
    recovered = next(row for row in found if row.metric == "recovery").estimate
    lost = level["t",] - level["t", "c"]
    assert recovered.value == pytest.approx((level["t", "c", "t@5%"] - level["t", "c"]) / lost)
    assert recovered.low > 0
    retained = find(found, "retained_gain", "t>c").estimate
    assert retained.value == pytest.approx((level["t", "c"] - level[()]) / (level["t",] - level[()]))


def test_several_seeds_are_pooled() -> None:
    known = []
    for seed in range(3):
        for chain, numbers in {("t",): (175 + seed, 34), ("t", "c"): (210, 69 - seed)}.items():
            known.append(CheckpointScores(synthetic.checkpoint(*chain, seed=seed), {"t": answered(*numbers)}))
    found = [row for row in summarise(known, study="made", roles=ROLES, resamples=FAST) if row.seed == "all"]
    lost = find(found, "forgetting", "t>c")
    assert lost.verdict == "forgot"
    assert lost.estimate.n_seeds == 3
    ones = [(175 + seed) / MANY + 36 / FEW - 1 - (1 + seed) / FEW for seed in range(3)]
    assert lost.estimate.value == pytest.approx(np.mean(ones) / 2)


def test_numbers_of_plain_tasks_do_not_change() -> None:
    """A task without labels is averaged as ever, to the last bit."""
    before, after = (answered(*numbers, metric="accuracy") for numbers in ((175, 34), (210, 69)))
    bare = [
        synthetic.scores((side.item_scores() > 0).tolist(), clusters=side.clusters, ids=side.example_ids)
        for side in (before, after)
    ]
    one, other = compare(before, after, resamples=FAST), compare(*bare, resamples=FAST)
    assert one.overall.forgetting == other.overall.forgetting
