"""Chance, the commonest right answer, answers by rote and what was not answered: wherever scores are shown."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from jsonschema import Draft202012Validator

import chaintune
from chaintune.callback.series import curves, start_numbers, warnings
from chaintune.forgetting import compare, summarise
from chaintune.forgetting.options import Inference
from chaintune.gate import Budget, Policy, judge
from chaintune.gate.policy import Limit
from chaintune.records import (
    CheckpointScores,
    Choices,
    Comparison,
    Example,
    MitigationRef,
    ResultRow,
    Scores,
    rows_to_polars,
    scores_table,
)
from chaintune.report.card import forgetting_section
from chaintune.report.cells import Table
from chaintune.report.comparison import comparison_json, comparison_schema, read_comparisons
from chaintune.report.folder import read_rows
from chaintune.report.gate import gate_table, junit_xml
from chaintune.report.markdown import markdown
from chaintune.report.mitigations import mitigation_tables
from chaintune.report.model_index import model_index
from chaintune.report.page import render, results_page
from chaintune.report.results import Results
from chaintune.report.scored import scored_rows, scored_tables
from chaintune.report.tables import result_tables
from chaintune.report.words import summary
from tests import synthetic

FAST = 200
N = 80
FAITHS = [("a", "b")[row % 2] for row in range(N)]
ROTE = "answers 'choice 1' to 80 of 80 (gold: 50 %)"


def scored(said: Sequence[int] | None, *, task: str = "s") -> Scores:
    """Scores of two choices, the first of which is right in half of the examples; None, and all choices tie."""
    examples = [
        Example(
            f"e{row:03d}", "q", Choices((f" a{row}", f" b{row}"), row // 2 % 2), {"faith": (FAITHS[row],)}, f"c{row}"
        )
        for row in range(N)
    ]
    logprobs = [[-1.0, -1.0] if said is None else [-1.0 - own, -2.0 + own] for own in said or [0] * N]
    return Scores(task, scores_table(task, examples, logprobs, [[1, 1]] * N))


KNOWN = scored([row // 2 % 2 for row in range(N)])
BY_ROTE, TIED = scored([0] * N), scored(None)


def compared(before: Scores = BY_ROTE, after: Scores = BY_ROTE) -> Comparison:
    return compare(before, after, by=["faith"], resamples=FAST)


def study(seeds: Sequence[int] = (0,)) -> list[ResultRow]:
    """A chain that loses all of s to rote answers, and a replay that brings it back; c is at chance throughout."""
    plain = synthetic.checkpoint("s", "c").chain
    held = MitigationRef("replay", "replay", "s", plain, ("c",), 0.05)
    stages = [((), BY_ROTE, ()), (("s",), KNOWN, ()), (("s", "c"), BY_ROTE, ()), (("s", "c", "s@5%"), KNOWN, (held,))]
    measured = [
        CheckpointScores(
            synthetic.checkpoint(*chain, seed=seed),
            {"s": scores, "c": scored([0] * N, task="c")},
            mitigates,
            final=len(seeds) > 1,
        )
        for chain, scores, mitigates in stages
        for seed in seeds
    ]
    return summarise(measured, study="x", roles={"s": "safety", "c": "capability"}, resamples=FAST)


@pytest.fixture(scope="module")
def rows() -> list[ResultRow]:
    return study()


def test_what_the_reason_says_of_all_seeds_is_not_said_again_of_one() -> None:
    text = summary(Results("t", study(seeds=(0, 1)), 0.95))
    assert "Whether s forgot c since the base is inconclusive" in text
    assert "it answers 'choice 1' to 160 of 160" in text
    assert "base answers 'choice 1'" not in text
    assert "s>c answers 'choice 1' to 160 of 160 (gold: 50 %)." in text


def test_checkpoints_that_answer_alike_are_named_in_one_sentence(rows: list[ResultRow]) -> None:
    note = titled(result_tables(Results("t", rows, 0.95)), "Accuracy").note
    assert f"Each of base; s>c (s) {ROTE}." in note
    assert note.count("(c) answers 'choice 1'") == 1


def titled(tables: Sequence[Table], title: str) -> Table:
    return next(table for table in tables if table.title.startswith(title))


def cells(table: Table, *names: str) -> list[tuple[str, ...]]:
    places = [table.header.index(name) for name in names]
    return [tuple(row[place] for place in places) for row in table.rows]


def test_tables_of_a_comparison_have_chance_and_what_was_answered() -> None:
    tables = result_tables(Results.of([compared(KNOWN, BY_ROTE)]))
    assert (
        "Chance: 50.0%; commonest gold: choice 1 50%; commonest answer: choice 1 50% before, choice 1 100% after."
        in (titled(tables, "s: accuracy").note)
    )
    assert (
        cells(titled(tables, "Who forgot"), "chance", "commonest gold", "commonest answer")
        == [("50.0%", "choice 1 50%", "choice 1 50%, choice 1 100%")] * 2
    )


def test_columns_that_hold_nothing_are_left_out_of_some() -> None:
    table = Table("t", "", ("task", "commonest gold", "p"), (("a", "", ""), ("b", "", ""))).without_empty(
        ["commonest gold"]
    )
    assert (table.header, table.rows) == (("task", "p"), (("a", ""), ("b", "")))


def test_words_of_a_comparison_say_rote_answers_chance_and_why_there_is_no_verdict() -> None:
    text = summary(Results.of([compared()]))
    assert "No loss can be shown: before scores 50.0 %" in text
    why = f"which is not shown to be above chance, 50.0 %; it {ROTE}"
    assert f"{why}; what a model cannot do, it cannot forget." in text
    assert f"After {ROTE}." in text
    assert f"Before {ROTE}." not in text
    lost = summary(Results.of([compared(KNOWN, BY_ROTE)]))
    assert "The later checkpoint forgot s" in lost
    assert f"After {ROTE}." in lost
    tied = summary(Results.of([compared(KNOWN, TIED)]))
    assert "is inconclusive" in tied
    assert "after holds all choices equally likely in 80 of 80, so the scores do not tell what was known" in tied
    assert tied.count("holds all choices equally likely") == 1
    unknown = synthetic.lengths([1.0] * N)
    assert "No chance level is known, so none blocks a verdict." in summary(Results.of([compare(unknown, unknown)]))
    rows = [{"id": n, "score": n % 2, "label": "yes", "answer": ("no", "yes")[n % 2]} for n in range(40)]
    rows[0] |= {"label": "no", "score": 1}
    assert "There is no chance level, as fewer than two labels count; commonest gold: yes" in summary(
        Results.of([chaintune.compare(rows, rows)])
    )


def test_the_reason_stands_in_the_policys_table_json_and_junit() -> None:
    found = compared()
    budget = Budget("s", "", (), "forgetting", Limit(0.5, relative=False), "block", required=True)
    gate = judge(Policy("p", (budget,)), [found])
    assert gate.answer == "inconclusive"
    (told,) = json.loads(comparison_json([found], gate.to_dict()))["gate"]["judgements"]
    for text in (told["reason"], gate_table(gate).rows[0][-1], junit_xml(gate), markdown(Results.of([found], gate))):
        assert "not shown to be above chance" in text.replace("\\", "")
        assert "80 of 80" in text


def test_json_fits_its_schema_and_is_read_again(tmp_path: Path) -> None:
    found = compared(KNOWN, TIED)
    content = json.loads(comparison_json([found]))
    Draft202012Validator(comparison_schema()).validate(content)
    whole = content["comparisons"][0]["overall"]
    assert (whole["answers_after"]["ties"], whole["answers_before"]["chance"]) == (N, 0.5)
    assert whole["verdict_reason"] == found.overall.verdict_reason
    (tmp_path / "x.json").write_text(json.dumps(content))
    (again,), _ = read_comparisons(tmp_path / "x.json")
    assert again.to_dict() == found.to_dict()
    # As an earlier version wrote it.
    for row in (whole, *content["comparisons"][0]["groups"]):
        for name in ("answers_before", "answers_after", "verdict_reason"):
            del row[name]
    Draft202012Validator(comparison_schema()).validate(content)
    (tmp_path / "x.json").write_text(json.dumps(content))
    (old,), _ = read_comparisons(tmp_path / "x.json")
    assert old.overall.forgetting == found.overall.forgetting
    table = found.to_polars()
    assert table["after_ties"].to_list() == [N, N // 2, N // 2]
    assert table["before_chance"].to_list() == [0.5] * 3


def test_tables_of_a_study_have_chance_and_what_was_answered(rows: list[ResultRow]) -> None:
    results = Results("x", rows, 0.95)
    tables = result_tables(results)
    levels = titled(tables, "Accuracy")
    assert [row[0] for row in levels.rows][-2:] == ["chance", "commonest gold"]
    assert levels.rows[-2][1:] == ("50.0%", "50.0%")
    assert f"s>c (s) {ROTE}." in levels.note
    answers = cells(titled(tables, "How tasks were answered"), "checkpoint", "task", "chance", "commonest answer")
    assert ("s>c", "s", "50.0%", "choice 1 100%") in answers
    assert ("s", "s", "50.0%", "choice 1 50%") in answers
    text = summary(results)
    assert f"s>c {ROTE}." in text
    assert "s>c forgot s" in text


def test_mitigation_tables_and_words_say_that_nothing_at_chance_is_kept(rows: list[ResultRow]) -> None:
    results = Results("x", rows, 0.95)
    table = titled(mitigation_tables(results), "Mitigations")
    assert cells(table, "task", "score", "chance", "commonest gold", "reaches") == [
        ("s", "100.0% (95.5% to 100.0%)", "50.0%", "choice 1 50%", "no")
    ]
    price = next(row for row in rows if row.metric == "price")
    assert (price.verdict, price.estimate.value) == ("inconclusive", 0.0)
    assert "may hide a loss: s>c scores 50.0 %" in summary(results)


def test_cards_have_chance(rows: list[ResultRow]) -> None:
    section = forgetting_section(Results("x", rows, 0.95), chain="s>c")
    assert "| score now | chance | commonest gold |" in section
    assert "| 50.0% | choice 1 50% |" in section
    own = [row for row in rows if row.chain == "s>c"]
    metrics = [metric for result in model_index("m", own, level=0.95)[0]["results"] for metric in result["metrics"]]
    assert {metric["args"].get("chance") for metric in metrics if metric["type"] == "accuracy"} == {0.5}
    compared_section = forgetting_section(Results.of([compared()]), before="base")
    assert "not shown to be above chance" in compared_section


def test_pages_have_the_reason_beside_the_verdict() -> None:
    html = render(results_page(Results.of([compared()])))
    assert html.count("No loss can be shown: before scores 50.0 %") >= 2


def test_scores_of_one_model_have_chance_and_answers_by_rote() -> None:
    tables = scored_tables({"s": scored_rows(BY_ROTE, ["faith"])})
    assert cells(tables[0], "task", "chance", "commonest gold", "commonest answer") == [
        ("s", "50.0%", "choice 1 50%", "choice 1 100%")
    ]
    assert f"s {ROTE}." in tables[0].note
    assert cells(tables[1], "faith", "chance") == [("a", "50.0%"), ("b", "50.0%")]
    (whole,) = scored_rows(TIED)
    assert whole.to_dict()["ties"] == N
    assert "s holds all choices equally likely in 80 of 80." in scored_tables({"s": [whole]})[0].note


def test_result_rows_keep_it_in_their_table(rows: list[ResultRow], tmp_path: Path) -> None:
    rows_to_polars(rows).write_parquet(tmp_path / "results.parquet")
    assert rows_to_polars(read_rows(tmp_path / "results.parquet")).equals(rows_to_polars(rows), null_equal=True)
    table = rows_to_polars(rows)
    level = table.filter((pl.col("metric") == "accuracy") & (pl.col("chain") == "s>c") & (pl.col("task") == "s"))
    assert level.row(0, named=True)["answer_share"] == 1.0
    assert level.row(0, named=True)["n_answers"] == N
    # What was written before has none of the columns.
    old = table.drop("verdict_reason", "chance", "ties", "answer")
    old.write_parquet(tmp_path / "results.parquet")
    assert read_rows(tmp_path / "results.parquet")[0].answers.ties == 0


def test_the_callback_logs_chance_and_warns_of_rote_answers() -> None:
    assert start_numbers(BY_ROTE, Inference()) == {
        "accuracy/s": 0.5, "chance/s": 0.5, "commonest_gold/s": 0.5, "commonest_answer/s": 1.0
    }  # fmt: skip
    numbers = curves(compared(KNOWN, BY_ROTE), worst=1, followed=set())
    assert (numbers["chance/s"], numbers["commonest_answer/s"]) == (0.5, 1.0)
    assert dict(warnings(compared(KNOWN, BY_ROTE))) == {"rote": f"the model {ROTE} examples of s"}
    assert set(dict(warnings(compared()))) == {"loss", "rote"}
    assert not dict(warnings(compared(KNOWN, KNOWN)))
