"""Reports of studies with several variants: no two rows alike, names whole, the base once, one variant alone."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from chaintune.cli.app import app
from chaintune.cli.report import _of_variant
from chaintune.errors import ConfigError
from chaintune.records import Estimate, Figure
from chaintune.records.checkpoint import named_variant, variant_label
from chaintune.report.closing import closing
from chaintune.report.figures.every import result_figures
from chaintune.report.folder import read_results
from chaintune.report.labels import wrapped
from chaintune.report.page.findings import minimum_detectable
from chaintune.report.results import Results
from chaintune.report.tables import result_tables
from chaintune.report.variants import against_first, against_first_sentences, than_first
from chaintune.report.words import summary
from tests.variant_studies import FULL, LORA, NAMED, results, run_folder

NAMES = [variant_label(one) for one in (FULL, LORA, NAMED)]


@pytest.fixture(scope="module")
def study() -> Results:
    return results(FULL, LORA, NAMED)


@pytest.fixture(scope="module")
def figures(study: Results) -> list[Figure]:
    return result_figures(study)


def test_no_two_rows_of_a_table_are_alike(study: Results) -> None:
    tables = [*result_tables(study), minimum_detectable(study.plain)]
    assert len({table.title for table in tables}) == len(tables) > 10
    for table in tables:
        assert len(set(table.rows)) == len(table.rows), table.title
        assert all(len(row) == len(table.header) for row in table.rows), table.title


def test_no_two_rows_of_a_figure_are_alike(figures: list[Figure]) -> None:
    assert len({one.title for one in figures}) == len({one.name for one in figures}) == len(figures) > 10
    for one in figures:
        assert one.table.n_unique() == one.table.height, one.name
        layers = [layer for layer in one.spec.get("layer", []) if "label:N" in json.dumps(layer)]
        labels = [row["label"] for row in one.spec["data"]["values"] if "label" in row] if layers else []
        assert len(set(labels)) == len(labels), one.name


def test_every_variant_is_whole_in_the_rows_of_figures(figures: list[Figure]) -> None:
    for name in ("forgetting-of-every-task", "checkpoints-by-tasks", "variants-against-the-first"):
        (one,) = [figure for figure in figures if figure.name == name]
        drawn = json.dumps(one.spec).replace("\\n", "").replace(" ", "")
        shown = NAMES[1:] if name.startswith("variants") else NAMES
        assert all(variant.replace(" ", "") in drawn for variant in shown), name


def test_a_variant_has_a_column_and_the_base_one_row(study: Results) -> None:
    tables = {table.title: table for table in result_tables(study)}
    accuracy = tables["Accuracy"]
    assert accuracy.header[:2] == ("checkpoint", "variant")
    assert [row[:2] for row in accuracy.rows if row[0] == "base"] == [("base", "")]
    assert [row[1] for row in accuracy.rows if row[0] == "s>c"] == NAMES
    assert [row[:2] for row in tables["Final score in both orders"].rows] == [("s", name) for name in NAMES]
    assert [row[0] for row in tables["Variants"].rows] == NAMES
    assert tables["Variants"].note == "All share: epochs=1."


def test_one_variant_is_named_nowhere() -> None:
    alone = results(FULL, LORA, NAMED).of_variant("lora")
    texts = [
        part
        for table in result_tables(alone)
        for part in (*table.header, *(cell for row in table.rows for cell in row))
    ]
    assert "variant" not in texts
    assert not [text for text in texts if "lora" in text]
    assert "lora" not in summary(alone)
    assert alone.title == "Forgetting in the study made: lora lr=1e-3"
    assert not [one for one in result_figures(alone) if "lora" in one.title + one.name + one.caption]


def test_the_answer_names_what_was_forgotten_more_and_whether_as_much_was_gained(study: Results) -> None:
    text = summary(study)
    assert "After s>c, lora lr=1e-3 forgot less of s than full lr=1e-4: " in text
    assert "; whether it gained as much in c is open: " in text
    assert " before is open: " in text
    told = "Variants: more of a safety task is shown to be forgotten than with full lr=1e-4 in 0 of 2 comparisons, and "
    told += "less in 2."
    assert told in closing(study)
    assert "(Holm), those of groups over those of a dimension and the variants (Bonferroni)." in text


def test_what_nothing_followed_has_its_gain_in_the_table(study: Results) -> None:
    rows = [row for row in study.rows if row.chain in ("base", "s") and row.variant in ("", NAMES[0])]
    (table,) = [one for one in result_tables(Results("t", rows, 0.95)) if one.title == "Learned, then forgotten"]
    (line,) = table.rows
    assert line[:3] == ("s", NAMES[0], "s")
    assert "(" in line[table.header.index("gain")]
    assert line[table.header.index("forgetting")] == ""


def test_less_that_was_learned_is_told_beside_less_that_was_forgotten(study: Results) -> None:
    assert "those those" not in summary(study) + summary(results(FULL, LORA))
    ends = Estimate(-0.5, -0.6, -0.4, p_value=0.001)
    rows = [
        replace(row, estimate=ends) if (row.metric, row.chain) == ("variant_gain", "s") else row for row in study.shown
    ]
    (told,) = [one for one in against_first_sentences(rows, 0.95) if one.startswith("After s>c, lora lr=1e-3")]
    assert " It had learned less of s before: -50.0 points (95 % CI -60.0 to -40.0); what was not learned" in told


@pytest.mark.parametrize(
    ("low", "high", "p", "word"), [(-0.01, 0.01, 0.9, "equal"), (-0.1, 0.1, 0.9, "open"), (0.03, 0.1, 0.01, "more"),
                                   (-0.1, -0.03, 0.01, "less")]
)  # fmt: skip
def test_gains_are_equal_within_the_margin_alone(study: Results, low: float, high: float, p: float, word: str) -> None:
    row = against_first(study.shown)[0].gained[0]
    ends = replace(row.estimate, value=(low + high) / 2 or 0.001, low=low, high=high, p_value=p)
    ends = replace(ends, p_adjusted=p, low_adjusted=low, high_adjusted=high)
    assert than_first(replace(row, estimate=ends), 0.95) == word


@pytest.mark.parametrize(
    ("part", "name"), [("lora", NAMES[1]), ("lr=1e-4", NAMES[0]), ("rank", NAMES[2]), *((name, name) for name in NAMES)]
)
def test_any_unique_part_names_a_variant(part: str, name: str) -> None:
    assert named_variant(part, ["", *NAMES]) == name


def test_a_word_of_a_name_goes_before_a_part_of_another() -> None:
    assert named_variant("lora", ["qlora", "lora"]) == named_variant("lora", ["qlora lr=1", "lora"]) == "lora"


@pytest.mark.parametrize(
    ("part", "names", "problem"),
    [
        ("lr", NAMES[:2], "variant 'lr': it may be any of full lr=1e-4, lora lr=1e-3; write more of one"),
        ("dora", NAMES[:2], "variant 'dora': valid: lora lr=1e-3, full lr=1e-4; any part of a name"),
        ("lora", [""], "variant 'lora': the study has one variant; leave it out"),
    ],
)
def test_what_names_no_variant_or_several_is_told_with_the_names(part: str, names: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        named_variant(part, names)
    assert problem in str(caught.value)


def test_the_command_reports_one_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaintune.report.figures.every.result_figures", lambda _: [])  # drawn elsewhere
    folder = run_folder(tmp_path, FULL, LORA, NAMED)
    done = CliRunner().invoke(app, ["report", str(folder), "--variant", "lora"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Forgetting in the study made: lora lr=1e-3\n")
    assert "full lr=1e-4" not in done.output
    content = json.loads(_of_variant((folder / "results.json").read_text(), "lora lr=1e-3"))
    assert {row["variant"] for row in content["rows"]} == {"", "lora lr=1e-3"}


def test_results_of_an_earlier_version_are_read_with_the_base_once(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, FULL, LORA, NAMED)
    table = pl.read_parquet(folder / "results.parquet")
    old = table.drop("reference_variant").filter(~pl.col("metric").str.starts_with("variant_"))
    base = old.filter(pl.col("chain") == "base")
    labels = {name: f"method={name}, learning_rate=0.0001" for name in NAMES}
    tuned = old.filter(pl.col("chain") != "base").with_columns(pl.col("variant").replace(labels))
    parts = [base.with_columns(variant=pl.lit(name)) for name in labels.values()]
    pl.concat([*parts, tuned]).write_parquet(folder / "results.parquet")
    read = read_results(folder)
    assert len(read.rows) == old.height
    (accuracy,) = [table for table in result_tables(read) if table.title == "Accuracy"]
    assert [row[:2] for row in accuracy.rows[:2]] == [("base", ""), ("s", labels[NAMES[0]])]


def test_names_break_behind_what_joins_words_and_never_in_numbers() -> None:
    names = ["lora lr=1.234567e-3 epochs=2", "adapters_of_rank_64"]
    assert list(wrapped(names, 16).values()) == ["", "\nlora\nlr=1.234567e-3\nepochs=2", "\nadapters_of_\nrank_64"]
