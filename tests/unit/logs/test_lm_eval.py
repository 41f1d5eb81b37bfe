"""Sample logs of lm-evaluation-harness."""

from pathlib import Path

import numpy as np
import pytest

import chaintune
from chaintune.errors import ConfigError, DataError
from chaintune.logs import compare_all
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import read_log
from tests import synthetic
from tests.unit.logs import logs

FAST = 200
N = 60


def answers(seed: int) -> list[int]:
    return [int(right) for right in np.random.default_rng(seed).random(N) < 0.6]


def two(tmp_path: Path, **changes: object) -> tuple[Path, Path]:
    """Folders before and after; `changes` alter every line after."""
    before = logs.write(tmp_path / "b", [logs.sample(i, right) for i, right in enumerate(answers(0))])
    after = logs.write(tmp_path / "a", [logs.sample(i, right, **changes) for i, right in enumerate(answers(1))])
    return before, after


def test_figures_equal_those_of_our_own_scores_of_the_same_items(tmp_path: Path) -> None:
    before, after = two(tmp_path)
    found = chaintune.compare(before, after, by=["doc.category"], cluster="doc.template", resamples=FAST)
    groups = {"doc.category": ["ab"[i % 2] for i in range(N)]}
    clusters, ids = [f"t{i // 2}" for i in range(N)], [str(i) for i in range(N)]
    own = [synthetic.scores(answers(seed), groups=groups, clusters=clusters, ids=ids, noise=seed) for seed in (0, 1)]
    expected = chaintune.compare(own[0], own[1], by=["doc.category"], resamples=FAST)
    for part in ("overall", "groups", "disparities"):
        assert found.to_dict()[part] == expected.to_dict()[part]
    assert (found.task, found.metric) == ("faith", "acc")


def test_a_folder_may_hold_several_tasks_and_a_file_is_one(tmp_path: Path) -> None:
    before, after = two(tmp_path)
    for folder in (before, after):
        logs.write(folder, [logs.sample(i, i % 2) for i in range(10)], task="other_task", shots=None)
    assert {found.task for found in compare_all(before, after, resamples=FAST)} == {"faith", "other_task"}
    with pytest.raises(DataError, match="2 tasks, name one"):
        chaintune.compare(before, after, resamples=FAST)
    assert chaintune.compare(before, after, task="other_task", resamples=FAST).overall.forgetting.n == 10
    with pytest.raises(ConfigError, match="did you mean 'other_task'"):
        compare_all(before, after, task="other_tsk", resamples=FAST)
    files = [next(folder.rglob("samples_faith_*")) for folder in (before, after)]
    assert chaintune.compare(files[0], files[1], resamples=FAST).task == "faith"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt_hash": "other"}, "the prompt differs in 60 of 60 examples"),
        ({"doc_hash": "other"}, "the document differs in 60 of 60 examples"),
        ({"target_hash": "other"}, "the target differs in 60 of 60 examples"),
    ],
)
def test_other_questions_are_refused_and_force_says_so(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    before, after = two(tmp_path, **changes)
    with pytest.raises(DataError, match=said):
        chaintune.compare(before, after, resamples=FAST)
    found = chaintune.compare(before, after, force=True, resamples=FAST)
    assert len(found.forced) == 1
    assert said in found.forced[0]


def test_other_versions_and_shots_are_refused(tmp_path: Path) -> None:
    lines = [logs.sample(i, 1) for i in range(9)]
    before = logs.write(tmp_path / "b", lines, version=1.0, shots=0)
    after = logs.write(tmp_path / "a", lines, version=2.0, shots=5)
    with pytest.raises(DataError, match=r"task version is 1.0 before and 2.0 after; few-shot examples is 0 before and"):
        chaintune.compare(before, after, resamples=FAST)
    unknown = logs.write(tmp_path / "u", lines, shots=None)
    assert chaintune.compare(before, unknown, resamples=FAST).forced == ()


def test_a_metric_is_chosen_or_asked_for(tmp_path: Path) -> None:
    before, after = two(tmp_path)
    plain = chaintune.compare(before, after, resamples=FAST)
    turned = chaintune.compare(before, after, metric="acc_norm", resamples=FAST)
    assert turned.overall.forgetting.value == -plain.overall.forgetting.value
    with pytest.raises(DataError, match="did you mean 'acc_norm'"):
        chaintune.compare(before, after, metric="acc_nrm", resamples=FAST)
    lines = [logs.sample(0, 1, metrics=["em", "f1"], em=1.0, f1=0.5)]
    folder = logs.write(tmp_path / "m", lines)
    with pytest.raises(ConfigError, match="name the metric, there is several: em, f1"):
        read_log(folder, ReadOptions())


def test_filters_are_told_apart(tmp_path: Path) -> None:
    lines = [logs.sample(i, right, filter=name) for name, right in (("strict", 0), ("flexible", 1)) for i in range(8)]
    folder = logs.write(tmp_path / "f", lines)
    with pytest.raises(ConfigError, match="filtered in 2 ways, name one: strict, flexible"):
        read_log(folder, ReadOptions())
    for name, value in (("strict", 0.0), ("flexible", 1.0)):
        scores = read_log(folder, ReadOptions(filter=name))["faith"].scores
        assert scores.item_scores().tolist() == [value] * 8
    with pytest.raises(ConfigError, match="did you mean 'strict'"):
        read_log(folder, ReadOptions(filter="strit"))


def test_one_task_twice_is_refused(tmp_path: Path) -> None:
    folder = logs.write(tmp_path / "b", [logs.sample(0, 1)])
    first = next(folder.rglob("samples_*"))
    first.with_name("samples_faith_2027-01-01T00-00-00.jsonl").write_bytes(first.read_bytes())
    with pytest.raises(DataError, match="name one of the files"):
        read_log(folder, ReadOptions())


def test_a_field_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    before, after = two(tmp_path)
    with pytest.raises(ConfigError, match=r"did you mean 'doc.category'"):
        chaintune.compare(before, after, by=["doc.categry"], resamples=FAST)


def test_results_without_samples_are_told_from_other_logs(tmp_path: Path) -> None:
    folder = logs.write(tmp_path / "b", [logs.sample(0, 1)])
    next(folder.rglob("samples_*")).unlink()
    for path in (folder, next(folder.rglob("results_*"))):
        with pytest.raises(DataError, match="run it with --log_samples"):
            read_log(path, ReadOptions())
