"""Item scores in any unit: forgetting is positive where it got worse, and limits keep to the range."""

import math

import numpy as np
import pyarrow as pa
import pytest

from chaintune.errors import DataError
from chaintune.forgetting import compare, summarise
from chaintune.forgetting.units import Unit
from chaintune.records import (
    ChainStep,
    Checkpoint,
    CheckpointScores,
    Estimate,
    ItemMetric,
    MitigationRef,
    ResultRow,
    Role,
    Scores,
)
from chaintune.records.scores import whole_table
from chaintune.report.page import Step
from chaintune.report.page.flips import examples_data
from chaintune.report.scored import scored_rows
from tests import synthetic

LENGTH = ItemMetric("length", "text", "characters", (0.0, math.inf), "less")
TOXICITY = ItemMetric("toxicity", "text", direction="less")
COUNT = 60


def scores(values: list[float | None], metric: ItemMetric = LENGTH) -> Scores:
    names = [f"e{k:03d}" for k in range(len(values))]
    groups = [[("side", ["left" if k % 2 else "right"])] for k in range(len(values))]
    columns = {
        "task": ["t"] * len(values),
        "example_id": names,
        "cluster": names,
        "groups": pa.array(groups, pa.map_(pa.string(), pa.list_(pa.string()))),
        "score": pa.array(values, pa.float64()),
        "missing_reason": [None if value is not None else "the judge gave no answer" for value in values],
    }
    return Scores("t", whole_table(pa.table(columns)), {}, metric)


def lengths(mean: float, seed: int = 0) -> list[float | None]:
    return [float(value) for value in np.random.default_rng(seed).poisson(mean, COUNT)]


def test_values_and_statistics_go_in_and_out() -> None:
    bounded = Unit.of(ItemMetric("m", range=(2.0, 4.0)), [])
    assert (bounded.low, bounded.width) == (2.0, 2.0)
    assert bounded.inward(np.array([2.0, 3.0, 4.0])).tolist() == [0.0, 0.5, 1.0]
    assert bounded.difference(Estimate(0.5, 0.25, 1.0)).high == 2.0
    less = Unit.of(LENGTH, [np.array([1.0, 5.0]), np.array([3.0])])
    assert (less.low, less.width) == (0.0, 5.0)
    assert less.inward(np.array([0.0, 5.0])).tolist() == [1.0, 0.0]
    level = less.level(Estimate(0.75, 0.5, 1.0))
    assert (level.value, level.low, level.high) == (1.25, 0.0, 2.5)
    assert Unit.of(LENGTH, [np.zeros(3)]).width == 1.0


def test_limits_end_where_scores_do() -> None:
    share, stars = Unit.of(ItemMetric("m"), []), Unit.of(ItemMetric("m", range=(1.0, 5.0)), [])
    wide = Estimate(0.2, -1.599, 1.4)
    assert share.difference(wide) == Estimate(0.2, -1.0, 1.0)
    assert (stars.difference(wide).low, stars.difference(wide).high) == (-4.0, 4.0)
    assert share.level(Estimate(0.02, -0.1, 1.2)) == Estimate(0.02, 0.0, 1.0)
    # A group may lose what all others gain.
    assert share.difference(Estimate(-1.5, -1.8, -1.2)) == Estimate(-1.5, -1.5, -1.2)
    assert math.isnan(share.difference(Estimate(0.1)).low)
    # Nothing bounds a length.
    assert Unit.of(LENGTH, [np.array([0.0, 5.0])]).difference(wide).low == pytest.approx(-1.599 * 5)


def test_no_limit_of_few_and_unequal_clusters_leaves_the_range() -> None:
    rng = np.random.default_rng(0)
    for trial in range(20):
        sizes = rng.permutation([1, 1, 1, 2, 2, 30, 1, 1, 1, 40, 2, 2, 1, 1])
        clusters = [f"c{k}" for k, size in enumerate(sizes) for _ in range(size)]
        groups = {"faith": ["a" if k < 7 else "b" for k, size in enumerate(sizes) for _ in range(size)]}
        sides = [
            synthetic.scores((rng.random(len(clusters)) < 0.5).tolist(), groups=groups, clusters=clusters, noise=trial)
            for _ in range(2)
        ]
        found = compare(*sides, by=["faith"], reference="rest", resamples=100)
        for row in found.groups:
            for estimate in (row.forgetting, row.biased_forgetting, row.before, row.after):
                assert not abs(estimate.low) > 1
                assert not abs(estimate.high) > 1


