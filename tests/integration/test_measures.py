"""A measure from outside the package, through a whole study: asked, scored, compared by group, told on the page."""

import json
import re
from pathlib import Path

import polars as pl
import pytest

from chaintune.errors import ChaintuneError
from chaintune.plan.nodes import MEASUREMENT_FILE
from chaintune.records import Measurement, Scores
from chaintune.report.figures.every import result_figures
from chaintune.report.folder import read_results, write_report
from tests.conftest import Install
from tests.integration.conftest import Smoke

TOY = '''
"""How long is the answer that a checkpoint prefers, in characters? Shorter is better."""

import math

from chaintune.records import Choices, ItemMetric
from chaintune.scoring.measures import MEASURES, Measure

choice = MEASURES.get("choice")


def record(backend, examples, asking):
    logprobs, _ = backend.answer_logprobs(examples, task=asking.task, on_scored=asking.on_scored, keep=asking.keep)
    from chaintune.records import Measurement
    import pyarrow as pa

    texts = [
        example.choices.texts[max(range(len(row)), key=row.__getitem__)] for example, row in zip(examples, logprobs)
    ]
    columns = {"example_id": [example.id for example in examples], "sample": [0] * len(examples), "text": texts}
    return Measurement("brevity", pa.table(columns), dict(backend.about))


def characters(measurement, examples):
    texts = measurement.table.column("text").to_pylist()
    return {"score": [float(len(text)) for text in texts], "answer": texts}


LENGTH = ItemMetric("length", "brevity", "characters", (0.0, math.inf), "less", score=characters)
MEASURE = Measure("brevity", (Choices,), frozenset({"log-probabilities"}), record, choice.question, (LENGTH,))
HUNGRY = Measure("hungry", (Choices,), frozenset({"hidden states"}), record, choice.question, (LENGTH,))
'''


@pytest.fixture
def toy(install: Install) -> None:
    install("chaintune.measures: brevity = brevity:MEASURE\nhungry = brevity:HUNGRY", TOY)


@pytest.mark.usefixtures("toy")
def test_a_toy_measure_goes_through_a_study_and_onto_its_page(smoke: Smoke, tmp_path: Path) -> None:
    study = ("tasks.balls.measure=brevity", "chains=[[balls, boxes]]", "resamples=200")
    session = smoke.open(tmp_path / "store", *study)
    out = tmp_path / "out"
    assert session.run(out).outcome.complete
    rows = pl.read_parquet(out / "results.parquet")
    balls = rows.filter((pl.col("task") == "balls") & (pl.col("metric") == "forgetting"))
    assert len(set(balls["group"])) == 5
    assert set(balls["item_metric"]) == {"length"}
    assert set(balls["unit"]) == {"characters"}
    assert set(balls["direction"]) == {"less"}
    assert set(balls["verdict"]) <= {"forgot", "gained", "inconclusive"}

    def mean(chain: str) -> float:
        return float(Scores.read(out / "scores" / f"{chain}.on-balls.parquet").item_scores().mean())

    levels = rows.filter((pl.col("metric") == "accuracy") & (pl.col("task") == "balls") & (pl.col("dimension") == ""))
    shown = {row["chain"]: row["value"] for row in levels.to_dicts()}
    assert shown["balls"] == pytest.approx(mean("balls.seed0"))
    lost = balls.filter(pl.col("dimension") == "").to_dicts()[0]
    assert lost["value"] == pytest.approx(mean("balls-boxes.seed0") - mean("balls.seed0"))
    boxes = rows.filter((pl.col("task") == "boxes") & (pl.col("metric") == "accuracy") & pl.col("deciding"))
    assert set(boxes["unit"]) == {"share"}
    report = write_report(out)
    figures = {one.name: one for one in result_figures(read_results(out))}
    assert "forgetting (characters), positive is worse" in json.dumps(figures["forgetting-balls-owner"].spec)
    assert '"title": "length (characters)"' in json.dumps(figures["accuracy-in-characters"].spec)
    assert "forgetting (characters)" in figures["forgetting-balls-owner"].table.columns
    page = re.sub(r"<[^>]*>", "", (out / "report.html").read_text().partition("<script")[0])
    for text in (report, page):
        # Of boxes: sentences, cells behind its name, and the cell beside that of balls.
        beside = r"[\d.]+ characters \([^|)]*\)[ |]*[\d.]+% \([^|)]*\)[ |]*$"
        others = re.compile(rf"boxes goes from|boxes[ |]*\d+\.\d% |{beside}")
        about = [line for line in text.splitlines() if "balls" in line and not others.search(line)]
        assert any(re.search(r"forgot balls.*: [+-][\d.]+ characters \(", line) for line in about)
        wrong = [line for line in about if re.search(r"\bpoints|\d ?%(?! CI| power)", line)]
        assert wrong == [], "\n".join(wrong)
    (table,) = re.findall(r"## Who forgot balls: owner[^\n]*\n\n(.*?)\n\n(.*?)\n\n", report, re.DOTALL)
    assert table[0].startswith("In characters, most forgotten first")
    shown = {row["group"]: row for row in balls.to_dicts() if row["dimension"] == "owner"}
    for line in table[1].splitlines()[2:]:
        group, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        assert float(cells[2].split()[0]) == pytest.approx(shown[group]["value"], rel=0.01, abs=0.01)
        assert cells[3] == shown[group]["verdict"]


