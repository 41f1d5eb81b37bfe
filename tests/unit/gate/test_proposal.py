"""Proposed budgets are a policy that passes when nothing is lost, and say what the usual ones would need."""

import io
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import chaintune
from chaintune.cli.app import main
from chaintune.errors import ConfigError
from chaintune.forgetting.grouping import grouping
from chaintune.gate import judge, read_policy
from chaintune.gate.proposal import _scatter, proposed_policy
from chaintune.logs.options import CompareOptions, ReadOptions
from chaintune.records import Scores
from tests import synthetic
from tests.unit.logs import logs

N = 600


def side(rng: np.random.Generator, *, flips: float = 0.0, before: list[bool] | None = None) -> list[bool]:
    """Right answers, three in four; or those of before, of which so many flip either way."""
    if before is None:
        return [bool(number) for number in rng.random(N) < 0.75]
    changes = {True: flips / 2 / 0.75, False: flips / 2 / 0.25}
    return [(not right) if rng.random() < changes[right] else right for right in before]


def stored(folder: Path, right: list[bool], name: str) -> Path:
    groups = {"faith": ["a", "b", "c"] * (N // 3)}
    synthetic.scores(right, groups=groups).write(folder / name)
    return folder / name


def test_proposed_budgets_pass_when_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rows_of in ("_power_rows", "_detectable_rows"):  # which no budget reads
        monkeypatch.setattr(f"chaintune.forgetting.rows.{rows_of}", lambda *_: [])
    rng = np.random.default_rng(0)
    before = side(rng)
    (tmp_path / "policy.yaml").write_text(proposed_policy([stored(tmp_path, before, "before.parquet")], draws=60))
    policy = read_policy(tmp_path / "policy.yaml")
    assert {budget.statistic for budget in policy.budgets} == {"forgetting", "biased_forgetting"}
    answers = []
    for number in range(25):
        after = side(np.random.default_rng([1, number]), flips=0.18, before=before)
        stored(tmp_path, after, "after.parquet")
        compared = chaintune.compare(
            tmp_path / "before.parquet", tmp_path / "after.parquet", by=["faith"], resamples=300
        )
        answers.append(judge(policy, [compared]).answer)
    assert "fail" not in answers
    # 80 %, less two and a half standard errors of 25 data sets.
    assert answers.count("pass") >= 25 * 0.8 - 2.5 * 2


def test_two_files_say_how_much_flips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    before = side(rng)
    paths = [stored(tmp_path, before, "b.parquet")]
    paths += [stored(tmp_path, side(rng, flips=0.02, before=before), "a.parquet")]
    limits = []
    for some in (paths, paths[:1]):
        (tmp_path / "p.yaml").write_text(proposed_policy(some, draws=40))
        limits.append(max(budget.limit.value for budget in read_policy(tmp_path / "p.yaml").budgets))
    assert limits[0] < limits[1]


def test_what_a_group_lost_between_two_files_is_no_scatter(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    before = rng.random(N) < 0.75
    lost = (before ^ (rng.random(N) < 0.02)) & ((np.arange(N) % 3 > 0) | (rng.random(N) < 0.6))  # 40 % of group a
    labels: dict[str, Any] = {
        "groups": {"faith": ["a", "b", "c"] * (N // 3)}, "clusters": [f"c{n % 60}" for n in range(N)]
    }  # fmt: skip
    paths = [tmp_path / "b.parquet", tmp_path / "a.parquet"]
    for one, path in zip((before, lost), paths, strict=True):
        synthetic.scores(one.tolist(), **labels).write(path)
    (tmp_path / "p.yaml").write_text(proposed_policy(paths, draws=30))
    limits = {budget.statistic: budget.limit.value for budget in read_policy(tmp_path / "p.yaml").budgets}
    assert limits["biased_forgetting"] < 0.08, "it was 0.095, as if clusters of one group were alike by chance"
    groups = grouping(Scores.read(paths[0]), ("faith",))
    change = rng.normal(size=N)
    losses = np.array([0.5, 0.0, -0.2] * (N // 3))
    assert np.allclose(_scatter(groups, change + losses), _scatter(groups, change), atol=1e-5)
    few = grouping(Scores.read(paths[0]).at(pa.array([place < 5 for place in range(N)])), ("faith",))
    assert _scatter(few, losses[:5]).std() > 0.1, "five clusters do not tell three groups' losses from scatter"


def test_what_cannot_be_kept_says_what_it_needs(tmp_path: Path) -> None:
    text = proposed_policy([stored(tmp_path, side(np.random.default_rng(0)), "b.parquet")], draws=40)
    assert "it needs about" in text
    assert "examples a group (here 200)" in text


def test_scores_not_above_chance_have_no_budget(tmp_path: Path) -> None:
    half = [bool(number) for number in np.random.default_rng(0).random(N) < 0.5]
    with pytest.raises(ConfigError, match="no task of which a budget could be kept"):
        proposed_policy([stored(tmp_path, half, "b.parquet")], draws=5)


def test_the_command_writes_it_and_leaves_a_file_that_is_there(tmp_path: Path) -> None:
    scores = stored(tmp_path, side(np.random.default_rng(0)), "b.parquet")
    command = ["policy", "init", str(tmp_path / "p.yaml"), "--scores", str(scores)]
    with pytest.raises(SystemExit) as first:
        main(command)
    assert first.value.code == 0
    assert read_policy(tmp_path / "p.yaml").budgets
    text = (tmp_path / "p.yaml").read_text()
    with pytest.raises(SystemExit) as again:
        main(command)
    assert again.value.code == 2
    assert (tmp_path / "p.yaml").read_text() == text


def test_budgets_are_of_the_fields_tasks_and_clusters_of_a_log_that_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = logs.write(tmp_path / "b", [logs.sample(number, number % 8 > 0) for number in range(240)])
    filtered = [logs.sample(i, rng.random() < 0.9, filter=name) for name in ("strict", "loose") for i in range(240)]
    logs.write(folder, filtered, task="sums")
    path, command = tmp_path / "p.yaml", ["policy", "init", str(tmp_path / "p.yaml")]
    wrong = {
        ("--by", "doc.category"): "add --scores",
        ("--scores", str(folder)): "choose one as --filter: strict, loose",
        ("--scores", str(folder), "--task", "faith", "--by", "doc.kategory"): "did you mean 'doc.category'",
        ("--scores", str(folder), "--task", "faith", "--by", "doc.category x doc.template"): "of one dimension",
    }
    for options, said in wrong.items():
        with redirect_stderr(io.StringIO()) as told, pytest.raises(SystemExit):
            main([*command, *options])
        assert said in " ".join(told.getvalue().split())
    read = CompareOptions(("doc.category",), read=ReadOptions(cluster="doc.template", tasks=("faith",)))
    path.write_text(proposed_policy([folder], read, draws=5))
    assert {budget.by for budget in read_policy(path).budgets} == {"", "doc.category"}
    assert "compare BEFORE AFTER --cluster doc.template --policy FILE" in path.read_text()
    assert "240 examples in" in path.read_text()
    assert "240 clusters" not in path.read_text()
