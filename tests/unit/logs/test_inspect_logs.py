"""Logs of Inspect."""

import json
import logging
import math
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chaintune
from chaintune.errors import ConfigError, DataError
from chaintune.logs import archives, inspect_logs
from chaintune.logs.log import Wanted
from chaintune.logs.readers import read_log
from chaintune.records import ItemScores
from tests import made_up
from tests.unit.logs import inspected

FAST = 200
N = 40


def answers(seed: int) -> list[int]:
    return [int(right) for right in np.random.default_rng(seed).random(N) < 0.6]


def side(path: Path, seed: int, **changes: Any) -> Path:
    samples = [inspected.sample(i, {"match": "IC"[right]}) for i, right in enumerate(answers(seed))]
    return inspected.write(path, inspected.log(samples, **changes))


def scores_of(path: Path, samples: list[dict[str, Any]], wanted: Wanted | None = None, **changes: Any) -> list[float]:
    inspected.write(path, inspected.log(samples, **changes))
    found = read_log(path, wanted or Wanted())["who"].scores
    return [float(score) for score in found.item_scores()]


@pytest.mark.parametrize("kinds", [("b.eval", "a.eval"), ("b.json", "a.eval"), ("b.json", "a.json")])
def test_figures_equal_those_of_our_own_scores_of_the_same_items(tmp_path: Path, kinds: tuple[str, str]) -> None:
    before, after = (side(tmp_path / name, seed) for seed, name in enumerate(kinds))
    found = chaintune.compare(before, after, by=["metadata.group"], cluster="metadata.unit", resamples=FAST)
    groups = {"metadata.group": ["ab"[i % 2] for i in range(N)]}
    clusters, ids = [f"t{i // 2}" for i in range(N)], [f"q{i}" for i in range(N)]
    own = [made_up.scores(answers(seed), groups=groups, clusters=clusters, ids=ids, noise=seed) for seed in (0, 1)]
    expected = chaintune.compare(own[0], own[1], by=["metadata.group"], resamples=FAST)
    for part in ("overall", "groups", "disparities"):
        assert found.to_dict()[part] == expected.to_dict()[part]
    assert (found.task, found.metric, found.forced) == ("who", "match", ())


def test_folders_hold_tasks_and_one_may_be_named(tmp_path: Path) -> None:
    for when, seed in (("b", 0), ("a", 1)):
        side(tmp_path / when / "one.eval", seed)
        side(tmp_path / when / "deeper" / "two.json", seed, task="whom")
    found = chaintune.logs.compare_all(tmp_path / "b", tmp_path / "a", resamples=FAST)
    assert sorted(row.task for row in found) == ["who", "whom"]
    assert list(read_log(tmp_path / "b", Wanted(tasks=("whom",)))) == ["whom"]
    with pytest.raises(ConfigError, match="no log of task 'nobody'"):
        read_log(tmp_path / "b", Wanted(tasks=("nobody",)))
    side(tmp_path / "b" / "again.eval", 0)
    with pytest.raises(DataError, match="name one of the files"):
        read_log(tmp_path / "b", Wanted())


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
    samples = [inspected.sample(0, {"judge": value}), inspected.sample(1, {"judge": "C"})]
    assert scores_of(tmp_path / "l.eval", samples) == [expected, 1]
    from inspect_ai.scorer import value_to_float

    assert value_to_float()(value) == expected


@pytest.mark.parametrize("value", ["A", "", 7, [1, 0], "1e999", "nan", 10**400, -math.inf])
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_value_that_is_no_score_is_refused_with_its_sample(tmp_path: Path, value: Any, epochs: int) -> None:
    samples = [inspected.sample(3, {"judge": value}, epoch=epoch + 1) for epoch in range(epochs)]
    with pytest.raises(DataError, match=r"'q3': score is|no log that inspect-ai understands"):
        scores_of(tmp_path / "l.json", samples)


