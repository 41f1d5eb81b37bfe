"""What of a score is rounding is measured on the base, and told beside what was forgotten."""

import json
import math

import pytest

from chaintune import forgetting
from chaintune.models import LoadedModel
from chaintune.records import CheckpointScores
from chaintune.records.choice import TIE, preferred
from chaintune.report.results import Results
from chaintune.report.words import summary
from tests import synthetic, tiny


def loaded(*, bf16: bool) -> LoadedModel:
    model = tiny.make_model()
    return LoadedModel(model.bfloat16() if bf16 else model, tiny.make_tokenizer(), "bf16" if bf16 else "fp32")


@pytest.mark.parametrize(("bf16", "least", "most"), [(False, 0, 1e-5), (True, 1e-3, 1)])
def test_some_examples_are_scored_again(bf16: bool, least: float, most: float) -> None:
    scores = tiny.score(loaded(bf16=bf16), tiny.examples(80), task="balls", measure_rounding=True)
    again = json.loads(scores.provenance["rounding"])
    assert len(set(again["example_id"])) == len(again["nats"]) == len(again["changed"]) == 64
    assert set(again["example_id"]) < set(scores.example_ids)
    assert least <= max(again["nats"]) <= most
    assert not any(again["changed"]) or bf16


def test_it_is_not_measured_unasked() -> None:
    assert "rounding" not in tiny.score(loaded(bf16=False), tiny.examples(4), task="balls").provenance


def test_a_study_tells_it_beside_what_was_forgotten() -> None:
    scores = tiny.score(loaded(bf16=True), tiny.examples(80), task="balls", measure_rounding=True)
    measured = [
        CheckpointScores(synthetic.checkpoint(*chain, base="tiny"), {"balls": scores})
        for chain in ((), ("balls",), ("balls", "boxes"))
    ]
    rows = forgetting.summarise(measured, study="s", roles={"balls": "safety", "boxes": "capability"}, resamples=200)
    changed, nats = (next(row for row in rows if row.metric == name) for name in ("rounding", "rounding_nats"))
    again = json.loads(scores.provenance["rounding"])
    assert changed.chain == nats.chain == "base"
    assert (changed.estimate.n, nats.estimate.n) == (64, 64)
    assert changed.estimate.value == sum(again["changed"]) / 64
    assert changed.estimate.high > 0
    assert nats.estimate.low <= nats.estimate.value <= nats.estimate.high
    assert f"Rounding alone changed {sum(again['changed'])} of 64 answers to balls" in summary(Results("t", rows, 0.95))


def test_the_first_of_tied_choices_is_preferred() -> None:
    assert preferred([-2.0, -1.0 - TIE / 2, -1.0]) == 1
    assert preferred([-2.0, -1.0 - 2 * TIE, -1.0]) == 2
    assert preferred([-math.inf, -math.inf]) == 0
