"""Scores of a reference answer's likelihood, and of which of two answers is likelier."""

import math
from pathlib import Path

import pyarrow as pa
import pytest

from chaintune.errors import DataError
from chaintune.records import (
    LIKELIHOOD_METRICS,
    PREFERENCE_METRICS,
    Example,
    Measurement,
    Preference,
    Reference,
    Scores,
    likelihood_measurement,
    preference_measurement,
    scores_of,
)

LIKELIHOOD, PREFERENCE, DIFFERENCE = LIKELIHOOD_METRICS["likelihood"], *PREFERENCE_METRICS.values()


def references(count: int) -> list[Example]:
    return [Example(f"e{number}", "ask", Reference(f" {number}"), {}, f"e{number}") for number in range(count)]


def pairs(count: int) -> list[Example]:
    return [Example(f"e{number}", "ask", Preference(" yes", " no"), {}, f"e{number}") for number in range(count)]


def preferences(*logprobs: tuple[float, float]) -> Measurement:
    return preference_measurement(pairs(len(logprobs)), logprobs, [(2, 3)] * len(logprobs))


def test_a_likelihood_is_a_mean_over_the_tokens_of_each_answer() -> None:
    examples = references(3)
    measurement = likelihood_measurement(examples, [-6.0, -1.0, 1e-7], [3, 1, 2])
    scores = scores_of("t", measurement, examples, LIKELIHOOD)
    assert scores.item_scores().tolist() == [-2.0, -1.0, 0.0]
    assert scores.details == ("log_probability", "tokens")
    assert scores.table.column("tokens").to_pylist() == [3, 1, 2]
    assert set(scores.table.column("chance").to_pylist()) == {None}
    assert (scores.metric.unit, scores.metric.range, scores.metric.direction) == ("nats", (-math.inf, 0.0), "more")


def test_an_impossible_answer_has_no_likelihood() -> None:
    examples = references(2)
    scores = scores_of("t", likelihood_measurement(examples, [-math.inf, -1.0], [1, 1]), examples, LIKELIHOOD)
    assert scores.table.column("score").to_pylist() == [None, -1.0]
    assert "no probability at all" in scores.table.column("missing_reason")[0].as_py()


@pytest.mark.parametrize(
    ("logprobs", "score", "answer", "difference"),
    [
        ((-3.0, -4.0), 1.0, "chosen", 1.0),
        ((-4.0, -3.0), 0.0, "rejected", -1.0),
        ((-3.0, -3.00009), 0.5, None, 9e-5),
        ((-3.00009, -3.0), 0.5, None, -9e-5),
        ((-3.0, -3.0002), 1.0, "chosen", 2e-4),
        ((-math.inf, -3.0), 0.0, "rejected", None),
        ((-math.inf, -math.inf), 0.5, None, None),
    ],
)
def test_which_answer_is_likelier(
    logprobs: tuple[float, float], score: float, answer: str | None, difference: float | None
) -> None:
    of = scores_of("t", preferences(logprobs), pairs(1), PREFERENCE)
    (row,) = of.table.to_pylist()
    assert (row["score"], row["answer"], row["chance"]) == (score, answer, 0.5)
    assert row["outcome"] == ("no_preference" if answer is None else None)
    (beside,) = of.by("difference").table.to_pylist()
    assert (beside["score"], beside["chance"]) == (pytest.approx(difference), None)
    assert bool(beside["missing_reason"]) is (difference is None)


def test_either_metric_of_preferences_is_had_from_the_other() -> None:
    measurement = preferences((-3.0, -4.0), (-5.0, -3.0))
    own, beside = (scores_of("t", measurement, pairs(2), metric) for metric in (PREFERENCE, DIFFERENCE))
    assert own.metrics == ("preference", "difference")
    assert beside.metrics == ("difference", "preference")
    assert own.by("difference").table.equals(beside.table)
    assert beside.by("preference").table.equals(own.table)
    assert beside.by("preference").metric == PREFERENCE


def test_files_keep_the_unit_and_the_open_range(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    scores = scores_of("t", preferences((-3.0, -4.0)), pairs(1), DIFFERENCE)
    scores.write(path)
    read = Scores.read(path)
    assert read.metric == DIFFERENCE
    assert read.metric.range == (-math.inf, math.inf)
    assert read.table.equals(scores.table)
    path = tmp_path / "measurement.parquet"
    preferences((-3.0, -4.0)).write(path)
    assert Measurement.read(path).table.equals(preferences((-3.0, -4.0)).table)


def test_a_likelihood_above_certainty_is_no_score() -> None:
    examples = references(1)
    scores = scores_of("t", likelihood_measurement(examples, [-1.0], [1]), examples, LIKELIHOOD)
    table = scores.table.set_column(scores.table.column_names.index("score"), "score", pa.array([0.5]))
    with pytest.raises(DataError, match="'likelihood' goes from -inf to 0"):
        Scores("t", table, {}, LIKELIHOOD)
