"""Logs of openai/evals, as its `LocalRecorder` writes them."""

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


def event(number: int, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "run_id": "r",
        "event_id": 0,
        "sample_id": f"mine.dev.{number}",
        "type": kind,
        "data": data,
        "created_by": "",
        "created_at": "2023-04-17 22:10:13",
    }


def match(number: int, right: bool, sampled: str = "15") -> list[dict[str, Any]]:
    asked = event(number, "sampling", {"prompt": f"What is {number}?", "sampled": [sampled]})
    told = {"correct": right, "expected": "15", "picked": None, "sampled": sampled, "options": ["15"]}
    return [asked, event(number, "match", told)]


def write(path: Path, events: list[dict[str, Any]], *, ended: bool = True, task: str = "mine.dev.v0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"cls": "evals.elsuite.basic.match:Match", "args": {"samples_jsonl": "s.jsonl"}}
    spec = {
        "completion_fns": ["m"],
        "eval_name": task,
        "base_eval": "mine",
        "split": "dev",
        "run_config": {"eval_spec": settings},
        "created_by": "",
        "run_id": "r",
    }
    # The report is written at once, events as they are flushed: it may come before them.
    lines = [{"spec": spec}, *([{"final_report": {"accuracy": 0.5}}] if ended else []), *events]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_two_logs_are_compared(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{side}.jsonl", [part for k in range(N) for part in match(k, k % step > 0)])
        for side, step in (("b", 4), ("a", 2))
    ]
    assert reader_of(paths[0]) == "openai-evals"
    found = chaintune.compare(*paths, resamples=FAST)
    assert (found.task, found.metric, found.overall.forgetting.n) == ("mine.dev.v0", "correct", N)
    assert found.overall.forgetting.value == 0.25


def test_other_questions_are_refused(tmp_path: Path) -> None:
    before = write(tmp_path / "b.jsonl", [part for k in range(N) for part in match(k, True)])
    after = write(tmp_path / "a.jsonl", [part for k in range(N) for part in match(k, True)])
    after.write_text(after.read_text().replace("What is 3?", "Who is 3?").replace('"s.jsonl"', '"t.jsonl"'))
    with pytest.raises(DataError, match=r"eval 'args' is .* before and .* after; the prompt differs in 1 of 12"):
        chaintune.compare(before, after, resamples=FAST)


def test_events_of_one_sample_are_averaged_and_answers_kept(tmp_path: Path) -> None:
    events = [
        *match(0, True),
        *match(0, False),
        *match(1, False, ""),
        event(2, "error", {"type": "E", "message": "late"}),
    ]
    (log,) = read_log(write(tmp_path / "l.jsonl", events), ReadOptions()).values()
    table = log.scores.table
    assert table.column("score").to_pylist() == [0.5, 0.0, None]
    assert table.column("missing_reason").to_pylist() == [None, None, "late"]
    assert table.column("answer").to_pylist() == ["15", "", None]
    assert table.column("outcome").to_pylist() == [None, "no_response", None]


def test_labels_are_kept_where_right_answers_are_few(tmp_path: Path) -> None:
    events = [
        event(k, "match", {"correct": k % 2 == 0, "expected": ["Yes", "No"][k % 2], "picked": "Yes", "sampled": "Yes."})
        for k in range(8)
    ]
    (log,) = read_log(write(tmp_path / "l.jsonl", events), ReadOptions()).values()
    assert log.scores.table.column("label").to_pylist() == ["yes", "no"] * 4
    assert set(log.scores.table.column("answer").to_pylist()) == {"yes"}
    assert "balanced_accuracy" in log.scores.metrics


def test_numbers_of_metrics_are_metrics(tmp_path: Path) -> None:
    events = [event(k, "metrics", {"choice": "Yes", "score": k % 2, "f1": 0.5}) for k in range(4)]
    path = write(tmp_path / "l.jsonl", events)
    (log,) = read_log(path, ReadOptions()).values()
    assert (log.scores.metric.name, log.scores.item_scores().tolist()) == ("score", [0, 1, 0, 1])
    (log,) = read_log(path, ReadOptions(metric="f1")).values()
    assert set(log.scores.item_scores()) == {0.5}
    with pytest.raises(ConfigError, match=r"there is no metric 'f2'.*: f1, score"):
        read_log(path, ReadOptions(metric="f2"))


def test_of_a_run_that_was_cut_short_and_its_retry_the_one_that_ended_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    short = write(tmp_path / "logs" / "1.jsonl", match(0, True), ended=False)
    (log,) = read_log(short, ReadOptions()).values()
    assert log.doubts == ("the run did not end, 1 sample",)
    write(tmp_path / "logs" / "2.jsonl", [*match(0, True), *match(1, True)])
    write(tmp_path / "logs" / "3.jsonl", match(0, True), task="other")
    logs = read_log(tmp_path / "logs", ReadOptions())
    assert {task: (len(log.scores), log.doubts) for task, log in logs.items()} == {
        "mine.dev.v0": (2, ()),
        "other": (1, ()),
    }
    assert "left out is 1.jsonl, which did not end" in caplog.text
    assert list(read_log(tmp_path / "logs", ReadOptions(tasks=("other",)))) == ["other"]


def test_a_damaged_log_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "l.jsonl", match(0, True))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DataError, match=r"line 4"):
        read_log(path, ReadOptions())
    path.write_text('{"final_report": {}}\n')
    with pytest.raises(DataError, match=r"no line with 'spec'"):
        read_log(path, ReadOptions(reader="openai-evals"))
    with pytest.raises(DataError, match=r"no example has a score"):
        read_log(write(path, []), ReadOptions())
