"""How a task is measured: which measures, which item metrics, and which of them decides."""

from dataclasses import replace
from pathlib import Path

import pytest

from chaintune.errors import ConfigError, DataError
from chaintune.records import Choices, ItemMetric, choice_measurement
from chaintune.scoring.backends import DEFAULT
from chaintune.scoring.measures import MEASURES, Measure
from chaintune.scoring.reading import (
    check_measurable,
    measures_of,
    metrics_of,
    read_scores,
    scores_key,
    with_second_lines,
)
from tests.dummy_engine import make_task

TASK = make_task("a")
LONG = ItemMetric("length", "brevity")
DEEP = ItemMetric("depth", "brevity")


@pytest.fixture(autouse=True)
def brevity(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second measure of choices."""
    choice = MEASURES.get("choice")
    brief = Measure("brevity", (Choices,), frozenset(), choice.record, choice.question, (LONG, DEEP))
    get = type(MEASURES).get
    monkeypatch.setattr(type(MEASURES), "get", lambda self, name: brief if name == "brevity" else get(self, name))


def names(usual: str = "", *, measures: tuple[str, ...] = (), metrics: tuple[str, ...] = ()) -> list[str]:
    return [metric.name for metric in metrics_of(replace(TASK, measures=measures, metrics=metrics), usual)]


def test_the_first_decides_and_each_measure_has_one() -> None:
    both = ("choice", "brevity")
    assert names() == ["accuracy"]
    assert names("accuracy_per_byte") == ["accuracy_per_byte"]
    assert names(metrics=("auto",)) == ["accuracy"]
    assert names(metrics=("accuracy_per_token", "accuracy")) == ["accuracy_per_token", "accuracy"]
    assert names(measures=both) == ["accuracy", "length"]
    assert names("accuracy_per_byte", measures=both) == ["accuracy_per_byte", "length"]
    assert names(measures=both[::-1]) == ["length", "accuracy"]
    assert names(measures=both, metrics=("depth", "accuracy")) == ["depth", "accuracy"]
    assert names(measures=both, metrics=("accuracy_per_byte",)) == ["accuracy_per_byte", "length"]
    assert names(measures=both, metrics=("auto", "accuracy")) == ["accuracy", "length"]
    assert [measure.name for measure in measures_of(replace(TASK, measures=both))] == list(both)


def test_scaled_margins_stand_behind_what_reads_choices_and_decide_nothing() -> None:
    plain = with_second_lines(metrics_of(TASK))
    assert [metric.name for metric in plain] == ["accuracy", "scaled_margin"]
    assert with_second_lines(plain) == plain
    assert with_second_lines(plain[:0]) == ()
    balanced = replace(plain[0], name="balanced_accuracy", average="balanced")
    assert with_second_lines([balanced])[1].average == "balanced"
    with pytest.raises(ConfigError, match="'scaled_margin' decides nothing"):
        metrics_of(replace(TASK, metrics=("scaled_margin", "accuracy")))


def test_a_metric_that_no_measure_has_is_told() -> None:
    with pytest.raises(
        ConfigError, match=r"metric 'lenght' of measure 'choice' and 'brevity': did you mean 'length'\?"
    ):
        check_measurable(replace(TASK, measures=("choice", "brevity"), metrics=("lenght",)), DEFAULT)


def test_scores_keep_their_key(tmp_path: Path) -> None:
    measurement = choice_measurement(TASK.test, [[-1.0, -2.0]] * 4, [[1, 1]] * 4)
    path = tmp_path / "measurement.parquet"
    measurement.write(path)
    second = metrics_of(replace(TASK, metrics=("accuracy", "accuracy_per_byte")))[1]
    scores = read_scores(path, TASK, metric=second, key="k")
    assert scores.metric.name == "accuracy_per_byte"
    assert scores.provenance["scores_key"] == scores_key("k", TASK.test, second)
    assert "scores_key" not in read_scores(path, TASK).provenance
    with pytest.raises(DataError, match="other examples"):
        read_scores(path, TASK, split="train")