def test_several_scorers_have_to_be_told_apart(tmp_path: Path) -> None:
    samples = [inspected.sample(i, {"match": "C", "judge": {"kind": 1, "true": i % 2}}) for i in range(4)]
    path = tmp_path / "l.eval"
    with pytest.raises(ConfigError, match=r"3 scores, name one as the metric: match, judge.kind, judge.true"):
        scores_of(path, samples)
    assert scores_of(path, samples, Wanted(metric="judge.true")) == [0, 1, 0, 1]
    with pytest.raises(ConfigError, match=r"did you mean 'judge\.kind'"):
        scores_of(path, samples, Wanted(metric="judge.kin"))


def test_epochs_are_averaged_where_scored_and_unscored_examples_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = [("C", "I"), ("C", math.nan), (math.nan, math.nan), ("P", None)]
    samples = [
        inspected.sample(i, {"match": value} if value is not None else {}, epoch=epoch)
        for i, values in enumerate(given)
        for epoch, value in enumerate(values, 1)
    ]
    with caplog.at_level(logging.WARNING):
        assert scores_of(tmp_path / "l.eval", samples) == [0.5, 1, 0.5]
    assert "1 of 4 examples have no score" in caplog.text
    before = inspected.write(tmp_path / "b.eval", inspected.log([inspected.sample(i, {"match": 1}) for i in range(4)]))
    with pytest.raises(DataError, match="1 only before"):
        chaintune.compare(before, tmp_path / "l.eval", resamples=FAST)
    found = chaintune.compare(before, tmp_path / "l.eval", on_missing="intersect", resamples=FAST)
    assert (found.overall.forgetting.n, found.n_left_out) == (3, 1)


def test_another_way_over_the_epochs_is_read_from_the_log(tmp_path: Path) -> None:
    samples = [inspected.sample(i, {"match": "IC"[epoch % 2]}, epoch=epoch) for i in range(2) for epoch in (1, 2)]
    config = {"epochs": 2, "epochs_reducer": ["at_least_1"]}
    reduced = [{"scorer": "match", "reducer": "at_least_1", "samples": [{"sample_id": "q0", "value": 1}]}]
    reduced[0]["samples"] += [{"sample_id": "q1", "value": 0}]  # type: ignore[operator]
    path = tmp_path / "l.eval"
    # inspect-ai leaves the reductions of a log without results alone, so they are given both.
    assert scores_of(path, samples, config=config, reductions=reduced) == [1, 0]
    with pytest.raises(DataError, match=r"expected one reduction \(at_least_1\) of 'match' over epochs, got 0"):
        scores_of(path, samples, config=config)
    config["epochs_reducer"] = ["at_least_1", "mode"]
    with pytest.raises(DataError, match="reduced in 2 ways"):
        scores_of(path, samples, config=config, reductions=reduced)
    assert scores_of(path, [*samples[:1], *samples[2:3]], config=config) == [1, 1]


def test_one_epoch_twice_and_two_ids_alike_are_refused(tmp_path: Path) -> None:
    twice = [inspected.sample(0, {"match": value}) for value in ("C", "I")]
    with pytest.raises(DataError, match="sample 'q0' of epoch 1 appears twice"):
        scores_of(tmp_path / "l.json", twice)
    alike = [inspected.sample(0, {"match": "C"}, id=name) for name in (1, "1")]
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
        ({}, {"status": "error"}, "after, the run has status 'error'"),
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
    both = [[inspected.sample(0, {"m": 1}), inspected.sample(1, {"m": 1}, **told)] for told in ({}, changes)]
    paths = [inspected.write(tmp_path / f"{k}.eval", inspected.log(part)) for k, part in enumerate(both)]
    with pytest.raises(DataError, match=said):
        chaintune.compare(paths[0], paths[1], resamples=FAST)
    # What only one side tells is not held against it.
    silent = [{name: value for name, value in part.items() if name != "messages"} for part in both[0]]
    third = inspected.write(tmp_path / "2.json", inspected.log(silent))
    assert chaintune.compare(paths[0], third, resamples=FAST).forced == ()


def test_samples_of_an_older_form_are_read(tmp_path: Path) -> None:
    old = inspected.sample(0, {})
    del old["scores"]
    assert scores_of(tmp_path / "l.json", [old | {"score": {"value": "C"}}]) == [1]


