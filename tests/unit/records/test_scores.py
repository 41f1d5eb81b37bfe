import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chaintune.errors import ConfigError, DataError
from chaintune.forgetting.bias import answers
from chaintune.forgetting.pairing import pair
from chaintune.records import (
    CHOICE_METRICS,
    SCORES_SCHEMA,
    Choices,
    Example,
    ItemMetric,
    Measurement,
    Scores,
    choice_measurement,
    items_table,
    plain_scores,
    scores_of,
)
from chaintune.records.choice import CHOICE_SCHEMA
from chaintune.records.examples import PAIR_ROLES
from chaintune.records.items import labelled
from chaintune.records.margins import SCALED_MARGIN

ROLES = ("target", "other", "unknown")
EXAMPLES = [
    Example("b", "q", Choices((" x", " yyyy", " zz"), 1, ROLES), {"owner": ("Ann",)}, "1", pair="p"),
    Example("a", "q", Choices((" x", " yy"), 0), {}, "2"),
]
LOGPROBS, TOKENS = [[-1.0, -1.5, -3.0], [-2.0, -1.0]], [[1, 2, 1], [1, 1]]
FIRST_EDITION = ["task", "example_id", "cluster", "groups", *CHOICE_SCHEMA.names]


def lengths(measurement: Measurement, examples: Sequence[Example]) -> Mapping[str, Any]:
    return {"score": [float(len(text)) if text else None for text in measurement.table.column("text").to_pylist()]}


LENGTH = ItemMetric("length", "text", "characters", (0.0, math.inf), "less", score=lengths)


def said(*rows: tuple[str, int, str]) -> Measurement:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return Measurement("text", pa.table(dict(zip(("example_id", "sample", "text"), columns, strict=True))))


def chosen(metric: str = "accuracy") -> Scores:
    measurement = choice_measurement(EXAMPLES, LOGPROBS, TOKENS, {"checkpoint": "c"})
    return scores_of("t", measurement, EXAMPLES, CHOICE_METRICS[metric], {"task_version": "1"})


def test_a_measurement_and_its_scores_by_hand() -> None:
    scores = chosen()
    assert scores.table.schema.names == [*FIRST_EDITION, *SCORES_SCHEMA.names[4:]]
    assert scores.example_ids == ["a", "b"]
    assert scores.item_scores().tolist() == [0.0, 0.0]
    assert scores.table["answer"].to_pylist() == ["1", "0"]
    assert scores.table["outcome"].to_pylist() == [None, "target"]
    assert scores.table["pair"].to_pylist() == [None, "p"]
    assert scores.table["chance"].to_pylist() == [1 / 2, 1 / 3]
    assert scores.provenance == {"checkpoint": "c", "task_version": "1"}


@pytest.mark.parametrize("metric", ["accuracy", "accuracy_per_token", "accuracy_per_byte"])
def test_another_metric_reads_the_same_measurement(metric: str) -> None:
    straight, again = chosen(metric), chosen().by(metric)
    assert straight.table.equals(again.table)
    assert straight.metric == again.metric == CHOICE_METRICS[metric]
    assert again.by("accuracy").table.equals(chosen().table)


def test_scores_and_measurement_survive_their_files(tmp_path: Path) -> None:
    for scores in (chosen("accuracy_per_byte"), scores_of("t", said(("a", 0, "x")), EXAMPLES[1:], LENGTH)):
        scores.write(tmp_path / "s.parquet")
        read = Scores.read(tmp_path / "s.parquet")
        assert (read.table, read.metric, read.provenance) == (scores.table, scores.metric, scores.provenance)
    measurement = choice_measurement(EXAMPLES, LOGPROBS, TOKENS, {"checkpoint": "c"})
    measurement.write(tmp_path / "m.parquet")
    again = Measurement.read(tmp_path / "m.parquet")
    assert (again.measure, again.table, again.provenance) == ("choice", measurement.table, measurement.provenance)
    with pytest.raises(DataError, match="not a measurement"):
        Measurement.read(tmp_path / "s.parquet")


