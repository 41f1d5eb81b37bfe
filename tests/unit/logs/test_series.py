"""Three checkpoints or more: which are compared, how often nothing is called something, and what is told."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator

import chaintune
from chaintune.errors import ConfigError
from chaintune.files.names import told_apart
from chaintune.gate import Budget, Policy, judge, judge_series
from chaintune.gate.policy import Limit
from chaintune.records import Scores, Series
from chaintune.report.comparison import comparison_json, comparison_schema, read_comparisons
from chaintune.report.markdown import markdown
from chaintune.report.results import Results
from chaintune.report.words import summary
from tests import synthetic
from tests.synthetic import compare_all

FAST = 200
N, GROUPS = 200, "abcd"
NAMES = ("base", "sft", "dpo", "rl")


def answers(right: Sequence[bool | int], task: str = "t", number: int = 0) -> Scores:
    """Scores of examples of four groups."""
    return synthetic.scores(right, task=task, groups={"kind": [GROUPS[i % 4] for i in range(len(right))]}, noise=number)


def course(*, lost: int = 0, task: str = "t") -> dict[str, Scores]:
    """Four checkpoints; at the third every `lost`-th example of group a that was right becomes wrong."""
    rng = np.random.default_rng(len(task))
    right = rng.random(N) < 0.85
    made = {}
    for number, name in enumerate(NAMES):
        right = np.where(rng.random(N) < 0.04, rng.random(N) < 0.85, right)
        if name == "dpo" and lost:
            right = right & ((np.arange(N) % 4 > 0) | (np.arange(N) // 4 % lost > 0))
        made[name] = answers(right.tolist(), task, number)
    return made


def series(**options: Any) -> Series:
    return chaintune.compare_series(course(lost=2), by=["kind"], resamples=FAST, **options)


def test_each_step_and_the_way_from_the_first_are_compared() -> None:
    found = series()
    assert found.names == list(NAMES)
    assert found.steps == [("base", "sft"), ("sft", "dpo"), ("dpo", "rl")]
    assert found.whole == [("base", "rl")]
    assert found.pairs == [*found.steps, ("base", "dpo"), ("base", "rl")]
    assert [one.overall.before.value for one in found.at([("base", "sft"), ("base", "rl")])] == [
        found.comparisons[0].overall.before.value
    ] * 2
    frame = found.to_polars()
    assert frame.select("from", "to").unique(maintain_order=True).rows() == found.pairs
    assert frame.height == found.to_pandas().shape[0] == 5 * (1 + len(GROUPS))


def test_rivals_are_compared_with_the_first_only() -> None:
    found = series(against_first=True)
    assert found.against_first
    assert found.pairs == found.whole == found.steps == [("base", name) for name in NAMES[1:]]


def test_a_pair_says_what_two_say_but_for_the_correction() -> None:
    one, two = course(lost=2), series().at([("sft", "dpo")])[0]
    alone = chaintune.compare(one["sft"], one["dpo"], by=["kind"], resamples=FAST)
    for row, other in zip((alone.overall, *alone.groups), (two.overall, *two.groups), strict=True):
        assert [str(part) for part in (row.before, row.after)] == [str(part) for part in (other.before, other.after)]
        assert (row.forgot, row.learned) == (other.forgot, other.learned)
        assert (row.forgetting.low, row.forgetting.p_value) == (other.forgetting.low, other.forgetting.p_value)
    assert two.overall.forgetting_family == "forgetting over 5 pairs of checkpoints"
    assert two.groups[0].forgetting_family == "forgetting by kind over 5 pairs of checkpoints"
    assert two.groups[0].forgetting.p_adjusted == pytest.approx(min(1, 5 * alone.groups[0].forgetting.p_adjusted))
    assert "Bonferroni over 5 pairs of checkpoints" in two.groups[0].forgetting.method


@pytest.mark.parametrize("adjust", ["minp", "bh"])
def test_intervals_leave_out_0_exactly_where_a_change_is_shown(adjust: Any) -> None:
    shown = 0
    for one in series(adjust=adjust).comparisons:
        for row in (one.overall, *one.groups):
            low, high = row.forgetting.limits
            assert (low > 0 or high < 0) == row.forgetting.is_shown(0.95) == (row.verdict in ("forgot", "gained"))
            assert low <= row.forgetting.low <= row.forgetting.high <= high
            shown += row.verdict == "forgot"
    assert shown > 2


def test_several_tasks_are_one_family_with_the_pairs() -> None:
    tasks = [course(lost=2), course(task="tt")]
    found = chaintune.compare_series({name: [own[name] for own in tasks] for name in NAMES}, resamples=FAST)
    assert [(one.task, one.start, one.end) for one in found.comparisons[:3]] == [
        ("t", "base", "sft"), ("tt", "base", "sft"), ("t", "sft", "dpo"),
    ]  # fmt: skip
    families = {one.overall.forgetting_family for one in found.comparisons}
    assert families == {"forgetting of 2 tasks over 5 pairs of checkpoints"}
    assert "Holm over 10 tests" in found.comparisons[0].overall.forgetting.method


def test_what_lacks_a_score_is_bounded_in_every_pair_and_every_task() -> None:
    sides = course(lost=2)
    few = {name: scores.at(_but(60)) if name == "dpo" else scores for name, scores in sides.items()}
    found = chaintune.compare_series(few, resamples=FAST, on_missing="intersect")
    left_out = {(one.start, one.end): one.n_left_out for one in found.comparisons}
    assert left_out == {pair: 60 if "dpo" in pair else 0 for pair in found.pairs}
    (step,) = found.at([("sft", "dpo")])
    assert step.overall.forgetting.low > 0
    assert (step.overall.verdict, step.bounds[0].lower.low < 0) == ("inconclusive", True)
    both = [[scores, _as(scores, "tt")] for scores in (few["sft"], few["dpo"])]
    assert {one.overall.verdict for one in compare_all(*both, resamples=FAST, on_missing="intersect")} == {
        "inconclusive"
    }


def _but(count: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([row >= count for row in range(N)])])


def _as(scores: Scores, task: str) -> Scores:
    table = scores.table
    names = pa.array([task] * len(table), pa.string())
    return Scores(task, table.set_column(table.schema.get_field_index("task"), "task", names), {}, scores.metric)


def test_the_same_checkpoint_twice_leaves_nothing_to_chance(tmp_path: Path) -> None:
    paths = []
    for name, scores in list(course(lost=2).items())[:2]:
        paths.append(tmp_path / f"{name}.parquet")
        scores.write(paths[-1])
    found = chaintune.compare_series([*paths, paths[0]], resamples=FAST)
    assert found.names == ["base", "sft", "base (3)"]
    (same,) = found.at([("base", "base (3)")])
    assert (same.overall.verdict, same.overall.forgetting.low, same.overall.forgetting.high) == ("kept", 0, 0)


def test_json_has_from_and_to_and_is_read_again(tmp_path: Path) -> None:
    found = series()
    gate = judge_series(POLICY, found, "each")
    text = comparison_json(found.comparisons, gate.to_dict())
    content = json.loads(text)
    assert list(Draft202012Validator(comparison_schema()).iter_errors(content)) == []
    assert [(one["from"], one["to"]) for one in content["comparisons"]] == found.pairs
    assert {(one["from"], one["to"]) for one in content["gate"]["judgements"]} == {*found.steps, *found.whole}
    (tmp_path / "x.json").write_text(text)
    again, judged = read_comparisons(tmp_path / "x.json")
    assert comparison_json(again, judged.to_dict() if judged else None) == text
    assert markdown(Results.of(again, judged)) == markdown(Results.of(found.comparisons, gate))
    text = markdown(Results.of(found.comparisons, gate))
    assert text.count("## Scaled margins") == 1, "second lines stand in one table"
    assert "| task | from | to | group | forgetting |" in text
    assert "| answer | tier | from | to | task |" in text
    two = json.loads(comparison_json([chaintune.compare(*list(course().values())[:2], resamples=FAST)]))
    assert "from" not in two["comparisons"][0], "two stay what they are"


POLICY = Policy("p", (Budget("t", "kind", ("a",), "forgetting", Limit(0.2, relative=False), "block", required=True),))


def test_a_policy_judges_the_last_or_each() -> None:
    found = series()
    last, each = (judge_series(POLICY, found, on) for on in (None, "each"))
    assert [(one.start, one.end) for one in last.judgements] == found.whole
    assert [(one.start, one.end) for one in each.judgements] == [*found.steps, *found.whole]
    assert [one.answer for one in each.judgements[:2]] == ["pass", "fail"]
    assert each.answer == "fail"
    assert last.judgements == judge_series(POLICY, found, "last").judgements
    (alone,) = judge(POLICY, found.at(found.whole)).judgements
    assert (alone.low, alone.high) == (last.judgements[0].low, last.judgements[0].high)
    assert each.judgements[-1].low < alone.low, "a failure of any of four is claimed at a quarter of the error rate"
    assert each.judgements[-1].high == alone.high
    rivals = series(against_first=True)
    assert [one.end for one in judge_series(POLICY, rivals).judgements] == list(NAMES[1:])
    assert [one.end for one in judge_series(POLICY, rivals, "last").judgements] == ["rl"]
    with pytest.raises(ConfigError, match="did you mean 'last'"):
        judge_series(POLICY, found, "lasst")  # type: ignore[arg-type]


def test_the_error_rate_is_divided_by_how_many_the_last_one_was_chosen_of() -> None:
    chosen, strict = series(chosen_of=4), series(level=0.9875)
    for one, other in zip(chosen.comparisons, strict.comparisons, strict=True):
        assert one.chosen_of == 4
        assert one.level == pytest.approx(0.9875)
        assert one.resamples == 10 * 5 / 0.0125, "ten lie beyond each end at the level of a pair"
        assert one.overall.forgetting_family == other.overall.forgetting_family
        assert one.overall.forgetting.high == pytest.approx(other.overall.forgetting.high, abs=0.02)
    told = summary(Results.of(chosen.comparisons))
    assert told.count("The last checkpoint, rl, was chosen of 4 by these scores: all intervals are at 98.75 %") == 1
    assert told.count("chosen of") == 1
    rivals = summary(Results.of(series(chosen_of=4, against_first=True).comparisons))
    assert "Each of sft, dpo and rl was chosen of 4" in rivals


def test_power_is_simulated_for_each_pair_at_its_part_of_the_error_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaintune.forgetting.power._DRAWS_OF_WHOLE", 30)
    monkeypatch.setattr("chaintune.forgetting.power._MOST_DRAWS", 40)
    sides = course(lost=2)
    three = {"base": sides["base"], "same": sides["base"], "dpo": sides["dpo"]}
    found = chaintune.compare_series(three, resamples=FAST, power=True)
    same, step, whole = (one.simulated_power for one in found.comparisons)
    assert same
    assert step
    assert whole
    assert "no answer changed" in same.reason
    assert step.level == whole.level == pytest.approx(1 - 0.05 / 3)
    alone = chaintune.compare(sides["base"], sides["dpo"], resamples=FAST, power=True).simulated_power
    assert alone
    assert alone.level == 0.95
    assert (alone.forgot, alone.learned) == (whole.forgot, whole.learned)
    assert alone.groups[0].power_5 > whole.groups[0].power_5 > 0
    text = markdown(Results.of(found.comparisons))
    assert "Power by simulation: t, from base to dpo" in text
    assert "at 98.33 %" in text
    assert text.count("Power was not simulated: no answer changed") == 1


def test_fewer_than_three_are_no_series() -> None:
    sides = course()
    with pytest.raises(ConfigError, match="expected three or more, got 2"):
        chaintune.compare_series([sides["base"], sides["sft"]])
    assert chaintune.compare_series(list(sides.values()), resamples=FAST).names[1] == "checkpoint 2"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["runs/base", "runs/sft/"], ["base", "sft"]),
        (["a/base/x.json", "a/sft/x.json"], ["base", "sft"]),
        (["a/base.csv", "b/sft.csv"], ["base", "sft"]),
        (["a/base.csv", "b/sft.json"], ["base.csv", "sft.json"]),
        (["a/model", "b/model"], ["a", "b"]),
        (["x/a/one", "y/b/two"], ["one", "two"]),
        (["m/llama", "m/llama+ad/sft", "m/llama+ad/dpo"], ["llama", "llama+sft", "llama+dpo"]),
        (["f.csv#base", "f.csv#sft"], ["base", "sft"]),
        (["org/SmolLM2-1.7B", "org/SmolLM2-1.7B-Instruct"], ["SmolLM2-1.7B", "SmolLM2-1.7B-Instruct"]),
        (["same", "same", "other"], ["same", "same (2)", "other"]),
        (["same", "same"], ["same", "same (2)"]),
    ],
)
def test_names_are_what_tells_checkpoints_apart(typed: list[str], told: list[str]) -> None:
    assert told_apart(typed) == told
