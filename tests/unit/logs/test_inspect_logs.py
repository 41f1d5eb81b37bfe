"""Logs of Inspect."""

import json
import logging
import math
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chaintune
from chaintune.errors import ConfigError, DataError
from chaintune.logs import content, inspect_logs
from chaintune.logs.compare import objections
from chaintune.logs.log import Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import read_log
from chaintune.records import Scores
from tests import synthetic
from tests.synthetic import compare_all
from tests.unit.logs import archives, logs

FAST = 200
N = 40


def answers(seed: int) -> list[int]:
    return [int(right) for right in np.random.default_rng(seed).random(N) < 0.6]


def side(path: Path, seed: int, **changes: Any) -> Path:
    samples = [archives.sample(i, {"match": "IC"[right]}) for i, right in enumerate(answers(seed))]
    return archives.write(path, archives.log(samples, **changes))


def scores_of(
    path: Path, samples: list[dict[str, Any]], wanted: ReadOptions | None = None, **changes: Any
) -> list[float]:
    archives.write(path, archives.log(samples, **changes))
    found = read_log(path, wanted or ReadOptions())["who"].scores
    return [float(score) for score in found.item_scores()]


@pytest.mark.parametrize("kinds", [("b.eval", "a.eval"), ("b.json", "a.eval"), ("b.json", "a.json")])
def test_figures_equal_those_of_our_own_scores_of_the_same_items(tmp_path: Path, kinds: tuple[str, str]) -> None:
    before, after = (side(tmp_path / name, seed) for seed, name in enumerate(kinds))
    found = chaintune.compare(before, after, by=["metadata.group"], cluster="metadata.unit", resamples=FAST)
    groups = {"metadata.group": ["ab"[i % 2] for i in range(N)]}
    clusters, ids = [f"t{i // 2}" for i in range(N)], [f"q{i}" for i in range(N)]
    own = [synthetic.scores(answers(seed), groups=groups, clusters=clusters, ids=ids, noise=seed) for seed in (0, 1)]
    expected = chaintune.compare(own[0], own[1], by=["metadata.group"], resamples=FAST)
    assert logs.figures(found) == logs.figures(expected)
    assert (found.task, found.metric, found.forced) == ("who", "match", ())


def test_folders_hold_tasks_and_one_may_be_named(tmp_path: Path) -> None:
    for when, seed in (("b", 0), ("a", 1)):
        side(tmp_path / when / "one.eval", seed)
        side(tmp_path / when / "deeper" / "two.json", seed, task="whom")
    found = compare_all(tmp_path / "b", tmp_path / "a", resamples=FAST)
    assert sorted(row.task for row in found) == ["who", "whom"]
    assert list(read_log(tmp_path / "b", ReadOptions(tasks=("whom",)))) == ["whom"]
    with pytest.raises(ConfigError, match="no log of task 'nobody'"):
        read_log(tmp_path / "b", ReadOptions(tasks=("nobody",)))
    side(tmp_path / "b" / "again.eval", 0)
    with pytest.raises(DataError, match="name one of the files"):
        read_log(tmp_path / "b", ReadOptions())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("C", 1),
        ("I", 0),
        ("P", 0.5),
        ("N", 0),
        (True, 1),
        (False, 0),
        (0.25, 0.25),
        ("yes", 1),
        ("No", 0),
        ("0.5", 0.5),
    ],
)
def test_values_mean_what_inspect_takes_them_for(tmp_path: Path, value: Any, expected: float) -> None:
    samples = [archives.sample(0, {"judge": value}), archives.sample(1, {"judge": "C"})]
    assert scores_of(tmp_path / "l.eval", samples) == [expected, 1]
    from inspect_ai.scorer import value_to_float

    assert value_to_float()(value) == expected


@pytest.mark.parametrize("value", ["A", "", 7, [1, 0], "1e999", "nan", 10**400, -math.inf])
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_value_that_is_no_score_is_refused_with_its_sample(tmp_path: Path, value: Any, epochs: int) -> None:
    samples = [archives.sample(3, {"judge": value}, epoch=epoch + 1) for epoch in range(epochs)]
    with pytest.raises(DataError, match=r"'q3': score is|no log that inspect-ai understands"):
        scores_of(tmp_path / "l.json", samples)


