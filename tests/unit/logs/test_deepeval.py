"""Test runs of DeepEval, as `TestRun.save` and `EvaluationResult` write them."""

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


def metric(name: str, score: float | None, *, low: bool = False) -> dict[str, Any]:
    passed = None if score is None else score <= 0.5 if low else score >= 0.5
    known = {"name": name, "threshold": 0.5, "success": passed, "score": score, "strictMode": False}
    return {part: value for part, value in known.items() if value is not None}


def case(number: int, *metrics: dict[str, Any], **fields: Any) -> dict[str, Any]:
    known = {
        "name": f"test_case_{number}",
        "input": f"Q{number}",
        "actualOutput": "x",
        "expectedOutput": "y",
        "success": True,
        "metricsData": list(metrics),
        "order": number,
        "metadata": {"area": "ab"[number % 2]},
    }
    return known | fields


def write(path: Path, cases: list[dict[str, Any]], *, wrapped: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    run = {"testCases": cases, "conversationalTestCases": [], "identifier": path.stem, "testPassed": 1}
    path.write_text(json.dumps({"testRunData": run} if wrapped else run))
    return path


@pytest.mark.parametrize("wrapped", [True, False])
def test_two_runs_are_compared(tmp_path: Path, wrapped: bool) -> None:
    paths = [
        write(
            tmp_path / side / "test_run_20260101_000000.json",
            [case(k, metric("Answer Relevancy", 1.0 if k % step else 0.0)) for k in range(N)],
            wrapped=wrapped,
        )
        for side, step in (("b", 4), ("a", 2))
    ]
    assert {reader_of(path) for path in (paths[0], paths[0].parent)} == {"deepeval"}
    for one, other in (paths, (paths[0].parent, paths[1].parent)):
        found = chaintune.compare(one, other, by=["metadata.area"], resamples=FAST)
        assert (found.metric, found.overall.forgetting.value) == ("Answer Relevancy", 0.25)
        assert {row.group for row in found.groups} == {"a", "b"}


def test_what_evaluate_returns_is_read(tmp_path: Path) -> None:
    told = {"name": "one", "success": False, "input": "Q", "actual_output": "", "metrics_data": [metric("M", 0.25)]}
    path = tmp_path / "l.json"
    path.write_text(json.dumps({"test_results": [told], "confident_link": None}))
    (log,) = read_log(path, ReadOptions()).values()
    assert (log.scores.example_ids, log.scores.item_scores().tolist()) == (["one"], [0.25])
    assert log.scores.table.column("outcome").to_pylist() == ["no_response"]
    (log,) = read_log(path, ReadOptions(metric="success")).values()
    assert log.scores.item_scores().tolist() == [0]


def test_the_direction_of_a_score_is_told_by_its_threshold(tmp_path: Path) -> None:
    low = write(tmp_path / "b.json", [case(k, metric("Bias", 0.25 if k else 1.0, low=True)) for k in range(4)])
    (log,) = read_log(low, ReadOptions()).values()
    assert (log.scores.item_scores().tolist(), log.scores.metric.direction) == ([1, 0.25, 0.25, 0.25], "less")
    high = write(tmp_path / "a.json", [case(k, metric("Bias", 0.75)) for k in range(4)])
    (log,) = read_log(high, ReadOptions()).values()
    assert set(log.scores.item_scores()) == {0.75}
    with pytest.raises(DataError, match=r"better score of 'Bias' is lower before and higher after"):
        chaintune.compare(low, high, resamples=FAST)


def test_errors_of_a_metric_are_missing_and_several_metrics_are_named(tmp_path: Path) -> None:
    broken = {"name": "A", "error": "judge timed out", "success": False}
    path = write(tmp_path / "l.json", [case(0, metric("A", 1.0), metric("B", 0.5)), case(1, broken, metric("B", 0.5))])
    with pytest.raises(ConfigError, match=r"there are several: A, B"):
        read_log(path, ReadOptions())
    (log,) = read_log(path, ReadOptions(metric="A")).values()
    assert log.scores.table.column("score").to_pylist() == [1, None]
    assert log.scores.table.column("missing_reason").to_pylist() == [None, "judge timed out"]


def test_cases_of_one_name_are_told_by_their_place(tmp_path: Path) -> None:
    path = write(tmp_path / "l.json", [case(k, metric("M", 1.0), name="same") for k in range(3)])
    (log,) = read_log(path, ReadOptions()).values()
    assert log.scores.example_ids == ["0", "1", "2"]


def test_cases_of_another_evaluation_in_one_run_are_none_of_a_metric(tmp_path: Path) -> None:
    cases = [case(k, metric("A", 1.0)) for k in range(3)] + [case(k, metric("B", 0.5)) for k in range(2)]
    (log,) = read_log(write(tmp_path / "l.json", cases), ReadOptions(metric="B")).values()
    assert (log.scores.example_ids, log.scores.n_missing) == (["test_case_0", "test_case_1"], 0)


def test_what_is_no_run_or_several_is_told_in_one_sentence(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / "runs" / f"test_run_{number}.json", [case(0, metric("M", 1.0))])
    with pytest.raises(DataError, match=r"2 test runs of DeepEval; name one of them, such as test_run_1.json"):
        read_log(tmp_path / "runs", ReadOptions())
    path = write(tmp_path / "l.json", [])
    with pytest.raises(DataError, match=r"expected a test run of DeepEval, a mapping with a list testCases"):
        read_log(path, ReadOptions())
    path.write_text(write(path, [case(0, metric("M", 1.0))]).read_text()[:-9])
    with pytest.raises(DataError, match=r"not JSON"):
        read_log(path, ReadOptions())
