"""Item metrics beside the one that decides about two checkpoints, scaled margins first of all."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from chaintune.errors import ConfigError
from chaintune.forgetting.compare import compare
from chaintune.records import CHOICE_METRICS, Choices, Comparison, Example, Scores, choice_measurement, scores_of
from chaintune.records.margins import SCALED_MARGIN
from chaintune.report.comparison import comparison_json, comparison_schema, read_comparisons
from chaintune.report.figures.every import result_figures
from chaintune.report.results import Results
from chaintune.report.tables import result_tables
from chaintune.report.words import summary
from tests import synthetic

FAST = 300
N = 400
GROUPS = ["Age" if k % 8 < 2 else "Faith" if k % 8 < 5 else "Race" for k in range(N)]


def scored(margins: Sequence[float], groups: Sequence[str] = GROUPS) -> Scores:
    """Three choices; the right one lies ahead of the best other one by the margin."""
    examples = [
        Example(f"e{k:04d}", "q", Choices((f" a{k}", f" b{k}", f" c{k}"), 1), {"by": (groups[k],)}, f"c{k // 2}")
        for k in range(len(margins))
    ]
    logprobs = [[-3.0, -3.0 + margin, -9.0] for margin in margins]
    measurement = choice_measurement(examples, logprobs, [[1] * 3] * len(margins))
    return scores_of("t", measurement, examples, CHOICE_METRICS["accuracy"])


def drawn(seed: int, mean: float = 0.7) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(mean, 1.0, N)


def fallen() -> Comparison:
    """Margins of one group fall by a standard deviation, without an answer that turns for it alone."""
    before = drawn(0, 3.0)
    after = before + 0.3 * drawn(1, 0.0) - np.where(np.array(GROUPS) == "Age", 1.0, 0.0)
    return compare(scored(before.tolist()), scored(after.tolist()), by=["by"], resamples=FAST)


@pytest.mark.parametrize("temperature", [1.25, 0.8])
def test_another_temperature_moves_nothing_at_all(temperature: float) -> None:
    before = scored(drawn(0).tolist())
    choices = [[value / temperature for value in row] for row in before.table["choice_logprobs"].to_pylist()]
    column = before.table.schema.get_field_index("choice_logprobs")
    colder = before.table.set_column(column, before.table.schema.field(column), [choices])
    found = compare(before, replace(before, table=colder), by=["by"], resamples=FAST)
    assert len(found.second_lines) == 4
    for one in found.second_lines:
        assert one.forgetting.value == 0
        assert one.before.value == one.after.value
        assert one.forgetting.low < 0 < one.forgetting.high
        assert one.biased_forgetting.value == 0 or not one.dimension


def test_margins_show_what_no_answer_does_and_give_no_verdict() -> None:
    found = fallen()
    assert found.overall.verdict != "forgot"
    age = next(one for one in found.second_lines if one.group == "Age")
    assert age.biased_forgetting.p_adjusted < 0.05
    assert age.before.value - age.after.value == pytest.approx(age.forgetting.value)
    assert {(row.verdict, row.deciding) for row in found.further} == {("", False)}
    assert {row.metric for row in found.further} == {"accuracy", "forgetting", "biased_forgetting"}
    assert SCALED_MARGIN not in {row.item_metric for row in found.rows}


def test_they_are_told_in_their_own_unit_and_never_in_points() -> None:
    results = Results.of([fallen()])
    (sentence,) = [part for part in summary(results).split(". ") if "margins" in part]
    assert "a secondary metric without a verdict" in sentence
    assert "relative to the whole they fell by" in sentence
    assert "for Age (by)" in sentence
    assert "scaled margin" in sentence
    assert "point" not in sentence
    tables = {table.title: table for table in result_tables(results)}
    assert [line[:2] for line in tables["Scaled margins"].rows][:2] == [("t", ""), ("t", "by: Age")]
    assert [line[0] for line in tables["t: accuracy before and after"].rows] == ["t", "t by scaled_margin"]


def test_groups_have_a_figure_of_their_margins_without_a_verdict() -> None:
    figures = {one.name: one for one in result_figures(Results.of([fallen()]))}
    figure = figures["margins-t-by"]
    assert (figure.section, figure.title) == ("groups", "Scaled margins of t by by")
    assert "No verdict rests on them" in figure.caption
    assert "point" not in figure.caption + figure.alt
    kinds = [row["kind"] for rows in figure.spec["datasets"].values() for row in rows if "beside" in row]
    assert "fell more, shown" in kinds
    assert {"group (by)", "forgetting (scaled margin)", "biased forgetting (scaled margin)"} <= {*figure.table.columns}


def test_no_group_is_said_to_part_where_answers_are_missing() -> None:
    before, groups = drawn(0), np.where(np.arange(N) < N // 2, "surer", "untouched").tolist()
    after = scored((np.where(np.arange(N) < N // 2, 3.0, 1.0) * before).tolist(), groups).at(np.arange(N) > 0)
    found = compare(scored(before.tolist(), groups), after, by=["by"], on_missing="intersect", resamples=FAST)
    lines = [one.biased_forgetting for one in found.second_lines if one.dimension]
    assert all(math.isnan(one.low) and math.isnan(one.p_adjusted) and "missing" in one.reason for one in lines)
    assert "margins" not in summary(Results.of([found]))


def test_a_margin_is_scaled_by_all_of_a_checkpoint_and_not_by_what_both_have() -> None:
    before, after = scored(drawn(0).tolist()), scored((drawn(0) * np.linspace(0.2, 5, N)).tolist())
    part = after.at(np.arange(N) < N // 2)
    found = compare(before, part, on_missing="intersect", resamples=FAST)
    (line,) = found.second_lines
    assert line.before.value == pytest.approx(before.by(SCALED_MARGIN).item_scores()[: N // 2].mean())
    assert line.forgetting.n == N // 2


def test_half_that_gets_surer_makes_the_other_half_fall() -> None:
    """The known price of a scale of the checkpoint's own: nothing happens to the other half."""
    before, half = drawn(0), np.arange(N) < N // 2
    groups = np.where(half, "surer", "untouched").tolist()
    after = np.where(half, 3.0, 1.0) * before
    found = compare(*(scored(own.tolist(), groups) for own in (before, after)), by=["by"], resamples=FAST)
    by_group = {one.group: one.biased_forgetting for one in found.second_lines}
    assert by_group["untouched"].low > 0 > by_group["surer"].high
    assert {one.biased_forgetting.value for one in found.groups} == {0.0}


