"""What a comparison says of its logs beside its numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chaintune
from chaintune.errors import ConfigError, DataError
from chaintune.records import Comparison, Generation
from chaintune.report.results import Results
from chaintune.report.words import summary
from tests.synthetic import compare_all, written
from tests.unit.logs.logs import sample, write

FAST = 200


def compared(ids: list[str], folder: Path, *, prompts: list[str] | None = None, **options: Any) -> Comparison:
    """Two logs of lm-eval where there are prompts, else two tables."""
    rng = np.random.default_rng(0)
    right = (rng.random(len(ids)) < 0.7).astype(float).tolist()
    if prompts:
        lines = [sample(n, score, prompt_hash=prompts[n]) for n, score in enumerate(right)]
        log = write(folder, lines)
        return chaintune.compare(log, log, resamples=FAST, **options)
    rows = [{"id": name, "score": score} for name, score in zip(ids, right, strict=True)]
    return chaintune.compare(rows, rows, resamples=FAST, **options)


@pytest.mark.parametrize("ids", [
    [f"Age/{n // 4}/{n % 4}" for n in range(80)],
    [f"q{n // 5}#{n % 5}" for n in range(80)],
    [f"item_{n // 2}-{'ab'[n % 2]}" for n in range(80)],
])  # fmt: skip
def test_ids_that_look_like_templates_are_told_while_no_cluster_is_named(ids: list[str], tmp_path: Path) -> None:
    comparison = compared(ids, tmp_path)
    assert "--cluster" in comparison.cautions["templates"]
    assert comparison.cautions["templates"] in summary(Results.of([comparison]))


@pytest.mark.parametrize("ids", [
    [str(n) for n in range(80)],
    [f"test-{n}" for n in range(80)],
    [f"{n}/{n * 7}" for n in range(80)],
    [f"q{n // 5}#{n % 5}" for n in range(79)] + ["other"],
])  # fmt: skip
def test_other_ids_are_not_taken_for_templates(ids: list[str], tmp_path: Path) -> None:
    assert "templates" not in compared(ids, tmp_path).cautions


def test_a_table_without_prompts_says_that_none_were_compared_and_a_log_with_prompts_does_not(tmp_path: Path) -> None:
    ids = [str(n) for n in range(40)]
    assert "was not checked" in compared(ids, tmp_path).cautions["prompts"]
    assert not compared(ids, tmp_path, prompts=ids).cautions


def test_examples_that_share_a_prompt_are_told(tmp_path: Path) -> None:
    ids = [str(n) for n in range(40)]
    text = compared(ids, tmp_path, prompts=[str(n // 2) for n in range(20)] + ids[20:]).cautions["equal prompts"]
    assert text.startswith("20 examples of 40 share")


def test_each_kind_is_told_once_for_all_tasks(tmp_path: Path) -> None:
    rows = [{"id": str(n), "score": n % 2, "task": task} for task in ("t", "u") for n in range(40)]
    comparisons = compare_all(rows, rows, resamples=FAST)
    told = [summary(part).count("was not checked") for part in Results.of(comparisons).parts]
    assert told == [1, 0]
    assert all("prompts" in one.cautions for one in comparisons)


def test_the_error_rate_is_divided_by_how_many_the_later_one_was_chosen_of(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    before = [{"id": str(n), "score": float(rng.random() < 0.7)} for n in range(300)]
    after = [row | {"score": float(rng.random() < 0.6)} for row in before]
    chosen = chaintune.compare(before, after, resamples=2000, chosen_of=10)
    strict = chaintune.compare(before, after, resamples=2000, level=0.995)
    assert chosen.level == pytest.approx(0.995)
    assert chosen.overall.forgetting == strict.overall.forgetting
    assert "chosen of 10 by these scores: intervals are at 99.5 %" in summary(Results.of([chosen]))
    assert "chosen of" not in summary(Results.of([strict]))


@pytest.mark.parametrize("number", [0, -1, True, 2.0, "3", 10**6])
def test_a_wrong_number_of_checkpoints_is_one_sentence(number: Any) -> None:
    rows = [{"id": str(n), "score": 1.0} for n in range(10)]
    with pytest.raises(ConfigError, match="chosen_of"):
        chaintune.compare(rows, rows, chosen_of=number)


def told(side: str, folder: Path, **about: str) -> Path:
    """A file of scores whose provenance says more."""
    plain = written([f"refused: I cannot {k}" for k in range(30)])
    path = folder / f"{side}.parquet"
    replace(plain, provenance={**plain.provenance, **about}).write(path)
    return path


def test_answers_of_a_served_model_are_told_and_most_of_all_where_both_sides_are_one(tmp_path: Path) -> None:
    def cautions(before: dict[str, str], after: dict[str, str]) -> str:
        files = told("before", tmp_path, **before), told("after", tmp_path, **after)
        comparison = chaintune.compare(*files, resamples=FAST)
        said = comparison.cautions.get("served", "")
        assert said in summary(Results.of([comparison]))
        assert comparison.to_dict()["cautions"].get("served", "") == said
        return said

    one, other = ({"identity": f"http://localhost/v1#{name}"} for name in ("one", "other"))
    assert not cautions({}, {})
    assert cautions({}, one).startswith("Answers are those of 'http://localhost/v1#one', which is served")
    assert "one model" not in cautions(one, other)
    assert cautions(one, other).count("which is served") == 2
    assert "Both sides are this one model" in cautions(one, one)
    judged = {"judge_identity": one["identity"]}
    assert cautions(judged, judged).startswith("Verdicts are those of")
    assert "one model" not in cautions(judged, judged)


def test_texts_that_were_written_otherwise_are_not_compared(tmp_path: Path) -> None:
    short, long = (Generation(max_new_tokens=count).to_json() for count in (40, 256))
    with pytest.raises(DataError, match=r"generation is .*40.* before and .*256.* after"):
        chaintune.compare(told("before", tmp_path, generation=short), told("after", tmp_path, generation=long))
    for before in ({}, {"generation": long}):  # files of before there was the word are taken as they are
        files = told("before", tmp_path, **before), told("after", tmp_path, generation=long)
        assert chaintune.compare(*files, resamples=FAST).overall.forgetting.value == 0
