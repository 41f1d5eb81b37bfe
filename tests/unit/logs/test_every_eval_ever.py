"""Evaluations in the form of Every Eval Ever, schema 0.2."""

import json
from pathlib import Path
from typing import Any

import pytest

import chaintune
from chaintune.errors import ConfigError, DataError
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import read_log, reader_of

FAST = 200
N = 12
NAME = "0a1b_samples.jsonl"


def sample(number: int, score: float, **fields: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "schema_version": "0.2.1",
        "evaluation_id": "mmlu/m/1",
        "model_id": "m",
        "evaluation_name": "mmlu",
        "sample_id": f"id{number}",
        "sample_hash": f"{number:064x}",
        "interaction_type": "single_turn",
        "input": {"raw": "Q", "formatted": None, "reference": ["a"], "choices": ["a", "b"]},
        "output": {"raw": [" D"], "reasoning_trace": []},
        "messages": None,
        "answer_attribution": [],
        "evaluation": {"score": score, "is_correct": score == 1},
        "error": None,
        "metadata": {"subject": "ab"[number % 2]},
    }
    return known | fields


def result(result_id: str = "r", name: str = "accuracy", **config: Any) -> dict[str, Any]:
    return {
        "evaluation_result_id": result_id,
        "evaluation_name": "mmlu",
        "metric_config": {"metric_name": name, "score_type": "continuous", **config},
        "score_details": {"score": 1},
    }


def write(folder: Path, samples: list[dict[str, Any]], results: list[dict[str, Any]] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if results is not None:
        averages = {"schema_version": "0.2.1", "evaluation_id": "mmlu/m/1", "evaluation_results": results}
        (folder / "0a1b.json").write_text(json.dumps(averages, indent=2))
    (folder / NAME).write_text("".join(json.dumps(line) + "\n" for line in samples))
    return folder


def test_two_evaluations_are_compared(tmp_path: Path) -> None:
    folders = [
        write(tmp_path / side, [sample(k, float(k % step > 0)) for k in range(N)], [result()])
        for side, step in (("b", 4), ("a", 2))
    ]
    assert {reader_of(path) for path in (folders[0], *folders[0].iterdir())} == {"every-eval-ever"}
    found = chaintune.compare(*folders, by=["metadata.subject"], resamples=FAST)
    assert (found.task, found.metric, found.overall.forgetting.value) == ("mmlu", "accuracy", 0.25)
    assert {row.group for row in found.groups} == {"a", "b"}
    for name in (NAME, "0a1b.json"):
        assert chaintune.compare(folders[0] / name, folders[1] / name, resamples=FAST).overall.forgetting.value == 0.25


def test_other_samples_under_the_same_ids_are_refused(tmp_path: Path) -> None:
    before = write(tmp_path / "b", [sample(k, 1) for k in range(N)])
    after = write(tmp_path / "a", [sample(k, 1, **({"sample_hash": "x"} if k == 2 else {})) for k in range(N)])
    with pytest.raises(DataError, match=r"the prompt differs in 1 of 12"):
        chaintune.compare(before, after, resamples=FAST)


def test_without_averages_the_score_is_called_so_and_repeats_are_averaged(tmp_path: Path) -> None:
    lines = [
        sample(0, 1),
        sample(0, 0),
        sample(1, 0, output={"raw": [""]}),
        sample(2, 0, evaluation={}, error="timeout"),
    ]
    (log,) = read_log(write(tmp_path, lines), ReadOptions()).values()
    table = log.scores.table
    assert log.scores.metric.name == "score"
    assert table.column("score").to_pylist() == [0.5, 0, None]
    assert table.column("missing_reason").to_pylist() == [None, None, "timeout"]
    assert table.column("outcome").to_pylist() == [None, "no_response", "timeout"]


@pytest.mark.parametrize(
    ("config", "score", "expected"),
    [
        ({"min_score": 0, "max_score": 100}, 25, 0.25),
        ({"min_score": 0, "max_score": 1, "lower_is_better": True}, 0.25, 0.25),
        ({"score_type": "levels", "level_names": ["poor", "fair", "good"]}, 1, 0.5),
        ({"score_type": "binary"}, 1, 1),
        ({"min_score": "-Infinity", "max_score": 1}, 1, 1),
    ],
)
def test_the_range_and_direction_that_are_stated_are_used(
    tmp_path: Path, config: dict[str, Any], score: float, expected: float
) -> None:
    folder = write(tmp_path, [sample(0, score)], [result(**config)])
    (log,) = read_log(folder, ReadOptions()).values()
    assert log.scores.item_scores().tolist() == [expected]
    assert log.scores.metric.direction == ("less" if config.get("lower_is_better") else "more")


def test_an_unknown_level_is_no_score(tmp_path: Path) -> None:
    config: dict[str, Any] = {"score_type": "levels", "level_names": ["poor", "good"], "has_unknown_level": True}
    folder = write(tmp_path, [sample(0, 1), sample(1, -1)], [result(**config)])
    (log,) = read_log(folder, ReadOptions()).values()
    assert log.scores.table.column("score").to_pylist() == [1, None]


def test_several_metrics_and_evaluations_are_told_apart(tmp_path: Path) -> None:
    lines = [sample(k, score, evaluation_result_id=part) for k in range(4) for part, score in (("r1", 1), ("r2", 0))]
    lines += [sample(0, 0.5, evaluation_name="gpqa")]
    folder = write(tmp_path, lines, [result("r1"), result("r2", "f1")])
    with pytest.raises(ConfigError, match=r"there are several: accuracy, f1"):
        read_log(folder, ReadOptions())
    (log,) = read_log(folder, ReadOptions(metric="f1", tasks=("mmlu",))).values()
    assert log.scores.item_scores().tolist() == [0] * 4
    assert list(read_log(folder, ReadOptions(tasks=("gpqa",)))) == ["gpqa"]


def test_what_is_missing_or_damaged_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path, [sample(0, 1)], [result()])
    (folder / NAME).write_text((folder / NAME).read_text()[:-30])
    with pytest.raises(DataError, match=r"line 1"):
        read_log(folder / NAME, ReadOptions(reader="every-eval-ever"))
    (folder / NAME).unlink()
    with pytest.raises(DataError, match=r"0a1b_samples.jsonl with the samples is not beside it"):
        read_log(folder / "0a1b.json", ReadOptions())
    with pytest.raises(DataError, match=r"without their samples"):
        read_log(folder, ReadOptions())