def test_a_file_of_the_first_edition_is_read(tmp_path: Path) -> None:
    old = chosen().table.select(FIRST_EDITION)
    about = json.dumps({"checkpoint": "c", "task_version": "1"})
    pq.write_table(old.replace_schema_metadata({"chaintune": about}), tmp_path / "old.parquet")
    read = Scores.read(tmp_path / "old.parquet")
    assert read.table.select(FIRST_EDITION).equals(old)
    assert read.item_scores().tolist() == chosen().item_scores().tolist()
    assert read.metric.name == "accuracy"
    assert pair(read, chosen()).identical


def test_samples_are_averaged() -> None:
    rows = [("b", 1, "x" * 4), ("a", 0, "x"), ("b", 0, "xx")]
    scores = scores_of("t", said(*rows), EXAMPLES, LENGTH)
    assert scores.item_scores().tolist() == [1.0, 3.0]


def test_a_sample_without_a_score_is_left_out_of_the_mean() -> None:
    rows = [("a", 0, ""), ("a", 1, "xxx"), ("a", 2, "x"), ("b", 0, ""), ("b", 1, "")]
    scores = scores_of("t", said(*rows), EXAMPLES, replace(LENGTH, score=reasoned))
    assert scores.table["score"].to_pylist() == [2.0, None]
    assert scores.table["missing_reason"].to_pylist() == [None, "no text"]
    assert (scores.n_missing, scores.with_scores().example_ids) == (1, ["a"])


def reasoned(measurement: Measurement, examples: Sequence[Example]) -> Mapping[str, Any]:
    columns = lengths(measurement, examples)
    return {**columns, "missing_reason": ["no text" if score is None else None for score in columns["score"]]}


@pytest.mark.parametrize(
    ("texts", "roles", "chances"),
    [
        (((" A", " B"), (" A", " B")), (), [1 / 2, 1 / 2]),
        (((" x", " yy"), (" x", " yy", " zz")), (), [1 / 2, 1 / 3]),
        (((" They run.", " We run."), (" He sat.", " She sat.")), PAIR_ROLES, [None, None]),
    ],
)
def test_chance_without_labels(
    texts: Sequence[tuple[str, ...]], roles: tuple[str, ...], chances: Sequence[float | None]
) -> None:
    examples = [Example(str(k), "q", Choices(own, 0, roles), {}, str(k)) for k, own in enumerate(texts)]
    logprobs = [[-1.0] * len(own) for own in texts]
    measurement = choice_measurement(examples, logprobs, [[1] * len(own) for own in texts])
    for metric in (one for name, one in CHOICE_METRICS.items() if name != SCALED_MARGIN):
        scores = scores_of("t", measurement, examples, metric)
        assert scores.table["label"].to_pylist() == [None, None]
        assert scores.table["chance"].to_pylist() == chances
        assert "balanced_accuracy" not in scores.metrics or metric.average == "balanced"


# Gold label of each example, and the place of the choice that each prefers.
LABELLED = [("hateful", 0), ("hateful", 1), ("hateful", 0), ("fine", 0)]


def of_labels(metric: str, *, turned: bool = False) -> Scores:
    """Scores of a labelling task; every other example offers its choices the other way round if `turned`."""
    examples, logprobs = [], []
    for row, (label, preferred) in enumerate(LABELLED):
        texts = (" Fine ", " Hateful") if turned and row % 2 else (" hateful", " fine")
        gold = [text.strip().lower() for text in texts].index(label)
        examples.append(Example(str(row), "q", Choices(texts, gold), {"label": (label,)}, str(row)))
        logprobs.append([-1.0 if place == preferred else -2.0 for place in range(2)])
    measurement = choice_measurement(examples, logprobs, [[1, 1]] * len(examples))
    return scores_of("t", measurement, examples, CHOICE_METRICS[metric])


