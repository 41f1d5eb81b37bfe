"""Functions of the user's as scorers."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from chaintune import tasks
from chaintune.errors import ChaintuneError, ConfigError, DataError
from chaintune.records import Example, Reference, ScorerRef, Task
from chaintune.scoring.reading import metrics_of
from chaintune.scoring.scorers import Verdict
from chaintune.scoring.scorers.metric import check_trusted, configured, metric_of

EXAMPLES = [
    Example("a", "Hello", Reference("hi"), {"area": ("x",)}, "c", extra={"tone": "warm"}),
    Example("b", "Bye", None, {}, "d"),
]
POLITE = """\
    def polite(texts, examples, word="please"):
        return [float(word in text) for text in texts]
"""


def ref(folder: Path, code: str, function: str = "polite", *, trusted: bool = True, **settings: Any) -> ScorerRef:
    path = folder / "mine.py"
    path.write_text(dedent(code), encoding="utf-8")
    return ScorerRef(f"{path}:{function}", settings, path.read_text(encoding="utf-8"), trusted)


def verdicts(scorer: ScorerRef, texts: tuple[str, str] = ("yes please", "no")) -> list[Verdict]:
    own, settings = configured(scorer, "mine")
    return own.verdicts(EXAMPLES, list(texts), settings)


def task(scorer: ScorerRef) -> Task:
    return Task("mine", "safety", "1", (), (), (), "here", "MIT", measures=("generation",), scorers=(scorer,))


def test_a_function_gives_numbers(tmp_path: Path) -> None:
    assert [one.score for one in verdicts(ref(tmp_path, POLITE))] == [1.0, 0.0]
    assert [one.score for one in verdicts(ref(tmp_path, POLITE, word="no"))] == [0.0, 1.0]


def test_a_function_gives_more_than_numbers(tmp_path: Path) -> None:
    code = """
        def polite(texts, examples):
            yield {"score": True, "outcome": "kind", "evidence": texts[0][:3], "answer": 7}
            yield None
    """
    assert verdicts(ref(tmp_path, code)) == [
        Verdict(1.0, "kind", "yes", None, "7"),
        Verdict(None, missing_reason="'polite' gives none"),
    ]


def test_examples_are_plain_data_with_every_key(tmp_path: Path) -> None:
    code = """
        import json

        def polite(texts, examples):
            return [{"score": 0, "evidence": json.dumps(example, sort_keys=True)} for example in examples]
    """
    first, second = (one.evidence for one in verdicts(ref(tmp_path, code)))
    assert first == (
        '{"answers": ["hi"], "cluster": "c", "extra": {"tone": "warm"}, "groups": {"area": ["x"]}, "id": "a", '
        '"pair": "", "prompt": "Hello", "target": {"text": "hi"}}'
    )
    assert '"answers": [], "cluster": "d", "extra": {}, "groups": {}' in second


def test_nothing_runs_unasked(tmp_path: Path) -> None:
    code = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n" + dedent(POLITE)
    scorer = ref(tmp_path, code, trusted=False)
    metric_of(scorer, task(scorer))
    assert metrics_of(task(scorer))[0].name == "polite"
    for attempt in (lambda: verdicts(scorer), lambda: check_trusted([task(scorer)])):
        with pytest.raises(ConfigError, match=r"is Python code, which may do anything.*--trust-remote-code"):
            attempt()
    assert not (tmp_path / "ran").exists()
    verdicts(ref(tmp_path, code))
    assert (tmp_path / "ran").exists()
    check_trusted([task(ref(tmp_path, code))])


def test_it_is_known_by_the_text_of_its_file_and_not_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one, elsewhere = ref(tmp_path, POLITE), ref(tmp_path / "other", POLITE)
    versions = [
        metric_of(scorer, task(scorer)).version
        for scorer in (one, elsewhere, ref(tmp_path, POLITE + "\n"), ref(tmp_path, POLITE, word="x"))
    ]
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3


def test_what_was_read_is_run_whatever_became_of_the_file(tmp_path: Path) -> None:
    scorer = ref(tmp_path, POLITE)
    (tmp_path / "mine.py").unlink()
    assert [one.score for one in verdicts(scorer)] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("code", "function", "settings", "words"),
    [
        ("def polite(texts, examples:\n", "polite", {}, "mine.py:1: no Python, "),
        (POLITE, "polight", {}, "has no function 'polight'; did you mean 'polite'?"),
        ("x = 1", "polite", {}, "has no function 'polite'; it has none"),
        ("\n\ndef polite(texts):\n    pass", "polite", {}, "mine.py:3: 'polite' takes 1 argument; a function (texts,"),
        (POLITE, "polite", {"wort": "x"}, "mine.py:1: 'polite' has no argument 'wort'; did you mean 'word'?"),
        ("import nowhere_at_all\ndef polite(a, b): ...", "polite", {}, "mine.py:1: cannot be run, ModuleNotFoundError"),
        (
            "def tell(x):\n    return x / 0\n\ndef polite(texts, examples):\n    return tell(1)\n",
            "polite",
            {},
            "mine.py:2: 'polite' cannot judge, ZeroDivisionError: division by zero",
        ),
        ("def polite(a, b):\n    return [1]", "polite", {}, "mine.py:1: 'polite' gives 1 verdicts of 2 texts"),
        ("def polite(a, b):\n    return None", "polite", {}, "mine.py:1: 'polite' gives NoneType None; a function"),
        (
            "def polite(a, b):\n    return [2, 0]",
            "polite",
            {},
            "'polite', example 'a': score 2, expected",
        ),
        ("def polite(a, b):\n    return [0, 'x']", "polite", {}, "example 'b': score str 'x', expected"),
        ("def polite(a, b):\n    return [0, float('nan')]", "polite", {}, "example 'b': score float nan, expected"),
        ("def polite(a, b):\n    return [0, {'scor': 1}]", "polite", {}, "'b': gives 'scor'; did you mean 'score'?"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_line(
    tmp_path: Path, code: str, function: str, settings: dict[str, Any], words: str
) -> None:
    scorer = ref(tmp_path, code, function, **settings)
    with pytest.raises((ConfigError, DataError)) as caught:
        verdicts(scorer)
    sentence = str(caught.value)
    assert words in sentence
    assert "\n" not in sentence


def test_a_task_reads_its_file(tmp_path: Path) -> None:
    scorer = ref(tmp_path, POLITE)
    rows = tmp_path / "x.csv"
    rows.write_text("prompt,response\n" + "".join(f"What is {k}?,{k}\n" for k in range(20)), encoding="utf-8")
    loaded = tasks.load("mine", role="safety", path=rows, scorers=scorer.name, test=4)
    assert loaded.scorers[0].source == scorer.source
    assert not loaded.scorers[0].trusted
    with pytest.raises(ChaintuneError, match="its file cannot be read"):
        tasks.load("mine", role="safety", path=rows, scorers=f"{tmp_path}/none.py:polite")