def test_several_scorers_have_to_be_told_apart(tmp_path: Path) -> None:
    samples = [archives.sample(i, {"match": "C", "judge": {"kind": 1, "true": i % 2}}) for i in range(4)]
    path = tmp_path / "l.eval"
    with pytest.raises(ConfigError, match=r"3 scores, name one as the metric: match, judge.kind, judge.true"):
        scores_of(path, samples)
    assert scores_of(path, samples, ReadOptions(metric="judge.true")) == [0, 1, 0, 1]
    with pytest.raises(ConfigError, match=r"did you mean 'judge\.kind'"):
        scores_of(path, samples, ReadOptions(metric="judge.kin"))


def test_epochs_are_averaged_where_scored_and_unscored_examples_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = [("C", "I"), ("C", math.nan), (math.nan, math.nan), ("P", None)]
    samples = [
        archives.sample(i, {"match": value} if value is not None else {}, epoch=epoch)
        for i, values in enumerate(given)
        for epoch, value in enumerate(values, 1)
    ]
    with caplog.at_level(logging.WARNING):
        assert scores_of(tmp_path / "l.eval", samples) == [0.5, 1, 0.5]
    assert "1 of 4 examples have no score" in caplog.text
    before = archives.write(tmp_path / "b.eval", archives.log([archives.sample(i, {"match": 1}) for i in range(4)]))
    with pytest.raises(DataError, match="1 only before"):
        chaintune.compare(before, tmp_path / "l.eval", resamples=FAST)
    found = chaintune.compare(before, tmp_path / "l.eval", on_missing="intersect", resamples=FAST)
    assert (found.overall.forgetting.n, found.n_left_out) == (3, 1)


def test_logs_whose_epochs_make_scores_in_different_ways_are_not_compared(tmp_path: Path) -> None:
    def written(name: str, epochs: int, reducer: str | None) -> Path:
        samples = [archives.sample(i, {"match": "C"}, epoch=epoch + 1) for i in range(2) for epoch in range(epochs)]
        reduced = [
            {"scorer": "match", "reducer": reducer, "samples": [{"sample_id": f"q{i}", "value": 1} for i in (0, 1)]}
        ]
        config = {"epochs": epochs, "epochs_reducer": [reducer] if reducer else None}
        parts = {"reductions": reduced, "results": {}} if reducer else {}
        return archives.write(tmp_path / f"{name}.eval", archives.log(samples, config=config, **parts))

    one, mean, two, three = (
        written(*how) for how in (("1", 1, None), ("m", 3, None), ("2", 2, "max"), ("3", 3, "max"))
    )
    assert chaintune.compare(one, mean, resamples=FAST).overall.forgetting.n == 2
    assert chaintune.compare(two, two, resamples=FAST).overall.forgetting.n == 2
    for before, after in ((two, three), (two, mean), (one, three)):
        with pytest.raises(
            DataError, match=r"score of an example is .*(mean over epochs|'max' of \d epochs) before and"
        ):
            chaintune.compare(before, after, resamples=FAST)


def test_another_way_over_the_epochs_is_read_from_the_log(tmp_path: Path) -> None:
    samples = [archives.sample(i, {"match": "IC"[epoch % 2]}, epoch=epoch) for i in range(2) for epoch in (1, 2)]
    config = {"epochs": 2, "epochs_reducer": ["at_least_1"]}
    reduced = [{"scorer": "match", "reducer": "at_least_1", "samples": [{"sample_id": "q0", "value": 1}]}]
    reduced[0]["samples"] += [{"sample_id": "q1", "value": 0}]  # type: ignore[operator]
    path = tmp_path / "l.eval"
    # inspect-ai leaves the reductions of a log without results alone.
    assert scores_of(path, samples, config=config, reductions=reduced, results={}) == [1, 0]
    assert scores_of(tmp_path / "l.json", samples, config=config, reductions=reduced, results={}) == [1, 0]
    with pytest.raises(DataError, match=r"expected one reduction \(at_least_1\) of 'match' over epochs, got 0"):
        scores_of(path, samples, config=config)
    config["epochs_reducer"] = ["at_least_1", "mode"]
    with pytest.raises(DataError, match="reduced in 2 ways"):
        scores_of(path, samples, config=config, reductions=reduced)
    assert scores_of(path, [*samples[:1], *samples[2:3]], config=config) == [1, 1]


