"""BBQ from a handful of rows in its published shape."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chaintune import tasks
from chaintune.errors import DataError
from chaintune.records import Example, Task


def item(k: int, **values: Any) -> dict[str, Any]:
    """One published row; the unknown answer moves from place to place, as it does in the data."""
    people = [["old man", "old"], ["young man", "nonOld"]]
    people.insert(k % 3, ["Can't be determined", "unknown"])
    ambiguous = k % 2 == 0
    return {
        "example_id": k,
        "question_index": str(k // 4),
        "question_polarity": "neg" if k % 4 < 2 else "nonneg",
        "context_condition": "ambig" if ambiguous else "disambig",
        "category": "Age",
        "answer_info": {f"ans{n}": info for n, info in enumerate(people)},
        "additional_metadata": {"subcategory": "None", "stereotyped_groups": ["old", "man"] if k % 4 else []},
        "context": f"Two men met {k}.",
        "question": "Who forgot? ",
        **{f"ans{n}": f"The {info[0]}" for n, info in enumerate(people)},
        "label": k % 3 if ambiguous else (k + 1) % 3,
    } | values


def target(k: int) -> str:
    """A row of the authors' own table of targets: the old man is the first person listed."""
    return f"Age,{k // 4},{k},{1 if k % 3 == 0 else 0}"


def write(folder: Path, rows: list[dict[str, Any]], targets: list[str] | None = None) -> Path:
    (folder / "Age.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if targets is not None:
        header = "category,question_index,example_id,target_loc"
        (folder / "additional_metadata.csv").write_text("\n".join([header, *targets]) + "\n")
    return folder


def load(folder: Path, **options: Any) -> Task:
    return tasks.load("bbq", path=folder, labelling=False, **options)


def by_id(task: Task) -> dict[str, Example]:
    return {example.id: example for example in task.train + task.test}


def test_an_item_is_read_as_its_authors_mean_it(tmp_path: Path) -> None:
    task = load(write(tmp_path, [item(k) for k in range(20)], [target(k) for k in range(20)]))
    example = by_id(task)["Age/7"]
    assert example.prompt == (
        "Two men met 7.\nQuestion: Who forgot?\nChoices:\n"
        "- The old man\n- The Can't be determined\n- The young man\nAnswer:"
    )
    assert example.choices.texts == (" The old man", " The Can't be determined", " The young man")
    assert example.choices.gold == 2
    assert example.cluster == "Age/1"
    assert example.choices.roles == ("target", "unknown", "other")
    assert example.groups == {
        "category": ("Age",),
        "stereotyped_group": ("man", "old"),
        "context": ("disambiguated",),
        "polarity": ("nonneg",),
    }
    assert task.dimensions == ("category", "stereotyped_group", "context", "polarity")
    assert (task.role, task.version, task.licence) == ("safety", "bbq-2", "CC BY 4.0")


def test_the_unknown_answer_is_right_in_every_ambiguous_context(tmp_path: Path) -> None:
    task = load(write(tmp_path, [item(k) for k in range(20)], [target(k) for k in range(20)]))
    for example in by_id(task).values():
        ambiguous = example.groups["context"] == ("ambiguous",)
        assert (example.choices.roles[example.choices.gold] == "unknown") == ambiguous


def test_a_sample_of_the_test_split_is_even_over_context_and_polarity(tmp_path: Path) -> None:
    rows = [item(k, category=name, context=f"{name} {k}") for k in range(400) for name in ("Age", "Religion")]
    whole = load(write(tmp_path, rows))
    for size in ("12 per category", "30 per category", 60):
        sample = load(tmp_path, test=size)
        for category in ("Age", "Religion"):
            own = [e for e in sample.test if e.groups["category"] == (category,)]
            counts = Counter((*e.groups["context"], *e.groups["polarity"]) for e in own)
            assert len(counts) == 4
            assert max(counts.values()) - min(counts.values()) <= 2
            assert len({e.cluster for e in own}) == min(len(own), 60)
        assert tasks.sample_test(whole, size).test == sample.test


def test_an_item_without_stereotyped_group_bears_none(tmp_path: Path) -> None:
    task = load(write(tmp_path, [item(k) for k in range(20)]))
    assert "stereotyped_group" not in by_id(task)["Age/4"].groups


def test_choices_have_no_roles_where_the_target_is_not_known(tmp_path: Path) -> None:
    rows = [item(k) for k in range(20)]
    task = load(write(tmp_path, rows, [target(0), "Age,0,1,NA"]))
    assert by_id(task)["Age/0"].choices.roles == ("unknown", "target", "other")
    assert by_id(task)["Age/1"].choices.roles == ()
    assert by_id(task)["Age/2"].choices.roles == ()
    (tmp_path / "additional_metadata.csv").unlink()
    task = load(tmp_path)
    assert all(example.choices.roles == () for example in by_id(task).values())
    assert "additional_metadata.csv is not there" in task.source


def test_three_of_five_templates_are_tested(tmp_path: Path) -> None:
    task = load(write(tmp_path, [item(k) for k in range(20)]))
    assert len({example.cluster for example in task.test}) == 3
    assert len({example.cluster for example in task.train}) == 2


BAD: list[tuple[Mapping[str, Any], str]] = [
    ({"label": 3}, "label must be 0, 1 or 2, got 3"),
    ({"label": None}, "field 'label' is empty"),
    ({"context_condition": "ambiguous"}, r"context_condition 'ambiguous' is not known; did you mean 'ambig'\?"),
    ({"answer_info": {f"ans{n}": ["x", "y"] for n in range(3)}}, "must mark exactly one answer as unknown, it marks 0"),
    ({"answer_info": {f"ans{n}": 1 for n in range(3)}}, "field 'ans0' must be a list, got int 1"),
    ({"answer_info": ["x"]}, "field 'answer_info' must hold named fields, got list"),
    ({"ans1": "The old man"}, r"choices 0 and 1 read the same \('The old man'\)"),
    ({"question_index": None}, "field 'question_index' is empty"),
    ({"category": 3}, "field 'category' must be text, got int 3"),
]


@pytest.mark.parametrize(("values", "message"), BAD)
def test_a_malformed_row_is_told_with_its_place(tmp_path: Path, values: Mapping[str, Any], message: str) -> None:
    write(tmp_path, [item(0), item(4, **values)])
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'Age.jsonl'}, line 2")


def test_a_missing_field_is_told(tmp_path: Path) -> None:
    row = item(0)
    del row["context"]
    with pytest.raises(DataError, match="line 1: field 'context' is missing; "):
        load(write(tmp_path, [row]))


def test_a_table_of_targets_without_its_columns_is_told(tmp_path: Path) -> None:
    write(tmp_path, [item(0)])
    (tmp_path / "additional_metadata.csv").write_text("category,target\nAge,1\n")
    with pytest.raises(
        DataError, match=r"additional_metadata\.csv: not the table of targets that BBQ's authors publish"
    ):
        load(tmp_path)
