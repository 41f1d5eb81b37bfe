"""Scorers held against people: agreement, corrected means, and what cannot be corrected."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator

from chaintune.forgetting.compare import compare
from chaintune.forgetting.people import people_labels
from chaintune.records import ItemMetric, Scores
from chaintune.records.labels import LABELS, PEOPLE, PeopleLabels
from chaintune.records.scores import whole_table
from chaintune.report.comparison import comparison_json, comparison_schema, read_comparisons
from chaintune.report.people import people_sentences, people_table
from tests.synthetic import Floats

N = 200
NUMBER = count()
REFUSAL = ItemMetric("refusal", "generation")


def scores(
    values: Floats, labels: Floats | None, metric: ItemMetric = REFUSAL, *, texts: Sequence[str] = (), total: int = 0
) -> Scores:
    """Scores with labels; texts that nobody else wrote, unless some are given."""
    columns = {
        "texts": [[text] for text in texts or (f"{next(NUMBER)}" for _ in range(N))],
        "task": ["t"] * N,
        "example_id": [f"{k:03}" for k in range(N)],
        "cluster": [str(k) for k in range(N)],
        "groups": pa.array([[] for _ in range(N)], pa.map_(pa.string(), pa.list_(pa.string()))),
        "score": values,
    }
    if labels is not None:
        columns[PEOPLE] = pa.array(labels, pa.float64(), from_pandas=True)
    return Scores("t", whole_table(pa.table(columns)), {LABELS: str(total)} if total else {}, metric)


def sides(known: int = 120) -> tuple[Scores, Scores, Floats]:
    """A scorer that says yes too often after, and labels of the first texts of both checkpoints."""
    rng = np.random.default_rng(0)
    truth = [(rng.random(N) < share) * 1.0 for share in (0.6, 0.3)]
    said = [truth[0], np.where(rng.random(N) < 0.2, 1.0, truth[1])]
    labels = [np.where(np.arange(N) < known, own, np.nan) for own in truth]
    before, after = (scores(own, label) for own, label in zip(said, labels, strict=True))
    return before, after, np.array([own.mean() for own in truth])


def of(before: Scores, after: Scores) -> PeopleLabels:
    people = people_labels(before, after, level=0.95)
    assert people
    return people


def test_a_scorer_that_is_off_is_corrected() -> None:
    before, after, truth = sides()
    people = of(before, after)
    assert people.labels == 240
    assert 0.85 < people.agreement.value < 0.97
    assert people.kappa.low > 0.6
    assert people.before.low <= truth[0] <= people.before.high
    assert people.after.low <= truth[1] <= people.after.high < float(np.mean(after.item_scores()))
    assert people.forgetting.low <= truth[0] - truth[1] <= people.forgetting.high
    assert people.forgetting.value > before.item_scores().mean() - after.item_scores().mean()
    assert set(people.weights) == {"before", "after", "forgetting"}
    assert all(0 <= weight <= 1 for weight in people.weights.values())


def test_where_less_is_better_forgetting_turns_over() -> None:
    before, after, _ = sides()
    less = replace(REFUSAL, direction="less")
    turned = of(*(replace(one, metric=less) for one in (before, after)))
    assert turned.forgetting.value == pytest.approx(-of(before, after).forgetting.value)
    assert turned.before == of(before, after).before


def test_too_few_labels_give_agreement_alone() -> None:
    before, after, _ = sides(known=40)
    people = of(before, after)
    assert (people.labels, people.agreement.n) == (80, 80)
    assert math.isnan(people.forgetting.value)
    assert people.forgetting.reason == "40 labels, at least 50 are needed"


def written(
    rng: np.random.Generator, labelled: Callable[[str, str], bool], share: float = 0.5
) -> tuple[PeopleLabels, Floats, Floats]:
    """What labels say of a model that refuses less in the share of texts that changed, and what all texts say.

    Args:
        rng: draws everything.
        labelled: whether a text of `before` or `after` has a label; takes the example's text before, and the text.
        share: of texts that change.
    """
    changed = rng.random(N) < share
    said: list[Floats] = [(rng.random(N) < 0.7).astype(np.float64)]
    said.append(np.where(changed, rng.random(N) < 0.4, said[0]).astype(np.float64))
    texts = [[f"{k}" for k in range(N)]]
    texts.append([f"{k} new" if changed[k] else f"{k}" for k in range(N)])
    wrong = [rng.random(N) < 0.15]
    wrong.append(np.where(changed, rng.random(N) < 0.15, wrong[0]))
    sides = [
        scores(
            np.where(off, 1 - own, own),
            np.where([labelled(first, text) for first, text in zip(texts[0], now, strict=True)], own, np.nan),
            texts=now,
        )
        for own, off, now in zip(said, wrong, texts, strict=True)
    ]
    return of(*sides), said[0], said[1]


def test_labels_of_random_examples_correct_the_forgetting_of_texts_that_changed() -> None:
    held, values, widths = 0, [], []
    for draw in range(60):
        rng = np.random.default_rng(draw)
        chosen = {f"{k}" for k in rng.choice(N, 150, replace=False)}
        people, _, _ = written(rng, lambda first, _, chosen=chosen: first in chosen)  # type: ignore[misc]
        held += people.forgetting.low <= 0.15 <= people.forgetting.high
        values.append(people.forgetting.value)
        widths.append(people.forgetting.high - people.forgetting.low)
    assert held >= 55
    assert np.mean(values) == pytest.approx(0.15, abs=0.02)
    # Within the scatter of the forgetting itself, were all texts labelled, and not far above it.
    assert np.std(values) * 3 < np.mean(widths) < np.std(values) * 6


def test_labels_of_one_checkpoint_correct_that_one_alone() -> None:
    for share in (0.3, 0.6):
        rng = np.random.default_rng(0)
        chosen = {f"{k}" for k in rng.choice(N, 160, replace=False)}
        people, before, _ = written(rng, lambda _, text, chosen=chosen: text in chosen, share)  # type: ignore[misc]
        assert people.before.low <= before.mean() <= people.before.high
        assert "have none of the text after; label both texts of each example" in people.after.reason
        assert people.forgetting.reason == "0 labels where the texts differ, at least 50 are needed"
        assert set(people.weights) == {"before"}
        assert people.labels == 160


def test_labels_of_texts_that_a_new_training_repeats_correct_nothing() -> None:
    rng = np.random.default_rng(0)
    chosen = {f"{k}" for k in range(N)} | {f"{k} new" for k in range(150)}
    people, *_ = written(rng, lambda _, text: text in chosen)
    assert "label both texts" in people.forgetting.reason
    assert "label both texts" in people.after.reason
    assert math.isnan(people.forgetting.value)
    assert not math.isnan(people.before.value)


def test_labels_mostly_of_unchanged_texts_are_seen() -> None:
    number = np.arange(N)
    values = [(number % 3 > worse).astype(np.float64) for worse in (0, number >= 100)]
    texts = [[f"{k}" for k in number], [f"{k} new" if k >= 100 else f"{k}" for k in number]]
    known = (number < 100) | (number >= 140)
    both = zip(values, texts, strict=True)
    people = of(*(scores(own, np.where(known, own, np.nan), texts=text) for own, text in both))
    assert "100 of 100 texts that both wrote have a label, and 60 of 100 others" in people.before.reason
    assert people.after.reason == people.before.reason
    assert people.forgetting.value == pytest.approx((values[0] - values[1]).mean(), abs=0.02)


def test_labels_that_match_no_text_are_counted() -> None:
    before, after, _ = sides()
    whole = [replace(one, provenance={LABELS: "250"}) for one in (before, after)]
    people = of(*whole)
    assert (people.labels, people.unused) == (240, 10)
    comparison = compare(*whole, resamples=200)
    (sentence,) = people_sentences(comparison)
    assert "of 240 labelled texts (10 further labels match no text of the two checkpoints)" in sentence
    assert "(10 further labels match" in people_table(comparison).note  # type: ignore[union-attr]


def test_means_over_what_was_expected_are_not_corrected() -> None:
    balanced = replace(REFUSAL, average="balanced")
    before, after, _ = sides()
    people = of(*(replace(one, metric=balanced) for one in (before, after)))
    assert people.agreement.value > 0.8
    assert "averaged over what was expected" in people.after.reason


def test_without_labels_nothing_is_said() -> None:
    before, after, _ = sides()
    assert people_labels(before, scores(after.item_scores(), None), level=0.95) is None
    none = np.full(N, np.nan)
    assert people_labels(*(scores(one.item_scores(), none) for one in (before, after)), level=0.95) is None
    text = scores(after.item_scores(), None)
    named = replace(text, table=text.table.append_column(PEOPLE, pa.array(["x"] * N)))
    assert people_labels(named, named, level=0.95) is None


def test_a_comparison_says_it_in_words_in_a_table_and_in_json(tmp_path: Path) -> None:
    before, after, _ = sides()
    comparison = compare(before, after, resamples=200)
    (sentence,) = people_sentences(comparison)
    assert sentence.startswith("refusal and people say the same of 9")
    assert "of 240 labelled texts (Cohen's kappa 0." in sentence
    assert "Corrected by the labels (prediction-powered inference), the forgetting is +" in sentence
    table = people_table(comparison)
    assert table
    assert [row[0] for row in table.rows] == ["agreement", "Cohen's kappa", "before", "after", "forgetting"]
    assert "Verdicts and budgets rest on the scorer." in table.note
    plain = comparison.to_dict()["people"]
    assert plain["labels"] == 240
    assert plain["forgetting"]["low"] < plain["forgetting"]["value"]
    text = comparison_json([comparison])
    Draft202012Validator(comparison_schema()).validate(json.loads(text))
    (tmp_path / "x.json").write_text(text)
    ((read,), _) = read_comparisons(tmp_path / "x.json")
    assert read.to_dict()["people"] == comparison.to_dict()["people"]
    few = compare(*sides(known=30)[:2], resamples=200)
    (sentence,) = people_sentences(few)
    assert "the forgetting is not corrected by these: 30 labels, at least 50 are needed." in sentence
    (row,) = [row for row in people_table(few).rows if row[0] == "after"]  # type: ignore[union-attr]
    assert row[2] == "not known: 30 labels, at least 50 are needed"
    assert people_sentences(compare(scores(before.item_scores(), None), after, resamples=200)) == []
