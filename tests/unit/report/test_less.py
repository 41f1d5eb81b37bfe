"""A score of which less is better, such as the toxicity of what a model writes: everywhere told the right way round."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from chaintune.callback.series import curves, start_numbers
from chaintune.forgetting import compare, summarise
from chaintune.forgetting.options import Inference
from chaintune.gate import Budget, Policy, judge
from chaintune.gate.policy import Limit
from chaintune.records import CheckpointScores, Example, ItemMetric, Measurement, MitigationRef, Scores
from chaintune.report.cells import Table
from chaintune.report.figures.every import result_figures
from chaintune.report.results import Results
from chaintune.report.scored import scored_rows, scored_tables
from chaintune.report.tables import result_tables
from chaintune.report.words import definition, summary
from tests import synthetic

FAST, N = 200, 120
WHO = {"whom": ["women", "men", "others"] * (N // 3)}


def _read(measurement: Measurement, _: Sequence[Example]) -> Mapping[str, Any]:
    texts = measurement.table.column("text").to_pylist()
    return {"score": [float(text) for text in texts], "texts": [[text] for text in texts]}


TOXIC = ItemMetric("classifier", "generation", direction="less", score=_read)


def toxic(more: float, women: float = 0.0, *, task: str = "t") -> Scores:
    values = np.clip(np.random.default_rng(1).beta(1, 8, N) + more, 0, 1)
    values[::3] = np.clip(values[::3] + women, 0, 1)
    return synthetic.written([f"{value:.4f}" for value in values], groups=WHO, metric=TOXIC, task=task)


BEFORE, AFTER = toxic(0.0), toxic(0.1, 0.2)


def titled(tables: Sequence[Table], title: str) -> Table:
    return next(table for table in tables if table.title == title)


def test_what_rose_is_forgotten_and_shown_as_it_was_measured() -> None:
    found = compare(BEFORE, AFTER, by=["whom"], resamples=FAST)
    whole, women = found.overall, next(one for one in found.groups if one.group == "women")
    assert whole.before.value < whole.after.value
    assert whole.forgetting.value == pytest.approx(whole.after.value - whole.before.value)
    assert (whole.verdict, women.biased_forgetting.value > 0, whole.forgot) == ("forgot", True, N)
    assert compare(AFTER, BEFORE, resamples=FAST).overall.verdict == "gained"
    text = summary(Results.of([found]))
    assert f"{N} scored higher after than before, 0 the other way round: classifier (less is better) went from" in text
    assert "women (whom) lost more than the whole" in text
    assert "as less is better" in definition(found.rows)


def test_budgets_limit_the_rise() -> None:
    def answer(value: float, *, relative: bool = False, swap: bool = False) -> str:
        sides = (AFTER, BEFORE) if swap else (BEFORE, AFTER)
        budget = Budget("*", "", (), "forgetting", Limit(value, relative), "block", True)
        return judge(Policy("p", (budget,)), [compare(*sides, resamples=FAST)]).answer

    assert [answer(0.02), answer(0.5), answer(0.02, swap=True)] == ["fail", "pass", "pass"]
    assert [answer(0.5, relative=True), answer(9.0, relative=True)] == ["fail", "pass"]


def test_a_study_with_a_mitigation_says_what_less_means() -> None:
    plain = synthetic.checkpoint("s", "c").chain
    replay = MitigationRef("replay", "replay", "s", plain, ("c",), 0.05)
    stages = [
        ((), toxic(0.3, task="s"), ()),
        (("s",), toxic(0.0, task="s"), ()),
        (("s", "c"), toxic(0.1, 0.2, task="s"), ()),
        (("s", "c", "s@5%"), toxic(0.0, task="s"), (replay,)),
    ]
    measured = [CheckpointScores(synthetic.checkpoint(*chain), {"s": one}, held) for chain, one, held in stages]
    rows = summarise(measured, study="x", roles={"s": "safety", "c": "capability"}, resamples=FAST)
    results = Results("x", rows, 0.95)
    known = {(row.metric, row.chain): row.estimate.value for row in rows if row.is_whole}
    assert known["gain", "s"] > 0
    assert known["forgetting", "s>c"] > 0
    assert known["recovery", "s>c>s@5%"] == pytest.approx(1)
    table = titled(result_tables(results), "Scores")
    assert "Of s it is classifier, and less is better." in table.note
    assert not any(table.title == "Accuracy" for table in result_tables(results))
    assert [figure for figure in result_figures(results) if "accuracy" in str(figure.spec)] == []


def test_one_model_and_one_training_name_the_score() -> None:
    table = scored_tables({"t": scored_rows(BEFORE, ["whom"])})[0]
    assert (table.title, "Of t it is classifier, and less is better." in table.note) == ("Score", True)
    assert "classifier/t" in start_numbers(BEFORE, Inference())
    assert "classifier/t" in curves(compare(BEFORE, AFTER, resamples=FAST), worst=1, followed=set())


def test_shares_of_refusals_are_no_accuracy_either() -> None:
    refused = synthetic.written(["refused", "complied"] * 20)
    assert scored_tables({"t": scored_rows(refused)})[0].title == "Score"
    assert "refusal/t" in start_numbers(refused, Inference())
    assert scored_tables({"t": scored_rows(synthetic.scores([True, False] * 20))})[0].title == "Accuracy"
