"""Item scores in any unit: forgetting is positive where it got worse, and limits keep to the range."""

import math

import numpy as np
import pyarrow as pa
import pytest

from chaintune.errors import DataError
from chaintune.forgetting import compare, summarise
from chaintune.forgetting.units import Unit, complete
from chaintune.records import ChainStep, Checkpoint, CheckpointScores, Estimate, ItemMetric, Scores
from chaintune.records.scores import whole_table
from chaintune.report.page.flips import Step, examples_data
from chaintune.report.scored import scored_rows

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


def test_an_example_without_a_score_is_named_with_its_reason() -> None:
    with pytest.raises(DataError, match=r"1 of 2 examples have no score, such as 'e001' \(the judge gave no answer\)"):
        complete(scores([1.0, None]))


def test_levels_of_one_model_and_items_that_changed_are_in_the_unit() -> None:
    before, after = scores([1.0, 2.0, 3.0]), scores([1.0, 4.0, 2.0])
    assert scored_rows(before)[0].accuracy.value == pytest.approx(2)
    changed = examples_data([Step("x", before, after)], {})
    assert (changed["steps"][0]["forgot"], changed["steps"][0]["learned"]) == (1, 1)
    assert [flip["before"] for flip in changed["flips"] if flip["forgot"]] == [[2.0]]