def test_one_epoch_twice_and_two_ids_alike_are_refused(tmp_path: Path) -> None:
    twice = [archives.sample(0, {"match": value}) for value in ("C", "I")]
    with pytest.raises(
        DataError, match=r"sample 'q0' of epoch 1 appears twice.*--columns trial=COLUMN.*--cluster COLUMN"
    ):
        scores_of(tmp_path / "l.json", twice)
    alike = [archives.sample(0, {"match": "C"}, id=name) for name in (1, "1")]
    with pytest.raises(DataError, match="id '1' appears twice"):
        scores_of(tmp_path / "l.json", alike)


STEPS = {"steps": [{"solver": "system_message", "params": {"template": "Be brief."}}]}
OTHER_STEPS = {"steps": [{"solver": "system_message", "params": {"template": "x" * 100}}]}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"task_version": 1}, {"task_version": 2}, "task version is 1 before and 2 after"),
        ({}, {"task_args": {"shots": 5}}, "task argument 'shots' is 0 before and 5 after"),
        ({"plan": STEPS}, {"plan": OTHER_STEPS}, "solver 1, system_message, 'template' is Be brief. before"),
        ({"plan": STEPS}, {"plan": {"steps": [{"solver": "generate"}]}}, "solver is system_message before"),
        (
            {"model_generate_config": {"temperature": 0}},
            {"plan": {"config": {"temperature": 1.0}}},
            "generation setting 'temperature' is 0.0 before and 1.0 after",
        ),
        (
            {"scorers": [{"name": "match", "options": {"model": "a"}}]},
            {"scorers": [{"name": "match", "options": {"model": "b"}}]},
            "scorer match 'model' is a before and b after",
        ),
        ({}, {"status": "error"}, "after, the run ended in 'error', 40 samples"),
        ({"invalidated": True}, {}, "before, the log is marked as invalid"),
    ],
)
def test_other_conditions_are_refused_and_force_says_so(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], said: str
) -> None:
    paths = side(tmp_path / "b.eval", 0, **before), side(tmp_path / "a.json", 1, **after)
    with pytest.raises(DataError, match="cannot be compared") as caught:
        chaintune.compare(paths[0], paths[1], resamples=FAST)
    assert said in str(caught.value)
    found = chaintune.compare(paths[0], paths[1], force=True, resamples=FAST)
    assert len(found.forced) == 1
    assert said in found.forced[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input": "Whom?"}, "the input differs in 1 of 2"),
        ({"choices": ["x"]}, "the input differs"),
        ({"target": ["c"]}, "the target differs"),
        ({"messages": [{"role": "system", "content": "You are."}]}, "the prompt differs"),
    ],
)
def test_other_questions_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    both = [[archives.sample(0, {"m": 1}), archives.sample(1, {"m": 1}, **told)] for told in ({}, changes)]
    paths = [archives.write(tmp_path / f"{k}.eval", archives.log(part)) for k, part in enumerate(both)]
    with pytest.raises(DataError, match=said):
        chaintune.compare(paths[0], paths[1], resamples=FAST)
    # What only one side tells is not held against it.
    silent = [{name: value for name, value in part.items() if name != "messages"} for part in both[0]]
    third = archives.write(tmp_path / "2.json", archives.log(silent))
    assert chaintune.compare(paths[0], third, resamples=FAST).forced == ()


def test_samples_of_an_older_form_are_read(tmp_path: Path) -> None:
    old = archives.sample(0, {})
    del old["scores"]
    assert scores_of(tmp_path / "l.json", [old | {"score": {"value": "C"}}]) == [1]