def test_a_run_that_was_cut_short_has_only_its_beginning(tmp_path: Path) -> None:
    told = inspected.log([])
    path = tmp_path / "l.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_journal/start.json", json.dumps({"version": 2, "eval": told["eval"]}))
        archive.writestr("samples/0.json", json.dumps(inspected.sample(0, {"match": 1})))
    assert read_log(path, Wanted())["who"].doubts == ("the run has status 'started'",)


@pytest.mark.parametrize("summarised", [True, False])
def test_the_last_of_two_members_of_one_name_holds(tmp_path: Path, summarised: bool) -> None:
    told = inspected.sample(0, {"match": 1})
    path = inspected.write(tmp_path / "l.eval", inspected.log([inspected.sample(0, {"match": 0})]))
    again = {inspected.member(told): told} | ({"summaries.json": [inspected.summary(told)]} if summarised else {})
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in again.items():
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr(name, inspected.compact(content))
    assert read_log(path, Wanted())["who"].scores.item_scores().tolist() == [1]


def bomb(path: Path, member: str, size: int) -> Path:
    """A header and one member of spaces, a thousandth of its size on disk."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(inspected.log([])))
        with archive.open(member, "w", force_zip64=True) as file:
            for _ in range(size // 2**20):
                file.write(b" " * 2**20)
    return path


def test_an_archive_that_would_unpack_to_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES_A_MEMBER", 3 * 2**20)
    monkeypatch.setattr(archives, "_member", lambda *_: pytest.fail("it was read"))
    for member in ("samples/0.json", "reductions.json", "header.json"):
        path = tmp_path / "bomb.eval"
        if member == "header.json":
            with pytest.warns(UserWarning, match="Duplicate name"):
                bomb(path, member, 4 * 2**20)
        else:
            bomb(path, member, 4 * 2**20)
        with pytest.raises(DataError, match="would unpack to more than 3 MiB"):
            read_log(path, Wanted())
    monkeypatch.setattr(archives, "MOST_BYTES", 2**20)
    with pytest.raises(DataError, match="would unpack to more than 0 GiB"):
        read_log(bomb(tmp_path / "bomb.eval", "samples/0.json", 2 * 2**20), Wanted())


def test_an_archive_that_lies_about_its_sizes_is_not_believed(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.eval", "samples/0.json", 4 * 2**20)
    data = path.read_bytes()
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"samples/0.json"))
    # The size after unpacking stands 24 bytes into the entry of the directory.
    path.write_bytes(data[: at + 24] + (10).to_bytes(4, "little") + data[at + 28 :])
    with pytest.raises(DataError, match=r"not a readable \.eval archive"):
        read_log(path, Wanted())


def test_other_methods_and_encryption_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("header.json", json.dumps(inspected.log([])))
    with pytest.raises(DataError, match="does not use"):
        read_log(path, Wanted())
    inspected.write(path, inspected.log([inspected.sample(0, {"m": 1})]))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        read_log(path, Wanted())


def test_without_inspect_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = side(tmp_path / "b.json", 0)
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(ConfigError, match=r"pip install 'chaintune\[inspect\]'"):
        read_log(path, Wanted())


def test_summaries_are_read_without_inspect(tmp_path: Path) -> None:
    paths = [str(side(tmp_path / name, seed)) for seed, name in enumerate(("b.eval", "a.eval"))]
    code = (
        "import sys, pathlib\nfrom chaintune.logs import compare_all\n"
        f"before, after = map(pathlib.Path, {paths})\ncompare_all(before, after, resamples=100)\n"
        "sys.exit(bool({'inspect_ai', 'pydantic_core', 'zstandard', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_only_a_log_of_inspect_loads_it(tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text('{"id": 1, "score": 1}\n')
    code = (
        "import sys, pathlib\nfrom chaintune.logs import compare_all\n"
        f"path = pathlib.Path({str(table)!r})\ncompare_all(path, path, resamples=100)\n"
        "sys.exit('inspect_ai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
    assert isinstance(inspect_logs.read(side(tmp_path / "l.json", 0), Wanted())[0].scores, ItemScores)
