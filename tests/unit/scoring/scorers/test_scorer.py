"""What every scorer keeps to: names, digests, and what a verdict may be."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from chaintune.config.validation import Spec
from chaintune.errors import ConfigError, DataError
from chaintune.records import Choices, Example
from chaintune.scoring.scorers import SCORERS, Scorer, Verdict
from chaintune.scoring.scorers import scorer as scorer_module
from chaintune.scoring.scorers.exact_match import ExactMatch
from tests import synthetic

EXAMPLE = Example("e", "prompt", Choices(("7", "8"), 0), {}, "c")


class Loud(Spec):
    word: str = "!"


def shout(_examples: Sequence[Example], texts: Sequence[str], settings: Loud) -> list[Verdict]:
    return [Verdict(float(settings.word in text), "loud" if settings.word in text else "quiet") for text in texts]


LOUD = Scorer("loud", Loud, shout, "Tells loud from quiet.", outcomes=("loud", "quiet"))


@pytest.mark.parametrize("name", SCORERS.shipped)
def test_shipped_scorers_say_all_about_themselves(name: str) -> None:
    scorer = SCORERS.get(name)
    assert scorer.name == name
    assert scorer.limits.endswith(".")
    assert "cannot" in scorer.limits or "nothing else" in scorer.limits
    assert not scorer.outcomes or set(scorer.doubtful) <= set(scorer.outcomes)
    assert "empty" in scorer.doubtful


@pytest.mark.parametrize("name", [name for name in SCORERS.shipped if not SCORERS.get(name).model])
@pytest.mark.parametrize("text", ["", " ", "7", "\x00", "a" * 10_000, "(" * 200, "\ud800", "#### \\boxed{", "ꙮ̈🙂"])
def test_no_text_breaks_a_scorer(name: str, text: str) -> None:
    settings = synthetic.settings_of(name, {"pattern": "a"} if name == "regex" else {}, "test")
    [verdict] = SCORERS.get(name).verdicts([EXAMPLE], [text], settings)
    assert verdict.score is not None


def test_unknown_names_and_settings_are_one_sentence() -> None:
    with pytest.raises(ConfigError, match="scorer 'exactmatch': did you mean 'exact_match'"):
        SCORERS.get("exactmatch")
    with pytest.raises(ConfigError, match=r"task 'mine': ignore_cases: unknown key.*did you mean 'ignore_case'"):
        synthetic.settings_of("exact_match", {"ignore_cases": True}, "task 'mine'")


def test_a_digest_holds_settings_version_and_code() -> None:
    scorer = SCORERS.get("exact_match")
    own = scorer.digest(ExactMatch())
    assert own == scorer.digest(ExactMatch())
    assert own != scorer.digest(ExactMatch(ignore_case=False))
    assert own != replace(scorer, version="2").digest(ExactMatch())
    assert own != replace(scorer, judge=SCORERS.get("contains").judge).digest(ExactMatch())


@pytest.mark.parametrize("part", ["refusal", "refusal_phrases", "coherence", "references"])
def test_a_digest_holds_the_phrases_that_a_module_imports(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, settings = SCORERS.get("refusal"), synthetic.settings_of("refusal", {}, "test")
    own, source = scorer.digest(settings), scorer_module._source
    monkeypatch.setattr(scorer_module, "_source", lambda name: source(name) + "#" * name.endswith(f".{part}"))
    assert scorer.digest(settings) != own
    monkeypatch.setattr(scorer_module, "_source", lambda name: source(name) + "#" * name.endswith(".number"))
    assert scorer.digest(settings) == own


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict(1.5), "score 1.5"),
        (Verdict(float("nan")), "no finite number"),
        (Verdict(1.0, "lout"), "did you mean 'loud'"),
    ],
)
def test_what_no_verdict_can_be_is_refused(verdict: Verdict, words: str) -> None:
    scorer = replace(LOUD, judge=lambda *_: [verdict])
    with pytest.raises(DataError, match="scorer 'loud', example 'e'") as caught:
        scorer.verdicts([EXAMPLE], ["x"], Loud())
    assert words in str(caught.value)


def test_a_verdict_of_each_text_is_needed() -> None:
    with pytest.raises(DataError, match="1 verdicts of 2 texts"):
        replace(LOUD, judge=lambda *_: [Verdict(1.0)]).verdicts([EXAMPLE] * 2, ["x", "y"], Loud())


def test_no_score_has_a_reason() -> None:
    [verdict] = replace(LOUD, judge=lambda *_: [Verdict(None)]).verdicts([EXAMPLE], ["x"], Loud())
    assert verdict.missing_reason == "scorer 'loud' gives no score"


def test_scores_are_of_the_settings() -> None:
    assert [one.outcome for one in LOUD.verdicts([EXAMPLE] * 2, ["hm?", "hm!"], Loud(word="?"))] == ["loud", "quiet"]