def test_a_run_that_was_cut_short_has_only_its_beginning(tmp_path: Path) -> None:
    told = archives.log([])
    path = tmp_path / "l.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_journal/start.json", json.dumps({"version": 2, "eval": told["eval"], "plan": {}}))
        archive.writestr("samples/0.json", json.dumps(archives.sample(0, {"match": 1})))
    assert read_log(path, ReadOptions())["who"].doubts == ("the run did not end, 1 sample",)


def test_a_run_that_ended_in_an_error_says_how_far_it_came(tmp_path: Path) -> None:
    samples = [archives.sample(i, {"match": "C"}) for i in range(27)]
    failed = {"status": "error", "dataset": {"samples": 50}, "config": {"epochs": 2}}
    for name in ("l.eval", "l.json"):
        path = archives.write(tmp_path / name, archives.log(samples, **failed))
        assert read_log(path, ReadOptions())["who"].doubts == ("the run ended in 'error', 27 of 100 samples",)


def test_a_log_without_samples_or_scores_says_why(tmp_path: Path) -> None:
    bare = [archives.sample(i, {}) for i in range(3)]
    for samples, changes, said in (
        ([], {}, "holds no samples; run it without --no-log-samples"),
        (
            [],
            {"status": "error", "dataset": {"samples": 9}},
            "holds no samples; the run ended in 'error', 0 of 9 samples",
        ),
        (bare, {}, "no sample was scored; score it by 'inspect score'"),
        (
            bare,
            {"status": "error", "error": {"message": "NoToken('x')\nat", "traceback": "", "traceback_ansi": ""}},
            r"the run ended in 'error', 3 samples; its error: NoToken\('x'\)$",
        ),
        (bare, {"status": "cancelled"}, "no sample was scored; the run ended in 'cancelled', 3 samples"),
    ):
        path = archives.write(tmp_path / "l.json", archives.log(samples, **changes))
        with pytest.raises(DataError, match=said):
            read_log(path, ReadOptions())


def test_samples_that_ended_in_an_error_are_counted_in_a_run_that_ended_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    error = {"message": "RateLimitError('too many')", "traceback": "", "traceback_ansi": ""}
    samples = [
        archives.sample(i, {} if i < 3 else {"match": "C"}, **({"error": error} if i < 3 else {})) for i in range(9)
    ]
    for name in ("l.eval", "l.json"):
        path = tmp_path / name
        written(path, archives.log(samples)) if path.suffix == ".eval" else archives.write(path, archives.log(samples))
        caplog.clear()
        assert len(read_log(path, ReadOptions())["who"].scores) == 6
        assert "3 of 9 samples ended in an error (RateLimitError('too many'))" in caplog.text
        assert "3 of 9 examples have no score" in caplog.text