def test_margins_without_a_spread_are_undefined_with_the_reason() -> None:
    alike = synthetic.scores([1, 0] * 20 + [1] * 20)
    found = compare(alike, alike, resamples=FAST)
    (line,) = found.second_lines
    assert math.isnan(line.forgetting.value)
    assert "no spread" in line.forgetting.reason
    assert "margin" not in summary(Results.of([found]))


def test_a_further_metric_has_lines_of_its_own_behind_the_first() -> None:
    sides = [scored(drawn(seed).tolist()) for seed in (0, 1)]
    found = compare(*sides, by=["by"], metric="accuracy_per_token", further=["accuracy_per_byte"], resamples=FAST)
    assert (found.metric, found.unit) == ("accuracy_per_token", "share")
    assert list(dict.fromkeys(one.metric for one in found.second_lines)) == ["accuracy_per_byte", SCALED_MARGIN]
    alone = compare(*sides, by=["by"], metric="accuracy_per_byte", resamples=FAST)
    lines = [one for one in found.second_lines if one.metric == "accuracy_per_byte"]
    for line, row in zip(lines, (alone.overall, *alone.groups), strict=True):
        assert str((line.before, line.after, line.forgetting)) == str((row.before, row.after, row.forgetting))
    titles = [table.title for table in result_tables(Results.of([found]))]
    assert "Who forgot t by accuracy_per_byte: by" in titles


def test_scaled_margins_decide_nothing_and_are_computed_once() -> None:
    sides = [scored(drawn(seed).tolist()) for seed in (0, 1)]
    with pytest.raises(ConfigError, match="'scaled_margin' decides nothing"):
        compare(*sides, metric=SCALED_MARGIN)
    with pytest.raises(ConfigError, match="'scaled_margin' decides nothing"):
        compare(*(one.by(SCALED_MARGIN) for one in sides))
    assert len(compare(*sides, further=[SCALED_MARGIN], resamples=FAST).second_lines) == 1


def test_of_labels_they_are_balanced_as_accuracy_is() -> None:
    answers = {"a": ["a"] * 90, "b": ["a"] * 15 + ["b"] * 15}
    sides = [
        synthetic.labelled(answers, sure=np.random.default_rng(seed).uniform(0.1, 3, 120).tolist()) for seed in (0, 1)
    ]
    found = compare(*sides, by=["label"], resamples=FAST)
    lines = {one.group: one for one in found.second_lines}
    assert [one.group for one in found.groups] == ["a", "b"]
    assert lines[""].before.value == pytest.approx((lines["a"].before.value + lines["b"].before.value) / 2)


def test_json_holds_them_by_its_schema_and_reads_them_again(tmp_path: Path) -> None:
    told = json.loads(comparison_json([fallen()]))
    assert not list(Draft202012Validator(comparison_schema()).iter_errors(told))
    (tmp_path / "c.json").write_text(json.dumps(told), encoding="utf-8")
    (again,), _ = read_comparisons(tmp_path / "c.json")
    assert json.loads(comparison_json([again])) == told
