"""Results of promptfoo, as `promptfoo eval -o` writes them (results of version 3)."""

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


def result(number: int, right: float, *, provider: str = "p", prompt: int = 0, **fields: Any) -> dict[str, Any]:
    test: dict[str, Any] = {
        "description": f"Case {number}",
        "vars": {"question": f"Q{number}", "topic": "ab"[number % 2]},
        "assert": [{"type": "contains", "value": "x"}],
        "metadata": {"area": f"m{number % 3}"},
    }
    known = {
        "promptIdx": prompt,
        "testIdx": number,
        "testCase": test,
        "promptId": "e",
        "provider": {"id": provider, "label": ""},
        "prompt": {"raw": f"Answer Q{number}", "label": "Answer {{question}}"},
        "vars": {**test["vars"], "_conversation": [number]},
        "response": {"output": "x"},
        "success": right == 1,
        "score": right,
        "namedScores": {"tone": 0.5},
        "failureReason": 0 if right == 1 else 1,
        "gradingResult": {"pass": right == 1, "score": right},
        "error": None if right == 1 else "expected x",
    }
    return known | fields


def write(path: Path, results: list[dict[str, Any]]) -> Path:
    outer = {"version": 3, "timestamp": "t", "prompts": [], "results": results, "stats": {}}
    text = json.dumps({"evalId": "eval-1", "results": outer, "config": {}, "shareableUrl": None}, indent=2)
    if path.suffix == ".jsonl":
        text = "".join(json.dumps(one) + "\n" for one in results)
    path.write_text(text)
    return path


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_two_files_are_compared_by_variables_and_metadata(tmp_path: Path, suffix: str) -> None:
    paths = [
        write(tmp_path / f"{side}.{suffix}", [result(k, float(k % step > 0), provider=side) for k in range(N)])
        for side, step in (("b", 4), ("a", 2))
    ]
    assert reader_of(paths[0]) == "promptfoo"
    found = chaintune.compare(*paths, by=["vars.topic", "metadata.area"], resamples=FAST)
    assert (found.metric, found.overall.forgetting.n, found.overall.forgetting.value) == ("score", N, 0.25)
    assert {row.group for row in found.groups} == {"a", "b", "m0", "m1", "m2"}


def test_tests_are_told_by_what_they_ask_wherever_they_stand(tmp_path: Path) -> None:
    before = write(tmp_path / "b.json", [result(k, 1.0) for k in range(4)])
    after = write(tmp_path / "a.json", [result(k, 1.0, testIdx=9 - k) for k in (2, 0, 3, 1)])
    assert chaintune.compare(before, after, resamples=FAST).overall.forgetting.n == 4


def test_a_provider_is_chosen_by_its_name(tmp_path: Path) -> None:
    rows = [result(k, float(place), provider=name, prompt=place) for place, name in enumerate("pq") for k in range(4)]
    path = write(tmp_path / "l.json", rows)
    with pytest.raises(ConfigError, match=r"results of 2 providers or prompts; choose one as --filter: p, q"):
        read_log(path, ReadOptions())
    for name, value in (("p", 0.0), ("q", 1.0)):
        (log,) = read_log(path, ReadOptions(filter=name)).values()
        assert log.scores.item_scores().tolist() == [value] * 4
    with pytest.raises(ConfigError, match=r"there is no filter 'r': valid: "):
        read_log(path, ReadOptions(filter="r"))
    found = chaintune.compare(f"{path}#q", f"{path}#p", resamples=FAST)
    assert found.overall.forgetting.value == 1
    both = write(tmp_path / "m.json", [*rows, result(0, 0.5, prompt=2)])
    (log,) = read_log(both, ReadOptions(filter="p | 2")).values()
    assert log.scores.item_scores().tolist() == [0.5]


def test_repeats_are_averaged_and_errors_are_no_failures(tmp_path: Path) -> None:
    broken: dict[str, Any] = {"failureReason": 2, "error": "API error: 500", "response": None}
    rows = [
        result(0, 1.0),
        result(0, 0.0, testIdx=7),
        result(1, 0.0, **broken),
        result(2, 0.0, response={"output": ""}),
    ]
    rows.append(result(3, 0.0, response={"output": "I can't.", "isRefusal": True}))
    (log,) = read_log(write(tmp_path / "l.json", rows), ReadOptions()).values()
    table = log.scores.table
    assert table.column("score").to_pylist() == [0.5, None, 0, 0]
    assert table.column("missing_reason").to_pylist() == [None, "API error: 500", None, None]
    assert table.column("outcome").to_pylist() == [None, None, "no_response", "refusal"]


def test_a_named_score_is_a_metric(tmp_path: Path) -> None:
    path = write(tmp_path / "l.json", [result(k, 1.0) for k in range(4)])
    (log,) = read_log(path, ReadOptions(metric="tone")).values()
    assert (log.scores.metric.name, set(log.scores.item_scores())) == ("tone", {0.5})
    with pytest.raises(ConfigError, match=r"there is no metric 'tones': did you mean 'tone'"):
        read_log(path, ReadOptions(metric="tones"))


def test_a_damaged_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "l.json", [result(0, 1.0)])
    path.write_text(path.read_text()[:-30])
    with pytest.raises(DataError, match=r"not JSON"):
        read_log(path, ReadOptions())
    path.write_text('{"evalId": "e", "results": {"version": 3, "results": {}}}')
    with pytest.raises(DataError, match=r"expected results of promptfoo"):
        read_log(path, ReadOptions())
