"""Tables that tell label and answer are of a labelling task: recognised, declined, averaged over trials."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import chaintune
from chaintune.errors import ConfigError
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import read_log
from chaintune.records import Scores

FAST = 300
MANY, FEW = 210, 70
Rows = list[dict[str, Any]]


def rows(hateful: int, benign: int, **names: str) -> Rows:
    """So many of 210 hateful and of 70 benign texts are called hateful, in clusters of five."""
    made = []
    for label, count, called in (("hateful", MANY, hateful), ("benign", FEW, benign)):
        order = np.random.default_rng(count).permutation(count)
        for k in range(count):
            answer = "Hateful" if order[k] < called else " benign"
            row: dict[str, Any] = {
                "id": f"{label}{k:03}",
                "label": label,
                "prediction": answer,
                "template": f"{label}{k // 5}",
            }
            row |= {"score": int(answer.strip().lower() == label), "target": "ab"[k % 2]}
            made.append({names.get(name, name): value for name, value in row.items()})
    return made


def write(path: Path, data: Rows) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, data[0])
        writer.writeheader()
        writer.writerows(data)
    return path


def read(path: Path, **options: Any) -> Scores:
    (log,) = read_log(path, ReadOptions(**options)).values()
    return log.scores


def test_a_total_loss_is_seen_and_groups_are_held_over_the_same_labels(tmp_path: Path) -> None:
    sides = [write(tmp_path / f"{name}.csv", rows(*numbers)) for name, numbers in
             {"before": (175, 34), "after": (210, 69)}.items()]  # fmt: skip
    found = chaintune.compare(*sides, by=["target", "label"], cluster="template", resamples=FAST)
    assert (found.metric, found.overall.verdict) == ("balanced_accuracy", "forgot")
    assert found.overall.before.value == pytest.approx((175 / 210 + 36 / 70) / 2)
    assert {one.group for one in found.groups} == {"a", "b", "hateful", "benign"}
    plain = chaintune.compare(*sides, metric="accuracy", cluster="template", resamples=FAST)
    assert (plain.metric, plain.overall.verdict) == ("accuracy", "inconclusive")
    frames = [pl.DataFrame(rows(175, 34)), pl.DataFrame(rows(210, 69))]
    again = chaintune.compare(*frames, cluster="template", metric="balanced_accuracy", resamples=FAST)
    one, other = again.overall.forgetting, found.overall.forgetting
    assert (one.low, one.value, one.high) == pytest.approx((other.low, other.value, other.high))


def test_labels_written_in_several_ways_are_one_group(tmp_path: Path) -> None:
    data = [row | {"label": (" Hateful", "HATEFUL")[k % 2] if row["label"] == "hateful" else "Benign"}
            for k, row in enumerate(rows(175, 34))]  # fmt: skip
    path = write(tmp_path / "a.csv", data)
    for by in (["label"], ["target x label"]):
        found = chaintune.compare(path, path, by=by, cluster="template", resamples=FAST)
        assert {one.group.rpartition(" & ")[2] for one in found.groups} == {"hateful", "benign"}


@pytest.mark.parametrize(
    "known", [("id", "label", "prediction", "score", "template"), ("id", "label", "score", "template")]
)
def test_a_side_that_writes_labels_otherwise_has_the_same_groups(tmp_path: Path, known: tuple[str, ...]) -> None:
    sides = [[{name: row[name] for name in known} for row in rows(*numbers)] for numbers in ((175, 34), (210, 69))]
    other = [row | {"label": f" {row['label'].upper()}" if k % 2 else row["label"].title()}
             for k, row in enumerate(sides[1])]  # fmt: skip
    before, same, after = (
        write(tmp_path / f"{name}.csv", side) for name, side in zip("bsa", [*sides, other], strict=True)
    )
    for by in ("label", "template x label"):
        one, expected = (
            chaintune.compare(before, side, by=[by], cluster="template", resamples=FAST) for side in (after, same)
        )
        assert [(row.group, repr(row.forgetting)) for row in one.groups] == [
            (row.group, repr(row.forgetting)) for row in expected.groups
        ]


def test_columns_of_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", rows(175, 34, label="gold", prediction="said"))
    assert read(path).metric.name == "score"
    scores = read(path, columns={"label": "gold", "prediction": "said"})
    assert scores.metric.name == "balanced_accuracy"
    assert set(scores.table["answer"].to_pylist()) == {"hateful", "benign"}


def test_letters_many_labels_and_graded_scores_keep_their_metric(tmp_path: Path) -> None:
    plain = rows(175, 34)
    letters = [row | {"label": "AB"[row["label"] == "benign"], "prediction": "AB"[row["score"]]} for row in plain]
    many = [row | {"label": f"label {k % 11}", "prediction": "label 1"} for k, row in enumerate(plain)]
    graded = [row | {"score": row["score"] / 2} for row in plain]
    for name, data in {"letters": letters, "many": many, "graded": graded}.items():
        scores = read(write(tmp_path / f"{name}.csv", data))
        assert scores.metric.name == "score", name
        assert ("balanced_accuracy" in scores.metrics) == (name == "graded")


def test_trials_are_averaged_and_then_balanced(tmp_path: Path) -> None:
    both = [row | {"seed": seed} for seed, numbers in enumerate(((175, 34), (165, 24))) for row in rows(*numbers)]
    scores = read(write(tmp_path / "a.csv", both), columns={"trial": "seed"})
    assert scores.metric.name == "balanced_accuracy"
    assert scores.item_scores().mean() == pytest.approx((175 + 36 + 165 + 46) / 560)
    assert scores.by("accuracy").item_scores().tolist() == scores.item_scores().tolist()


def test_a_metric_that_the_log_cannot_give_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [{"id": f"e{k}", "score": k % 2} for k in range(40)])
    with pytest.raises(ConfigError, match="metric 'balanced_accuracy'"):
        chaintune.compare(path, path, metric="balanced_accuracy", resamples=FAST)
