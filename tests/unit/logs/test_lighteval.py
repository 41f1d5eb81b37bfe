"""Details of lighteval, of today's form and of the one before 0.10."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import chaintune
from chaintune.errors import ConfigError, DataError
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import read_log, reader_of
from chaintune.records.margins import log_margins

FAST = 200
N = 12
DATE = "2026-01-02T03-04-05.678901"


def today(number: int, right: float, **metrics: float) -> dict[str, Any]:
    doc = {
        "query": f"Q{number}",
        "choices": ["red", "blue"],
        "gold_index": [number % 2],
        "id": str(number),
        "task_name": "mine",
        "specific": {"area": "ab"[number % 2]},
    }
    response = {"text": [], "logprobs": [-1.0, -2.0], "input_tokens": [1, 2]}
    return {"doc": doc, "model_response": response, "metric": {"acc": right, **metrics}}


def before(number: int, right: float) -> dict[str, Any]:
    return {
        "example": f"Q{number}",
        "full_prompt": f"Question: Q{number}",
        "predictions": [" red"],
        "gold": ["red"],
        "gold_index": [0],
        "choices": ["red", "blue"],
        "metrics": {"em": right},
        "specifics": {"area": "ab"[number % 2]},
    }


def write(folder: Path, rows: list[dict[str, Any]], *, task: str = "lighteval|mine|0") -> Path:
    path = folder / "details" / "org" / "model" / DATE / f"details_{task}_{DATE}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    results = folder / "results" / "org" / "model" / f"results_{DATE}.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text('{"config_general": {}, "results": {}}')
    return path


@pytest.mark.parametrize(("make", "field"), [(today, "doc.specific.area"), (before, "specifics.area")])
def test_two_runs_are_compared_whatever_their_form(tmp_path: Path, make: Any, field: str) -> None:
    paths = [
        write(tmp_path / side, [make(k, float(k % step > 0)) for k in range(N)]) for side, step in (("b", 4), ("a", 2))
    ]
    assert {reader_of(path) for path in (paths[0], tmp_path / "b", paths[0].parent)} == {"lighteval"}
    for one, other in (paths, (tmp_path / "b", tmp_path / "a")):
        found = chaintune.compare(one, other, by=[field], resamples=FAST)
        assert (found.task, found.overall.forgetting.value) == ("lighteval|mine|0", 0.25)
        assert {row.group for row in found.groups} == {"a", "b"}
    (log,) = read_log(paths[0], ReadOptions()).values()
    assert {answer.strip() for answer in log.scores.table.column("answer").to_pylist()} == {"red"}


def test_a_model_without_a_preference_is_told(tmp_path: Path) -> None:
    rows = [today(k, 1.0) for k in range(N)]
    for row in rows[: N // 2]:
        row["model_response"]["logprobs"] = [-1.0, -1.0]
    path = write(tmp_path, rows)
    found = chaintune.compare(path, path, resamples=FAST).overall
    assert (found.answers_after.ties, found.verdict) == (N // 2, "inconclusive")


def test_a_metric_is_named_where_there_are_several(tmp_path: Path) -> None:
    path = write(tmp_path, [today(k, 1.0, em=0.5) for k in range(4)])
    with pytest.raises(ConfigError, match=r"there are several: acc, em$"):
        read_log(path, ReadOptions())
    (log,) = read_log(path, ReadOptions(metric="em")).values()
    assert set(log.scores.item_scores()) == {0.5}
    with pytest.raises(ConfigError, match=r"there is no metric 'ac'.*Valid: acc, em|valid: acc, em"):
        read_log(path, ReadOptions(metric="ac"))


def test_margins_of_choices_and_a_second_metric_stand_beside_the_first(tmp_path: Path) -> None:
    rows = [today(k, float(k % 2 == 0), em=0.5) for k in range(N)]
    for k, row in enumerate(rows):
        row["model_response"]["logprobs"] = [-1.0, -2.0 - k / 4]
    path = write(tmp_path, rows)
    found = chaintune.compare(path, path, metric=["acc", "em"], resamples=FAST)
    assert [one.metric for one in found.second_lines] == ["em", "scaled_margin"]
    (log,) = read_log(path, ReadOptions(metric="acc")).values()
    order = [int(name) for name in log.scores.example_ids]
    assert log_margins(log.scores.table).tolist() == [(1 + k / 4) * (1 if k % 2 == 0 else -1) for k in order]


def test_other_questions_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "b", [today(k, 1.0) for k in range(N)])
    rows = [today(k, 1.0) for k in range(N)]
    rows[3]["doc"]["query"] = "Q?"
    with pytest.raises(DataError, match=r"the prompt differs in 1 of 12"):
        chaintune.compare(one, write(tmp_path / "a", rows), resamples=FAST)


def test_a_folder_of_several_tasks_and_a_damaged_file(tmp_path: Path) -> None:
    write(tmp_path, [today(0, 1.0)])
    path = write(tmp_path, [today(0, 1.0)], task="lighteval|other|5")
    assert list(read_log(tmp_path, ReadOptions())) == ["lighteval|mine|0", "lighteval|other|5"]
    assert list(read_log(tmp_path, ReadOptions(tasks=("lighteval|other|5",)))) == ["lighteval|other|5"]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"not a readable Parquet file"):
        read_log(path, ReadOptions())
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(DataError, match=r"no example has a score"):
        read_log(path, ReadOptions(reader="lighteval"))
