"""Self-tests: what a perfect, a random and an always-the-same scorer get on rows in the Hub's shape.

The rows are made up, so that the arithmetic is known before the task is read.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaintune import tasks
from chaintune.errors import DataError
from chaintune.records import Example, Scores, Task, scores_table
from chaintune.tasks.crows_pairs import BIAS_TYPES
from chaintune.tasks.prompts import choice_defect
from chaintune.tasks.toxigen import GROUPS, SPELT_OUT

Row = dict[str, Any]
COUNT = 260


def exam_row(k: int) -> Row:
    texts = [f"{word} {k}" for word in ("north", "south", "east", "west")]
    return {
        "id": f"q{k}",
        "question": f"Where is {k}?",
        "choices": {"label": ["A", "B", "C", "D"], "text": texts},
        "answerKey": "ABCD"[k % 4],
    }


def csqa2_row(k: int) -> Row:
    return {"id": f"q{k}", "question": f"Is {k} even?", "answer": "no" if k % 2 else "yes", "confidence": 0.9}


def toxigen_row(k: int) -> Row:
    """One of four statements of each group is toxic, and one lies exactly on the threshold and is not."""
    human = (1.0, 1.5, 2.0, 5.0)[k // 13 % 4]
    return {"text": f"statement {k}\n", "target_group": GROUPS[k % 13], "toxicity_ai": 3.5, "toxicity_human": human}


def crows_row(k: int) -> Row:
    numbered = {"stereo_antistereo": k % 2, "bias_type": k % 9}
    return {"id": k, "sent_more": f"Some {k} are late.", "sent_less": f"Others {k} are late."} | numbered


def stereoset_row(k: int) -> Row:
    texts = [f"Cats bark {k}.", f"They are kind {k}.", f"They are rude {k}."]
    context = f"The {k} are BLANK." if k % 2 else f"Many live in {k}."
    sentences = {"sentence": texts, "gold_label": [2, 0, 1], "id": ["a", "b", "c"]}
    return {
        "id": f"s{k}",
        "target": f"Town {k % 4}",
        "bias_type": "race",
        "context": context,
        "sentences": sentences,
    }


SHAPES: dict[str, tuple[str, Callable[[int], Row]]] = {
    "arc_challenge": ("arc_challenge/train.jsonl", exam_row),
    "arc_easy": ("arc_easy/train.jsonl", exam_row),
    "crows_pairs": ("crows_pairs/test.jsonl", crows_row),
    "csqa2": ("commonsense_qa_2/train.jsonl", csqa2_row),
    "stereoset": ("stereoset/validation.jsonl", stereoset_row),
    "toxigen": ("toxigen/train.jsonl", toxigen_row),
}
# Share of the items whose gold choice comes first, where the rows decide it.
FIRST_IS_GOLD = {"arc_challenge": 1 / 4, "arc_easy": 1 / 4, "csqa2": 1 / 2, "toxigen": 1 / 4}
CHOICES = {"arc_challenge": 4, "arc_easy": 4}


def write(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def load(name: str, root: Path, **options: Any) -> Task:
    file, row = SHAPES[name]
    write(root / file, [row(k) for k in range(COUNT)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAINTUNE_DATA", str(root))
        return tasks.load(name, **options)


def accuracy(examples: tuple[Example, ...], preferred: list[int]) -> float:
    """Share right when the choice named is the likelier one."""
    logprobs = [
        [0.0 if k == best else -1.0 for k in range(len(e.choices.texts))]
        for e, best in zip(examples, preferred, strict=True)
    ]
    tokens = [[1] * len(e.choices.texts) for e in examples]
    return float(Scores("t", scores_table("t", examples, logprobs, tokens)).item_scores().mean())


@pytest.fixture(params=SHAPES)
def task(request: pytest.FixtureRequest, tmp_path: Path) -> Task:
    return load(request.param, tmp_path, test_share=1)


def test_every_new_task_has_a_self_test() -> None:
    assert set(tasks.names()) - set(SHAPES) >= {"bbq", "csqa", "openbookqa"}  # these are tested on their real rows
    assert set(SHAPES) <= set(tasks.names())


def test_a_perfect_scorer_gets_everything_right(task: Task) -> None:
    assert len(task.test) == COUNT
    assert accuracy(task.test, [e.choices.gold for e in task.test]) == 1.0
    wrong = [(e.choices.gold + 1) % len(e.choices.texts) for e in task.test]
    assert accuracy(task.test, wrong) == 0.0


def test_a_scorer_that_always_takes_the_first_choice_gets_its_share(task: Task) -> None:
    right = accuracy(task.test, [0] * COUNT)
    assert right == pytest.approx(Counter(e.choices.gold for e in task.test)[0] / COUNT)
    if task.name in FIRST_IS_GOLD:
        assert right == pytest.approx(FIRST_IS_GOLD[task.name])
    else:  # the order within a pair is drawn, so it is even up to chance
        assert abs(right - 0.5) < 4 * np.sqrt(0.25 / COUNT)


def test_a_random_scorer_is_at_chance(task: Task) -> None:
    rng = np.random.default_rng(0)
    guesses = [int(rng.integers(len(e.choices.texts))) for e in task.test]
    chance = 1 / CHOICES.get(task.name, 2)
    assert abs(accuracy(task.test, guesses) - chance) < 4 * np.sqrt(chance * (1 - chance) / COUNT)


def test_every_example_is_sound(task: Task) -> None:
    assert len({e.id for e in task.test}) == COUNT
    assert all(choice_defect(e.choices.texts) == "" for e in task.test)
    for dimension in task.dimensions:
        assert all(len(e.groups[dimension]) == 1 for e in task.test)
    for e in task.test:
        joined = [e.prompt_text + choice for choice in e.choices.texts]
        assert all(text == text.strip() and "  " not in text for text in joined)


def test_groups_are_those_of_the_rows(tmp_path: Path) -> None:
    told = tasks.describe(load("toxigen", tmp_path, test_share=1)).test.groups
    assert told["target_group"] == dict.fromkeys(sorted(GROUPS), COUNT // 13)
    told = tasks.describe(load("crows_pairs", tmp_path, test_share=1)).test.groups
    assert set(told["bias_type"]) == set(BIAS_TYPES)
    assert told["direction"] == {"stereo": COUNT // 2, "antistereo": COUNT // 2}
    told = tasks.describe(load("stereoset", tmp_path, test_share=1)).test.groups
    assert told["kind"] == {"intersentence": COUNT // 2, "intrasentence": COUNT // 2}
    assert told["target"] == {f"town {k}": COUNT // 4 for k in range(4)}


@pytest.mark.parametrize("name", ["crows_pairs", "stereoset"])
def test_gold_is_the_less_stereotypical_sentence(name: str, tmp_path: Path) -> None:
    task = load(name, tmp_path, test_share=1)
    words = {"crows_pairs": ("Some", "Others"), "stereoset": ("rude", "kind")}[name]
    for e in task.test:
        assert e.choices.roles[e.choices.gold] == "anti_stereotype"
        for role, choice in zip(e.choices.roles, e.choices.texts, strict=True):
            assert words[role == "anti_stereotype"] in choice
        assert not any("Cats" in choice for choice in e.choices.texts)
    # An always-stereotype scorer scores 0: accuracy is the complement of a stereotype score.
    assert accuracy(task.test, [e.choices.roles.index("stereotype") for e in task.test]) == 0.0


def test_only_what_differs_between_sentences_is_in_the_context(tmp_path: Path) -> None:
    by_kind = {e.groups["kind"][0]: e for e in load("stereoset", tmp_path, test_share=1).test}
    assert by_kind["intersentence"].prompt_text.startswith("Many live in ")
    assert all(choice.startswith(" They are ") for choice in by_kind["intersentence"].choices.texts)
    assert by_kind["intrasentence"].prompt == ""
    assert all(choice.startswith("They are ") for choice in by_kind["intrasentence"].choices.texts)


def test_the_published_json_of_stereoset_reads_as_the_hub_s_rows_do(tmp_path: Path) -> None:
    listed = []
    for row in map(stereoset_row, range(40)):
        held = row["sentences"]
        names = [("anti-stereotype", "stereotype", "unrelated")[label] for label in held["gold_label"]]
        sentences = [{"sentence": s, "gold_label": g} for s, g in zip(held["sentence"], names, strict=True)]
        listed.append(row | {"sentences": sentences})
    data = {"version": "1", "data": {"intersentence": listed[0::2], "intrasentence": listed[1::2]}}
    (tmp_path / "dev.json").write_text(json.dumps(data), encoding="utf-8")
    hub = write(tmp_path / "hub.jsonl", [stereoset_row(k) for k in range(40)])
    one, two = (tasks.load("stereoset", path=path, test_share=1) for path in (tmp_path / "dev.json", hub))
    assert one.test == two.test


def test_statements_of_one_prompt_are_one_cluster(tmp_path: Path) -> None:
    rows = [toxigen_row(k) | {"prompt": f"- write {k % 20}"} for k in range(COUNT)]
    task = tasks.load("toxigen", path=write(tmp_path / "a.jsonl", rows))
    clusters = [{e.cluster for e in part} for part in (task.train, task.test)]
    assert len(clusters[0] | clusters[1]) == 20
    assert not clusters[0] & clusters[1]


def test_the_groups_of_toxigen_s_test_split_are_the_same_thirteen(tmp_path: Path) -> None:
    assert set(SPELT_OUT.values()) == set(GROUPS) - {"women"}
    rows = [toxigen_row(k) | {"target_group": name} for k, name in enumerate(SPELT_OUT)]
    task = tasks.load("toxigen", path=write(tmp_path / "a.jsonl", rows), test_share=1)
    assert Counter(e.groups["target_group"][0] for e in task.test) == Counter(SPELT_OUT.values())


def test_rows_that_repeat_another_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [toxigen_row(k) for k in range(40)] + [toxigen_row(3)]
    task = tasks.load("toxigen", path=write(tmp_path / "a.jsonl", rows))
    assert len(task.train) + len(task.test) == 40
    assert task.source.endswith("; left out 1 of 41 rows: 1 with the text of another row")


def test_arc_is_tested_on_its_test_split_or_else_on_validation(tmp_path: Path) -> None:
    for split, numbers in (("train", range(8)), ("validation", range(8, 11))):
        write(tmp_path / "arc_easy" / f"{split}.jsonl", [exam_row(k) for k in numbers])
    first = tasks.load("arc_easy", path=tmp_path / "arc_easy")
    assert [e.id for e in first.test] == ["q10", "q8", "q9"]
    assert first.source.endswith("; test is validation.jsonl")
    write(tmp_path / "arc_easy" / "test.jsonl", [exam_row(k) for k in range(11, 13)])
    second = tasks.load("arc_easy", path=tmp_path / "arc_easy")
    assert [e.id for e in second.test] == ["q11", "q12"]
    assert "test is" not in second.source


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("csqa2", csqa2_row(1) | {"answer": "maybe"}, "line 2: answer 'maybe' is not known; valid: "),
        ("toxigen", toxigen_row(1) | {"target_group": "asain"}, "'asain' is not known; did you mean 'asian'"),
        ("toxigen", toxigen_row(1) | {"toxicity_ai": "high"}, "'toxicity_ai' must be a number, got str 'high'"),
        ("toxigen", toxigen_row(1) | {"toxicity_ai": None}, r"field 'toxicity_ai' is empty \(None\)"),
        ("crows_pairs", crows_row(1) | {"bias_type": 9}, "bias_type '9' is not known; valid: "),
        ("crows_pairs", crows_row(1) | {"sent_less": "Some 1 are late. "}, "are the same sentence"),
        ("stereoset", stereoset_row(1) | {"sentences": {"sentence": ["a"], "gold_label": [1]}}, "one sentence of each"),
        ("stereoset", stereoset_row(1) | {"sentences": {}}, "field 'sentences.sentence' is missing; "),
    ],
)
def test_a_malformed_row_is_told(name: str, row: Row, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [SHAPES[name][1](0), row])
    with pytest.raises(DataError, match=message):
        tasks.load(name, path=path)
