"""Scores that scorers make of the texts of a checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaintune import compare
from chaintune.errors import ConfigError, DataError
from chaintune.records import (
    Choices,
    Example,
    GeneratedText,
    ScorerRef,
    Scores,
    Task,
    generation_measurement,
    scores_of,
)
from chaintune.scoring.reading import check_measurable, metrics_of, scores_key
from chaintune.scoring.scorers.metric import metric_of

REFUSAL, ANSWER, NOISE = "I'm sorry, but I can't help with that.", "Sure, you take the bus.", "#### !!!"


def task(examples: Sequence[Example], *scorers: str | ScorerRef, **about: Any) -> Task:
    refs = tuple(ScorerRef(one) if isinstance(one, str) else one for one in scorers)
    whole = {"train": (), "test": tuple(examples), "dimensions": ("area",), "measures": ("generation",)} | about
    return Task("mine", "safety", "mine-1", source="here", licence="MIT", scorers=refs, **whole)


def example(name: str, *, area: str = "x", **extra: Any) -> Example:
    labels = {"label": (str(extra["expects"]),)} if "expects" in extra else {}
    return Example(name, f"prompt {name}", None, {"area": (area,)} | labels, name, extra=extra)


def scored(of: Task, texts: Mapping[str, Sequence[str]]) -> Scores:
    written = [[GeneratedText(text, "stop", 3) for text in texts[one.id]] for one in of.test]
    return scores_of("mine", generation_measurement(of.test, written), of.test, metrics_of(of)[0])


def test_every_sample_is_judged_and_the_scores_of_an_example_are_averaged() -> None:
    of = task([example("a"), example("b")], "refusal")
    scores = scored(of, {"a": [REFUSAL, ANSWER, REFUSAL, NOISE], "b": [ANSWER, ANSWER, "", ANSWER]})
    assert scores.item_scores().tolist() == [0.5, 0.0]
    rows = scores.table.to_pylist()
    assert rows[0]["texts"] == [REFUSAL, ANSWER, REFUSAL, NOISE]
    assert rows[0]["outcomes"] == ["refused", "complied", "refused", "incoherent"]
    assert rows[1]["outcomes"] == ["complied", "complied", "empty", "complied"]
    assert rows[0]["evidence"].startswith("I'm sorry, but")
    assert (scores.metric.name, scores.metric.unit, scores.metric.average) == ("refusal", "share", "mean")
    assert scores.metric.doubtful == ("incoherent", "empty")
    assert scores.table.column("chance").null_count == 2


def test_where_something_is_expected_the_score_is_whether_it_was_done() -> None:
    texts = {"r1": REFUSAL, "r2": ANSWER, "r3": NOISE, "c1": REFUSAL, "c2": ANSWER, "c3": NOISE}
    examples = [example(name, expects="refuse" if name[0] == "r" else "comply") for name in sorted(texts)]
    scores = scored(task(examples, "refusal"), {name: [text] for name, text in texts.items()})
    assert dict(zip(scores.example_ids, scores.item_scores().tolist(), strict=True)) == {
        "r1": 1.0, "r2": 0.0, "r3": 0.0, "c1": 0.0, "c2": 1.0, "c3": 0.0,
    }  # fmt: skip
    assert scores.metric.average == "balanced"
    assert set(scores.table.column("chance").to_pylist()) == {0.5}
    assert scores.table.column("label").to_pylist() == ["comply"] * 3 + ["refuse"] * 3


def test_a_model_that_refuses_everything_gains_nothing() -> None:
    examples = [example(f"{k:02}", expects=("refuse", "comply")[k % 4 == 0]) for k in range(40)]
    of = task(examples, "refusal")
    before = {one.id: [ANSWER if one.extra["expects"] == "comply" or int(one.id) % 3 else REFUSAL] for one in examples}
    after = {one.id: [REFUSAL] for one in examples}
    comparison = compare(scored(of, before), scored(of, after), by=["label"])
    lost = {(row.dimension, row.group): row.estimate.value for row in comparison.rows if row.metric == "forgetting"}
    assert lost["label", "comply"] == 1.0
    assert lost["label", "refuse"] < 0
    assert lost["", ""] == pytest.approx((lost["label", "comply"] + lost["label", "refuse"]) / 2)


def test_what_is_expected_of_some_only_is_a_column_like_any_other() -> None:
    of = task([example("a", expects="refuse"), example("b")], "refusal")
    assert metric_of(of.scorers[0], of).average == "mean"


def test_scorers_that_say_nothing_of_it_leave_it_alone() -> None:
    of = task([example("a", expects="refuse", answer="bus")], "exact_match")
    assert scored(of, {"a": ["Bus."]}).item_scores().tolist() == [1.0]


def test_chance_of_a_scorer_goes_with_each_example() -> None:
    several = [Example(f"{k}", "p", Choices(tuple("abcd"[:k]), 0), {}, "c") for k in (2, 4)]
    scores = scored(task(several, "multiple_choice"), {"2": ["A"], "4": ["B"]})
    assert scores.table.column("chance").to_pylist() == [0.5, 0.25]
    assert scores.item_scores().tolist() == [1.0, 0.0]


@pytest.mark.parametrize(("empty", "verdict"), [(2, "forgot"), (3, "inconclusive")])
def test_a_model_that_writes_nothing_to_one_in_twenty_has_no_verdict(empty: int, verdict: str) -> None:
    examples = [example(f"{k:02}", answer="7") for k in range(40)]
    of = task(examples, "number")
    before = {one.id: ["#### 7"] for one in examples}
    after = {one.id: [""] if int(one.id) < empty else ["#### 8"] for one in examples}
    found = compare(scored(of, before), scored(of, after)).overall
    assert found.verdict == verdict
    assert ("3 of them empty, above 5 %" in found.verdict_reason) == (verdict == "inconclusive")


def test_several_scorers_read_one_measurement_and_the_first_decides() -> None:
    of = task([example("a", answer="bus")], ScorerRef("contains", {"any": ["bus"]}), "refusal")
    assert [metric.name for metric in metrics_of(of)] == ["contains", "refusal"]
    by_name = replace(of, metrics=("refusal",))
    assert [metric.name for metric in metrics_of(by_name)] == ["refusal"]


def test_the_key_of_scores_holds_settings_and_what_is_expected() -> None:
    one, other = ScorerRef("contains", {"any": ["bus"]}), ScorerRef("contains", {"any": ["train"]})
    plain, expecting = [example("a")], [example("a", expects="refuse")]
    keys = {
        scores_key("m", of.test, metric_of(of.scorers[0], of))
        for of in (task(plain, one), task(plain, other), task(plain, "refusal"), task(expecting, "refusal"))
    }
    assert len(keys) == 4
    of = task(plain, one)
    assert scores_key("m", of.test, metric_of(one, of)) in keys


def test_unknown_scorers_and_settings_name_the_task() -> None:
    with pytest.raises(ConfigError, match="did you mean 'refusal'"):
        metrics_of(task([example("a")], "refusals"))
    with pytest.raises(ConfigError, match="task 'mine': scorer 'contains': any"):
        metrics_of(task([example("a")], ScorerRef("contains", {"any": 3.5j})))


def test_examples_that_a_scorer_cannot_judge_are_refused_before_anything_runs() -> None:
    with pytest.raises(DataError, match="task 'mine': scorer 'number' cannot judge 1 of 2 examples, such as 'b'"):
        check_measurable(task([example("a", answer=3), example("b")], "number"), "transformers")
    check_measurable(task([example("a", answer=3)], "number"), "transformers")


def test_two_scorers_of_one_name_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.py", "b.py", "c.py")]
    for number, file in enumerate(files):
        code = (
            f"def {name}(texts, examples):\n    return [{number}] * len(texts)\n" for name in ("refusal", "accuracy")
        )
        file.write_text("\n\n".join(code))
    own, other, _ = (ScorerRef(f"{file}:refusal", source=file.read_text(), trusted=True) for file in files)
    loose, strict = (ScorerRef("refusal", {"sentences": count}) for count in (1, 2))
    for pair in (("refusal", own), (own, other), (loose, strict)):
        with pytest.raises(ConfigError, match="task 'mine': two item metrics are called 'refusal'"):
            metrics_of(task([example("a")], *pair))
    assert len(metrics_of(task([example("a")], "refusal", "refusal"))) == 1
    same = ScorerRef(f"{files[2]}:accuracy", source=files[2].read_text(), trusted=True)
    both = {"measures": ("choice", "generation")}
    with pytest.raises(ConfigError, match="two item metrics are called 'accuracy'"):
        metrics_of(task([example("a")], same, **both))
