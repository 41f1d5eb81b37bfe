"""Scores in nats through every statistic: margins, verdicts, transfers, detectable differences, missing scores."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator

import chaintune
from chaintune.errors import ConfigError
from chaintune.forgetting import compare, summarise
from chaintune.forgetting.order import OTHER_UNITS
from chaintune.forgetting.runs import Runs
from chaintune.forgetting.units import Unit
from chaintune.gate import judge, read_policy
from chaintune.gate.proposal import proposed_policy
from chaintune.records import LIKELIHOOD_METRICS, CheckpointScores, Comparison, Estimate, Judgement, ResultRow, Scores
from chaintune.records.amounts import number, plain
from chaintune.records.scores import whole_table
from chaintune.report.comparison import comparison_json, comparison_schema, read_comparisons
from chaintune.report.results import Results
from chaintune.report.tables import result_tables
from chaintune.report.words import summary
from chaintune.stats import Sample, means
from chaintune.stats.detectable import detectable_means
from tests import synthetic

LIKELIHOOD = LIKELIHOOD_METRICS["likelihood"]
N = 80


def likelihoods(
    lost: float = 0.0, *, task: str = "t", margin: float = math.nan, seed: int = 0, missing: int = 0
) -> Scores:
    """Mean log-probabilities of the same examples, so much below where they started and with some scatter."""
    start = -np.random.default_rng(7).gamma(4, 0.5, N) - 0.5
    scatter = np.random.default_rng([8, seed]).normal(0, 0.02, N)
    values = np.minimum(start - lost + (scatter if lost or seed else 0), 0.0)
    names = [f"e{number:03}" for number in range(N)]
    columns = {
        "task": [task] * N,
        "example_id": names,
        "cluster": [name[:-1] + str(int(name[-1]) // 2) for name in names],
        "groups": pa.array([[("side", ["left" if k % 4 < 2 else "right"])] for k in range(N)], GROUPS),
        "score": pa.array([None if k < missing else float(value) for k, value in enumerate(values)], pa.float64()),
        "log_probability": values,
    }
    return Scores(task, whole_table(pa.table(columns)), {}, replace(LIKELIHOOD, margin=margin))


GROUPS = pa.map_(pa.string(), pa.list_(pa.string()))


def compared(before: Scores, after: Scores, **options: Any) -> Comparison:
    return compare(before, after, by=["side"], resamples=300, **options)


def test_a_loss_is_told_in_nats() -> None:
    found = compared(likelihoods(), likelihoods(0.1))
    assert found.overall.forgetting.value == pytest.approx(0.1, abs=0.01)
    assert 0.08 < found.overall.forgetting.low < found.overall.forgetting.high < 0.12
    assert found.overall.verdict == "forgot"
    text = summary(Results.of([found]))
    assert "+0.1" in text
    assert "nats" in text
    assert " points" not in text
    table = result_tables(Results.of([found]))[0]
    before, after = (math.exp(-side.value) for side in (found.overall.before, found.overall.after))
    assert f"Perplexity, exp of minus the likelihood: {before:.1f} (" in table.note
    assert f", {after:.1f} (" in table.note


def test_only_a_margin_in_its_unit_makes_kept() -> None:
    before, after = likelihoods(), likelihoods(seed=1)
    plain = compared(before, after)
    assert plain.overall.verdict == "inconclusive"
    assert math.isnan(plain.margin)
    assert plain.to_dict()["margin"] is None
    assert "No loss in nats counts as kept, as no margin is named." in summary(Results.of([plain]))
    assert compared(before, after, margin=0.5).overall.verdict == "inconclusive"
    assert compared(before, after, margin="0.05 nats").overall.verdict == "kept"
    named = compared(likelihoods(margin=0.05), likelihoods(margin=0.05, seed=1))
    assert (named.overall.verdict, named.margin) == ("kept", 0.05)
    assert compared(likelihoods(margin=1e-6), after, margin="0.05 nats").overall.verdict == "inconclusive"
    with pytest.raises(ConfigError, match=r"margin -0\.1 nats: expected 0 or more"):
        compared(before, after, margin="-0.1 nats")


def test_missing_scores_in_nats_have_no_bounds() -> None:
    found = compared(likelihoods(), likelihoods(0.1, missing=4), margin="0.05 nats")
    assert found.overall.verdict == "inconclusive"
    assert found.overall.verdict_reason == "4 of 80 examples without a score, which in nats has no bounds"


def test_power_in_points_is_left_out_and_the_detectable_difference_is_in_nats() -> None:
    row = compared(likelihoods(), likelihoods(seed=1)).overall
    assert math.isnan(row.power_5)
    assert math.isnan(row.examples_needed)
    assert 0.003 < row.detectable_forgetting < 0.02  # 2.8 standard errors of 80 values that scatter by 0.02
    assert "limits of rates" not in row.forgetting.method.replace("no narrower than limits of rates", "")


def test_an_end_that_says_nothing_is_infinite_where_the_range_is_open() -> None:
    unit = Unit(LIKELIHOOD, low=-4.0, width=4.0)
    wide = unit.difference(Estimate(0.1, -1.0, 1.0, 0.2, low_adjusted=-0.9, high_adjusted=1.0))
    assert (wide.low, wide.high, wide.low_adjusted, wide.high_adjusted) == (-math.inf, math.inf, -3.6, math.inf)


def test_infinite_ends_are_read_back_from_json_as_they_were(tmp_path: Path) -> None:
    ends: dict[str, Any] = {"low": -math.inf, "high": math.inf, "low_adjusted": -0.1, "high_adjusted": math.inf}
    own = compare(likelihoods(), likelihoods(0.2), by=["side"], resamples=100)
    rows = tuple(
        replace(row, estimate=replace(row.estimate, **ends), family="f") if row.metric.endswith("forgetting") else row
        for row in own.rows
    )
    asked = Judgement("t", "", "", "forgetting", "block", 0.02, False, "inconclusive", 0.1, 0.0, math.inf)
    gate = {"answer": "inconclusive", "policy": "p", "judgements": [asked.to_dict()]}
    (tmp_path / "c.json").write_text(comparison_json([replace(own, rows=rows)], gate))
    told = json.loads((tmp_path / "c.json").read_bytes(), parse_constant=pytest.fail)
    assert told["comparisons"][0]["overall"]["forgetting"]["high"] == "Infinity"
    assert not list(Draft202012Validator(comparison_schema()).iter_errors(told))
    (again,), judged = read_comparisons(tmp_path / "c.json")
    for one in (again.overall.forgetting, again.groups[0].biased_forgetting):
        assert {name: getattr(one, name) for name in ends} == ends
    assert judged is not None
    assert judged.judgements[0].high == math.inf
    row = json.loads(json.dumps(rows[-1].to_dict() | plain(Estimate(math.inf, -math.inf)), allow_nan=False))
    assert (number(row["value"]), number(row["low"])) == (math.inf, -math.inf)
    assert math.isnan(number(row["high"]))


def test_what_is_detectable_is_shown_with_80_percent_power() -> None:
    design = replace(synthetic.nested(np.random.default_rng(0), groups=2, clusters=20, size=3), bounded=False)

    def draw(seed: int) -> Any:
        rng = np.random.default_rng([3, seed])
        return 0.01 * (rng.standard_normal(40)[design.clusters] + rng.standard_normal(120))

    limits = [detectable_means(Sample.of(design, draw(n), resamples=99), error_rate=0.05)[0] for n in range(10)]
    shown = [
        means(Sample.of(design, draw(100 + n) + np.mean(limits), resamples=199, seed=n))[0].p_value <= 0.05
        for n in range(100)
    ]
    assert 0.68 <= np.mean(shown) <= 0.92


def chains(*tasks: Scores, lost: float = 0.1) -> list[ResultRow]:
    """Rows of both orders of two tasks, in each of which the first one is forgotten."""
    names, checkpoints = [one.task for one in tasks], []
    for order in ((), names[:1], names[1:], names, names[::-1]):
        scores = {}
        for one in tasks:
            taught = one.task in order
            later = len(order) == 2 and order[0] == one.task
            shift = (0.0 if not taught else -0.3) + (lost if later else 0.0)
            scores[one.task] = moved(one, shift)
        checkpoints.append(CheckpointScores(synthetic.checkpoint(*order), scores, final=len(order) == 2))
    return summarise(checkpoints, study="s", roles={names[0]: "safety", names[1]: "capability"}, resamples=200)


def moved(scores: Scores, by: float) -> Scores:
    if scores.metric.unit != "nats":
        return scores
    scatter = np.random.default_rng(round(100 * by) + 100).normal(0, 0.01, N)
    values = np.minimum(scores.item_scores() - by + scatter, 0.0)
    place = scores.table.column_names.index("score")
    return replace(scores, table=scores.table.set_column(place, "score", pa.array(values)))


def value(rows: list[ResultRow], metric: str) -> ResultRow:
    return next(row for row in rows if row.metric == metric)


def test_tasks_in_one_unit_have_transfers_and_an_asymmetry_in_it() -> None:
    rows = chains(likelihoods(task="s"), likelihoods(task="c"))
    assert value(rows, "bwt").unit == value(rows, "asymmetry").unit == value(rows, "order_effect").unit == "nats"
    assert value(rows, "bwt").estimate.value == pytest.approx(-0.1, abs=0.01)
    assert value(rows, "asymmetry").estimate.value == pytest.approx(0.0, abs=0.01)
    assert value(rows, "order_effect").estimate.value == pytest.approx(0.1, abs=0.01)


def test_an_asymmetry_and_a_transfer_of_two_measures_name_both() -> None:
    per_byte = replace(likelihoods(task="c"), metric=replace(LIKELIHOOD, name="per_byte"))
    third = replace(per_byte, task="d")
    rows = chains(likelihoods(task="s"), per_byte)
    assert value(rows, "asymmetry").item_metric == "likelihood and per_byte"
    assert {row.item_metric for row in rows if row.metric == "bwt"} == {"likelihood", "per_byte"}  # of one task each
    tables = result_tables(Results("t", rows, 0.95))
    (others,) = [table for table in tables if table.title == "Further results"]
    (said,) = {line[0] for line in others.rows if line[0].startswith("Asymmetry")}
    assert said.endswith("minus that of the capability task, by likelihood and per byte")
    assert "Points of two measures are not alike" in others.note
    runs = Runs.of([CheckpointScores(synthetic.checkpoint(), {"s": likelihoods(task="s"), "c": per_byte, "d": third})])
    unit = runs.common_unit(["s", "c", "d"])
    assert unit is not None
    assert unit.metric.name == "likelihood and per_byte"


def test_tasks_in_different_units_have_none() -> None:
    rows = chains(likelihoods(task="s"), synthetic.scores([True, False] * 20, task="c"))
    row = value(rows, "asymmetry")
    assert math.isnan(row.estimate.value)
    assert (row.unit, row.estimate.reason) == ("", OTHER_UNITS)
    assert value(rows, "bwt").unit == "nats"  # of the one task that is not the last


def test_retained_gain_of_a_likelihood_is_a_share() -> None:
    (row,) = [one for one in chains(likelihoods(task="s"), likelihoods(task="c")) if one.metric == "retained_gain"][:1]
    assert row.unit == "share"
    assert row.estimate.value == pytest.approx(2 / 3, abs=0.05)


def test_score_files_of_any_measure_are_compared_and_held_against_budgets_in_their_unit(tmp_path: Path) -> None:
    for name, scores in (("before", likelihoods(margin=0.05)), ("after", likelihoods(margin=0.05, seed=1))):
        scores.write(tmp_path / f"{name}.parquet")
    sides = (tmp_path / "before.parquet", tmp_path / "after.parquet")
    found = chaintune.compare(*sides, resamples=300)
    assert (found.overall.verdict, found.unit, found.metric) == ("kept", "nats", "likelihood")
    policy = tmp_path / "policy.yaml"
    for budget, answer in (("0.05 nats", "pass"), ("1e-9 nats", "inconclusive")):
        policy.write_text(f"budgets: [{{task: t, forgetting: {budget}}}]")
        assert judge(read_policy(policy), [found]).answer == answer
    policy.write_text("budgets: [{task: t, forgetting: 0.05}]")
    with pytest.raises(ConfigError, match=r"write it as '0\.05 nats'"):
        judge(read_policy(policy), [found])


def test_two_sides_propose_budgets_in_nats_and_one_does_not(tmp_path: Path) -> None:
    paths = [tmp_path / "before.parquet", tmp_path / "after.parquet"]
    for path, seed in zip(paths, (0, 1), strict=True):
        likelihoods(seed=seed).write(path)
    policy = tmp_path / "policy.yaml"
    policy.write_text(proposed_policy(paths, draws=40))
    found = chaintune.compare(*paths, by=["side"], resamples=300)
    budgets = read_policy(policy).budgets
    assert {budget.limit.unit for budget in budgets} == {"nats"}
    assert all(0.001 < budget.limit.value < 0.05 for budget in budgets)
    assert judge(read_policy(policy), [found]).answer == "pass"
    with pytest.raises(ConfigError, match="no task of which a budget could be kept"):
        proposed_policy(paths[:1], draws=40)