def test_less_is_better_turns_forgetting_round_and_shows_what_was_measured() -> None:
    short, long = scores(lengths(3)), scores(lengths(9, seed=1))
    grown = long.item_scores() - short.item_scores()
    whole = compare(short, long, by=["side"], resamples=300).overall
    assert whole.forgetting.value == pytest.approx(grown.mean())
    assert 0 < whole.forgetting.low < grown.mean() < whole.forgetting.high
    assert whole.before.value == pytest.approx(short.item_scores().mean())
    assert whole.after.value == pytest.approx(long.item_scores().mean())
    assert whole.before.low < whole.before.value < whole.before.high
    assert whole.verdict == "forgot"
    assert (whole.forgot, whole.learned) == (int((grown > 0).sum()), int((grown < 0).sum()))
    assert compare(long, short, resamples=300).overall.verdict == "gained"


@pytest.mark.parametrize(("metric", "verdict"), [(LENGTH, "inconclusive"), (TOXICITY, "kept")])
def test_a_unit_without_a_margin_keeps_nothing(metric: ItemMetric, verdict: str) -> None:
    same: list[float | None] = [1.0, 0.0] * (5 * COUNT)
    assert compare(scores(same, metric), scores(same, metric), resamples=300).overall.verdict == verdict


def test_the_range_bounds_the_limits() -> None:
    stars = ItemMetric("m", unit="stars", range=(1.0, 5.0))
    values: list[float | None] = [*[5.0] * (COUNT - 1), 4.0]
    best: list[float | None] = [5.0] * COUNT
    row = compare(scores(values, stars), scores(best, stars), resamples=300).overall
    assert row.after.high == 5.0
    assert 1.0 <= row.before.low <= row.before.value <= row.before.high <= 5.0


def test_a_study_in_such_a_unit() -> None:
    def at(*steps: str, mean: float) -> CheckpointScores:
        chain = tuple(ChainStep(task, (task,)) for task in steps)
        return CheckpointScores(Checkpoint("m", chain, (), 0), {"t": scores(lengths(mean, seed=len(steps)))})

    checkpoints = [at(mean=9), at("t", mean=3), at("t", "u", mean=7)]
    rows = summarise(checkpoints, study="s", roles={"t": "safety", "u": "capability"}, resamples=300)
    values = {(row.metric, row.chain): row for row in rows if row.is_whole and row.task == "t"}
    assert values["forgetting", "t>u"].estimate.value == pytest.approx(4, abs=1)
    assert values["gain", "t"].estimate.value == pytest.approx(6, abs=1)
    assert values["accuracy", "base"].estimate.value == pytest.approx(9, abs=1)
    row = values["forgetting", "t>u"]
    assert (row.item_metric, row.unit, row.direction, row.verdict) == ("length", "characters", "less", "forgot")
    assert values["retained_gain", "t>u"].unit == "share"


def test_examples_without_a_score_are_left_out_and_counted() -> None:
    values = lengths(3)
    holes: list[float | None] = [None if k % 10 == 0 else value for k, value in enumerate(values)]
    before, after = scores(holes), scores([*lengths(9, seed=1)[:-1], None])
    found = compare(before, after, by=["side"], resamples=300)
    assert (found.n_left_out, found.overall.forgetting.n) == (7, COUNT - 7)
    kept = [k for k in range(COUNT - 1) if k % 10]
    grown = after.item_scores()[kept] - before.item_scores()[kept]
    assert found.overall.forgetting.value == pytest.approx(grown.mean())
    assert scored_rows(before)[0].estimate.n == COUNT - 6
    assert [row.group for row in found.groups] == ["left", "right"]
    with pytest.raises(DataError, match="none of 60 examples has a score before and after"):
        compare(before, scores([None] * COUNT))