@pytest.mark.parametrize("suffix", [".eval", ".json"])
def test_of_a_failed_run_and_its_retry_the_one_that_finished_is_taken(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    logs = tmp_path / "logs"
    for name, n, status in (("1-first", 0, "error"), ("2-second", 5, "cancelled"), ("3-third", 20, "success")):
        samples = [archives.sample(i, {"match": "C"}) for i in range(n)]
        archives.write(logs / f"{name}{suffix}", archives.log(samples, status=status))
    (logs / "logs.json").write_text('{"1-first.eval": {"version": 2, "eval": {}}}')
    (logs / "eval-set.json").write_text('{"eval_set_id": "a"}')
    log = read_log(logs, ReadOptions())["who"]
    assert (len(log.scores), log.doubts) == (20, ())
    assert "task 'who' is read of the run that finished" in caplog.text
    assert f"left out is 1-first{suffix}, which ended in 'error'" in caplog.text
    assert f"left out is 2-second{suffix}, which ended in 'cancelled'" in caplog.text
    archives.write(logs / f"4-fourth{suffix}", archives.log([archives.sample(0, {"match": "C"})]))
    with pytest.raises(DataError, match="name one of the files"):
        read_log(logs, ReadOptions())


@pytest.mark.parametrize("place", ["metadata", "messages", "summary", "header", "json"])
def test_a_log_that_swells_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(content, "_MOST_VALUES", 10_000)
    path = side(tmp_path / ("l.json" if place == "json" else "l.eval"), 0)
    assert read_log(path, ReadOptions())["who"].scores.item_scores().size == N
    swelling = "[" + "[]," * 10_000 + "[]]"
    if place == "json":
        path.write_text(path.read_text().replace('"metadata": {', f'"metadata": {{"x": {swelling}, ', 1))
    else:
        name = {"summary": "summaries.json", "header": "header.json"}.get(place, "samples/q3_epoch_1.json")
        with zipfile.ZipFile(path) as archive:
            text = archive.read(name).decode()
        start = text.index("[{" if place == "summary" else "{") + (2 if place == "summary" else 1)
        archives.changed(path, {name: f'{text[:start]}"x":{swelling},{text[start:]}'})
        assert path.stat().st_size < 50_000
    with pytest.raises(DataError, match=r"unpacks to more than 10,000 values, more than is read of one log; write"):
        read_log(path, ReadOptions())
    monkeypatch.setattr(content, "_MOST_VALUES", 1e9)
    monkeypatch.setattr(content, "_MOST_BYTES", 20_000)
    with pytest.raises(DataError, match=r"unpacks to more than 20,000 bytes"):
        read_log(path, ReadOptions())


def test_members_that_are_not_read_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_MOST_BYTES", 100_000)
    monkeypatch.setattr(inspect_logs, "_PROMPTS", 3)
    samples = [archives.sample(i, {"match": "C"}, store={"x": "y" * 20_000}) for i in range(40)]
    path = archives.write(tmp_path / "l.eval", archives.log(samples))
    assert len(read_log(path, ReadOptions())["who"].scores) == 40


def test_answers_and_refusals_are_read(tmp_path: Path) -> None:
    scored = [{"value": "C", "answer": "a"}, {"value": "I", "answer": ""}, {"value": "I", "reason": "refusal"}]
    samples = [archives.sample(i, {}) | {"scores": {"match": score}} for i, score in enumerate(scored)]
    for name in ("l.eval", "l.json"):
        path = archives.write(tmp_path / name, archives.log(samples))
        table = read_log(path, ReadOptions())["who"].scores.table
        assert table.column("answer").to_pylist() == ["a", "", None]
        assert table.column("outcome").to_pylist() == [None, "no_response", "refusal"]


def test_targets_that_are_labels_and_the_chance_of_choices_are_read(tmp_path: Path) -> None:
    scored = [{"value": "CI"[k % 2], "answer": "Yes"} for k in range(8)]
    samples = [
        archives.sample(k, {}, target=["yes", "no"][k % 2], choices=["Yes", "No"]) | {"scores": {"choice": score}}
        for k, score in enumerate(scored)
    ]
    for name in ("l.eval", "l.json"):
        path = archives.write(tmp_path / name, archives.log(samples))
        scores = read_log(path, ReadOptions())["who"].scores
        assert scores.table.column("label").to_pylist() == ["yes", "no"] * 4
        assert set(scores.table.column("answer").to_pylist()) == {"yes"}
        assert set(scores.table.column("chance").to_pylist()) == {0.5}
        assert (scores.metric.name, "balanced_accuracy" in scores.metrics) == ("choice", True)
    # Answers in sentences are no labels: nothing follows from their being unlike.
    told = [sample | {"scores": {"choice": {"value": "C", "answer": "It is so."}}} for sample in samples]
    scores = read_log(archives.write(path, archives.log(told)), ReadOptions())["who"].scores
    assert scores.table.column("label").null_count == 8
    # Of letters there are no labels, and the chance is that of the choices.
    lettered = [sample | {"target": "ABCD"[k % 4], "choices": list("abcd")} for k, sample in enumerate(samples)]
    scores = read_log(archives.write(path, archives.log(lettered)), ReadOptions())["who"].scores
    assert set(scores.table.column("chance").to_pylist()) == {0.25}
    assert scores.metrics == ("choice",)


def test_the_last_of_two_members_of_one_name_holds(tmp_path: Path) -> None:
    told = archives.sample(0, {"match": 1})
    path = archives.write(tmp_path / "l.eval", archives.log([archives.sample(0, {"match": 0})]))
    again = {archives.member(told): told, "summaries.json": [archives.summary(told)]}
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in again.items():
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr(name, archives.compact(content))
    assert read_log(path, ReadOptions())["who"].scores.item_scores().tolist() == [1]


def test_without_inspect_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = side(tmp_path / "b.json", 0)
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(ConfigError, match=r"pip install 'chaintune\[inspect\]'"):
        read_log(path, ReadOptions())


def test_only_a_log_of_inspect_loads_it(tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text('{"id": 1, "score": 1}\n')
    code = (
        "import sys, pathlib\nfrom chaintune import compare\n"
        f"path = pathlib.Path({str(table)!r})\ncompare(path, path, resamples=100)\n"
        "sys.exit('inspect_ai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
    assert isinstance(inspect_logs.read(side(tmp_path / "l.json", 0), ReadOptions())[0].scores, Scores)


def written(path: Path, told: Mapping[str, Any]) -> Path:
    """The log as inspect-ai itself writes it into an archive."""
    from inspect_ai.log import read_eval_log, write_eval_log

    write_eval_log(read_eval_log(BytesIO(json.dumps(told).encode()), format="json"), str(path), format="eval")
    return path


def assert_same(one: Log, other: Log) -> None:
    assert one.scores.table.equals(other.scores.table)
    for name in ("facts", "doubts", "dimensions", "fields"):
        assert getattr(one, name) == getattr(other, name)
    assert {name: column.to_pylist() for name, column in one.digests.items()} == {
        name: column.to_pylist() for name, column in other.digests.items()
    }


def with_epochs(*values: Any) -> list[dict[str, Any]]:
    """The last epoch first, and of the second example no first epoch."""
    return [
        archives.sample(k, {"judge": value}, epoch=epoch, choices=[f"in {epoch}"], metadata={"group": f"g{epoch}"})
        for k, part in enumerate(values)
        for epoch, value in reversed(list(enumerate(part, 1)))
        if (k, epoch) != (1, 1)
    ]


def with_metadata(*values: Any) -> list[dict[str, Any]]:
    return [archives.sample(k, {"judge": k % 2}, metadata={"g": value}) for k, value in enumerate(values)]


def named(*ids: Any) -> list[dict[str, Any]]:
    return [archives.sample(0, {"judge": "C"}, id=name) for name in ids]


BY_G = ReadOptions(dimensions=("metadata.g",))
CASES: dict[str, tuple[list[dict[str, Any]], ReadOptions, dict[str, Any]]] = {
    "several scorers": (
        [archives.sample(k, {"a": "C", "b": "IC"[k % 2], "a.b": 1}) for k in range(N)],
        ReadOptions(metric="b"),
        {},
    ),
    "another scale": ([archives.sample(k, {"judge": k + 1}) for k in range(5)], ReadOptions(scale=(1, 5)), {}),
    "epochs": (
        with_epochs((0.1, 0.2, 0.7), (1, 0.3, 0.6), (0.1, math.nan, 0.3)),
        ReadOptions(dimensions=("metadata.group",)),
        {"config": {"epochs": 3, "epochs_reducer": ["mean", "mode"]}},
    ),
    "ids that are numbers": (named(3, 10, 2, 1), ReadOptions(), {}),
    "ids of any text": (named("a/b", "../c", "ü ß", "日本", 'q"x', "a_epoch_1"), ReadOptions(), {}),
    "groups, targets and clusters": (
        [archives.sample(k, {"judge": "C"}) for k in range(4)],
        ReadOptions(dimensions=("metadata.group", "target"), cluster="metadata.unit"),
        {},
    ),
    "another id": (
        [archives.sample(k, {"judge": "C"}, metadata={"key": f"k{k}"}) for k in range(4)],
        ReadOptions(columns={"id": "metadata.key"}),
        {},
    ),
    "groups with white space": (with_metadata(" a  b\n", "a b", "a\tb", "\u00a0c", ""), BY_G, {}),
    "groups that a summary shortens": (with_metadata("x" * 2000 + "a", "x" * 2000 + "b"), BY_G, {}),
    "groups that a summary leaves out": (
        with_metadata({"h": "a", "i": "x" * 2000}, {"h": "b"}),
        ReadOptions(dimensions=("metadata.g.h",)),
        {},
    ),
    "other metadata that a summary leaves out": (
        [archives.sample(k, {"judge": "C"}, metadata={"g": "a", "i": ["x" * 2000]}) for k in range(4)],
        BY_G,
        {},
    ),
    "questions of messages": (
        [archives.sample(0, {"judge": "C"}, input=[{"role": "user", "content": "Who?"}], target=["a", "b"])],
        ReadOptions(),
        {},
    ),
    "questions that a summary cuts": (
        [archives.sample(k, {"judge": "C"}, input="ü" * 9000, target="y" * 9000) for k in range(2)],
        ReadOptions(),
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_archives_and_json_hold_the_same(tmp_path: Path, name: str) -> None:
    samples, wanted, changes = CASES[name]
    told = archives.log(samples, **changes)
    paths = [
        archives.write(tmp_path / "l.json", told),
        written(tmp_path / "l.eval", told),
        archives.write(tmp_path / "without.eval", told, summaries=False),
    ]
    whole, *others = (read_log(path, wanted)["who"] for path in paths)
    for other in others:
        assert_same(whole, other)


def test_prompts_of_the_same_examples_are_read_of_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_logs, "_PROMPTS", 7)
    sides = []
    for number, (asked, suffix) in enumerate((("Who?", ".eval"), ("Whom?", ".json"))):
        samples = [
            archives.sample(k, {"match": 1}, messages=[{"role": "user", "content": asked}])
            for k in range(40)
            if k not in (3 + number, 20 + number)
        ]
        path = archives.write(tmp_path / f"l{suffix}", archives.log(samples))
        sides.append(read_log(path, ReadOptions())["who"])
    for log in sides:
        known = {name: len(column) - column.null_count for name, column in log.digests.items()}
        assert known == {"input": 38, "target": 38, "prompt": 7}
    # The same examples are drawn on both sides, but for those that one side lacks.
    (told,) = objections(*sides)
    count, shared = (int(word) for word in told.split("(")[0].split() if word.isdigit())
    assert count == shared >= 5
    assert told.startswith("the prompt differs")


def test_one_score_has_to_be_named_before_any_sample_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [archives.sample(k, {"match": "C", "judge": {"kind": 1, "true": 0}}) for k in range(3)]
    path = archives.write(tmp_path / "l.eval", archives.log(samples))
    monkeypatch.setattr("inspect_ai.log.read_eval_log_sample_summaries", lambda *_: pytest.fail("they were read"))
    with pytest.raises(ConfigError, match="no log of task 'nobody'"):
        read_log(path, ReadOptions(tasks=("nobody",)))


@pytest.mark.parametrize("suffix", [".eval", ".json"])
def test_a_damaged_log_is_told_in_one_sentence(tmp_path: Path, suffix: str) -> None:
    path = side(tmp_path / f"l{suffix}", 0)
    data = path.read_bytes()
    # What is JSON of another form is no log of Inspect in the first place.
    for damaged in (data[: len(data) // 2], b'{"eval": 1}', *([b"", b"PK"] if suffix == ".eval" else [])):
        path.write_bytes(damaged)
        with pytest.raises(
            DataError, match=r"inspect-ai cannot read it, damaged, cut off or no log of Inspect \("
        ) as e:
            read_log(path, ReadOptions())
        assert "\n" not in str(e.value)
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        read_log(path, ReadOptions())


def test_a_member_of_zstandard_that_is_damaged(tmp_path: Path) -> None:
    path = written(tmp_path / "l.eval", archives.log([archives.sample(0, {"match": 1})]))
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("summaries.json")
    assert info.compress_type == 93
    data = bytearray(path.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    data[start : start + info.compress_size] = bytes(info.compress_size)
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="inspect-ai cannot read it"):
        read_log(path, ReadOptions())


def test_a_summary_without_its_sample_is_damage(tmp_path: Path) -> None:
    path = side(tmp_path / "l.eval", 0)
    archives.changed(path, {"samples/q3_epoch_1.json": None})
    with pytest.raises(DataError, match="q3"):
        read_log(path, ReadOptions())