@pytest.mark.parametrize("turned", [False, True])
def test_labels_answers_and_chance_of_a_labelling_task(turned: bool) -> None:
    accuracy, balanced = of_labels("accuracy", turned=turned), of_labels("balanced_accuracy", turned=turned)
    assert balanced.table["label"].to_pylist() == ["hateful", "hateful", "hateful", "fine"]
    second, last = ("hateful", "fine") if turned else ("fine", "hateful")
    assert balanced.table["answer"].to_pylist() == ["hateful", second, "hateful", last]
    assert accuracy.table["chance"].to_pylist() == [3 / 4] * 4
    assert balanced.table["chance"].to_pylist() == [1 / 2] * 4
    for one, other in ((accuracy, balanced), (balanced, accuracy)):
        assert one.by(other.metric.name).table.equals(other.table)
    assert accuracy.by("accuracy_per_byte").table["answer"].to_pylist() == balanced.table["answer"].to_pylist()


def test_texts_that_are_labels_make_balanced_accuracy_of_scores_that_agree() -> None:
    gold, said = [" Yes", "no", "NO "], ["yes", "yes", None]
    columns = {"label": gold, "answer": said}
    made = {}
    for name, values in {"agree": [1.0, 0.0, 0.0], "graded": [1.0, 0.5, 0.0]}.items():
        table = items_table(["a", "b", "c"], values, [{}] * 3)
        for column, texts in columns.items():
            table = table.append_column(column, pa.array(texts, pa.string()))
        made[name] = plain_scores("t", table, "exact")
    kept, decided = (labelled(made["agree"], balanced=balanced) for balanced in (False, True))
    assert (kept.metric.name, kept.metrics) == ("exact", ("exact", "balanced_accuracy"))
    assert (decided.metric.name, decided.metrics) == ("balanced_accuracy", ("balanced_accuracy", "accuracy"))
    assert decided.table["label"].to_pylist() == ["yes", "no", "no"]
    assert decided.table["answer"].to_pylist() == ["yes", "yes", ""]
    graded = labelled(made["graded"], balanced=True)
    assert (graded.metric.name, graded.table["chance"].null_count) == ("exact", 3)
    assert graded.by("balanced_accuracy").item_scores().tolist() == [1, 0, 0]


def test_what_has_no_score_is_null() -> None:
    scores = scores_of("t", said(("a", 0, "x"), ("b", 0, "")), EXAMPLES, LENGTH)
    assert scores.table["score"].to_pylist() == [1.0, None]
    assert np.isnan(scores.item_scores()[1])
    assert scores.to_dict()["examples"][1]["score"] is None


def test_what_a_metric_cannot_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="'length' reads measure 'text', not 'choice'"):
        scores_of("t", choice_measurement(EXAMPLES, LOGPROBS, TOKENS), EXAMPLES, LENGTH)
    with pytest.raises(DataError, match="of 1 other examples"):
        scores_of("t", said(("z", 0, "x")), EXAMPLES, LENGTH)
    with pytest.raises(ConfigError, match="range 1 to 0"):
        ItemMetric("m", range=(1.0, 0.0))
    with pytest.raises(ConfigError, match="direction 'up'"):
        ItemMetric("m", direction="up")  # type: ignore[arg-type]
    short = ItemMetric("m", "text", range=(2.0, 9.0), score=lengths)
    with pytest.raises(DataError, match="'a' has 1, and item metric 'm' goes from 2 to 9"):
        scores_of("t", said(("a", 0, "x")), EXAMPLES[1:], short)


def test_scores_without_choices_have_one_metric_and_no_details() -> None:
    scores = plain_scores("t", items_table(["a"], [0.5], [{}]), "f1")
    assert (scores.metrics, scores.details, answers(scores)) == (("f1",), (), None)
    with pytest.raises(ConfigError, match="metric 'accuracy' of task 't'"):
        scores.item_scores("accuracy")