@pytest.mark.usefixtures("toy")
def test_several_measures_and_metrics_of_a_task(smoke: Smoke, tmp_path: Path) -> None:
    study = ("chains=[[balls, boxes]]", "resamples=200")
    plain = smoke.open(tmp_path / "store", *study)
    plain.run(tmp_path / "plain")
    several = ("tasks.balls.measure=[choice, brevity]", "tasks.balls.metric=[accuracy, accuracy_per_byte]")
    session = smoke.open(tmp_path / "store", *study, *several)
    outcome = session.run(tmp_path / "out").outcome
    # What was measured before is not measured again, and the second measure once for each checkpoint.
    assert {result.node.title for result in outcome.of("made")} == {
        f"{chain} on balls by brevity" for chain in ("base", "balls, seed 0", "balls>boxes, seed 0")
    }
    rows = pl.read_parquet(tmp_path / "out" / "results.parquet")
    first = rows.filter(pl.col("deciding"))
    seconds = pl.col("metric") == "extra_seconds"
    alone = pl.read_parquet(tmp_path / "plain" / "results.parquet").filter(pl.col("deciding"))
    assert first.filter(~seconds).equals(alone.filter(~seconds))
    further = rows.filter(~pl.col("deciding"))
    levels = further.filter(pl.col("metric") == "accuracy")
    assert set(zip(levels["task"], levels["item_metric"], levels["unit"], strict=True)) == {
        ("balls", "accuracy_per_byte", "share"),
        ("balls", "length", "characters"),
        ("balls", "scaled_margin", "scaled margin"),
        ("boxes", "scaled_margin", "scaled margin"),
    }
    assert set(further["verdict"]) == {""}
    named = {path.name for path in (tmp_path / "out" / "scores").glob("balls-boxes.*on-balls*")}
    assert named == {f"balls-boxes.seed0.on-balls{by}.parquet" for by in ("", ".by-accuracy_per_byte", ".by-length")}
    length = Scores.read(tmp_path / "out" / "scores" / "balls-boxes.seed0.on-balls.by-length.parquet")
    assert (length.metric.name, len(length.provenance["scores_key"])) == ("length", 64)
    text = write_report(tmp_path / "out")
    for table in ("Learned, then forgotten", "Scores"):
        (section,) = [part for part in text.split("## ") if part.startswith(table)]
        assert all(f"balls{by}" in section for by in (" ", " by length", " by accuracy_per_byte"))


def test_another_metric_asks_no_model_again(smoke: Smoke, tmp_path: Path) -> None:
    first = smoke.open(tmp_path / "store", "chains=[[balls]]")
    first.run(tmp_path / "out")
    again = smoke.open(tmp_path / "store", "chains=[[balls]]", "tasks.balls.metric=accuracy_per_byte")
    results = again.run(tmp_path / "again")
    assert len(results.outcome.of("reused")) == len(again.plan.nodes)
    assert Scores.read(tmp_path / "again/scores/balls.seed0.on-balls.parquet").metric.name == "accuracy_per_byte"
    entry = again.store.get("score", again.plan.scores[0].key)
    assert entry is not None
    assert Measurement.read(entry.path / MEASUREMENT_FILE).provenance["backend"] == "transformers"


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("tasks.balls.measure=brevty", r"no measure is known as 'brevty'; did you mean 'brevity'\?"),
        ("tasks.balls.metric=lenght", r"no metric is known as 'lenght'; did you mean 'length'\?"),
        ("tasks.balls.measure=hungry", "measure 'hungry' needs hidden states, and backend 'transformers' computes"),
    ],
)
def test_a_measure_that_cannot_be_taken_is_one_sentence(smoke: Smoke, tmp_path: Path, said: str, told: str) -> None:
    with pytest.raises(ChaintuneError, match=told):
        smoke.open(tmp_path / "store", said)