def test_a_study_leaves_out_what_lacks_a_score_anywhere_and_says_where() -> None:
    def at(*steps: str, values: list[float | None]) -> CheckpointScores:
        chain = tuple(ChainStep(task, (task,)) for task in steps)
        return CheckpointScores(Checkpoint("m", chain, (), 0), {"t": scores(values)}, final=len(steps) > 1)

    holes: list[float | None] = [None, *lengths(3)[1:]]
    checkpoints = [at(values=lengths(9)), at("t", values=holes), at("t", "u", values=[*lengths(7)[:-1], None])]
    roles: dict[str, Role] = {"t": "safety", "u": "capability"}
    rows = summarise(checkpoints, study="s", roles=roles, resamples=300)
    missing = {row.chain: row.estimate.value for row in rows if row.metric == "missing"}
    assert missing == {"t": 1, "t>u": 1}
    assert {row.unit for row in rows if row.metric == "missing"} == {"examples"}
    assert {row.estimate.n for row in rows if row.is_whole and row.metric in ("accuracy", "forgetting")} == {COUNT - 2}
    nothing = [*checkpoints[:2], at("t", "u", values=[None] * COUNT)]
    assert [row.metric for row in summarise(nothing, study="s", roles=roles, resamples=300)] == ["missing", "missing"]


def test_less_is_better_in_every_statistic_of_a_study() -> None:
    """What is measured and its mirror image, of which more is better, say the same but for the levels."""

    def rows(metric: ItemMetric, turn: bool) -> list[ResultRow]:
        def at(*steps: str, better: float, seed: int, dose: float | None = None) -> CheckpointScores:
            chain = tuple(ChainStep(task, (task,) if task in "tu" else ()) for task in steps)
            rng = np.random.default_rng(7)
            values = [float(value) for value in (rng.random(COUNT) < better).astype(float)]
            turned: list[float | None] = [1 - value for value in values] if turn else [*values]
            both = {task: renamed(scores(turned, metric), task) for task in "tu"}
            mitigates = (MitigationRef("replay", "replay", "t", chain[:2], ("u",), dose),) if dose else ()
            variant = (("epochs", str(seed)),) if chain else ()
            return CheckpointScores(Checkpoint("m", chain, variant, 0), both, mitigates)

        checkpoints = [at(better=0.3, seed=0)]
        for seed in (1, 2):
            checkpoints += [
                at("t", better=0.9, seed=seed),
                at("u", better=0.4, seed=seed),
                at("t", "u", better=0.7 - 0.2 * seed, seed=seed),
                at("u", "t", better=0.8, seed=seed),
                at("t", "u", "t@5%", better=0.8, seed=seed, dose=0.05),
            ]
        roles: dict[str, Role] = {"t": "safety", "u": "capability"}
        return summarise(checkpoints, study="s", roles=roles, resamples=300)

    less, more = rows(TOXICITY, turn=True), rows(ItemMetric("kindness", "text"), turn=False)
    assert [row.metric for row in less] == [row.metric for row in more]
    assert {row.metric for row in less} >= {"order_effect", "recovery", "price", "forgetting_slope", "asymmetry", "bwt"}
    for one, other in zip(less, more, strict=True):
        assert (one.verdict, one.key) == (other.verdict, other.key)
        value = 1 - other.estimate.value if one.metric == "accuracy" else other.estimate.value
        assert one.estimate.value == pytest.approx(value, nan_ok=True), one


def renamed(one: Scores, task: str) -> Scores:
    return Scores(task, one.table.set_column(0, "task", pa.array([task] * len(one), pa.string())), {}, one.metric)


def test_levels_of_one_model_and_items_that_changed_are_in_the_unit() -> None:
    before, after = scores([1.0, 2.0, 3.0]), scores([1.0, 4.0, 2.0])
    assert scored_rows(before)[0].estimate.value == pytest.approx(2)
    changed = examples_data([Step("x", before, after)], {})
    assert (changed["steps"][0]["forgot"], changed["steps"][0]["learned"]) == (1, 1)
    assert [flip["before"] for flip in changed["flips"] if flip["forgot"]] == [[2.0]]
