"""Labels of people, read from files."""

import json
from pathlib import Path

import pytest

from chaintune.errors import DataError
from chaintune.tasks.text_labels import read_labels


def test_labels_are_of_texts_and_several_of_one_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text('id,text,label\na,"No.\nNever.",yes\na,"No.\nNever.",0\na,Sure,0.25\n7,Sure,True\n')
    labels = read_labels(path)
    assert labels.of("a", " No.\r\nNever.\n") == 0.5
    assert labels.of("a", "Sure") == 0.25
    assert labels.of("7", "Sure") == 1
    assert labels.of("b", "Sure") is None
    assert labels.source == "labels.csv"
    rows = [("7", "Sure", 1), ("a", "Sure", 0.25), ("a", "No.\nNever.", "0.5")]
    other = tmp_path / "labels.jsonl"
    other.write_text("".join(json.dumps(dict(zip(("id", "text", "label"), row, strict=True))) + "\n" for row in rows))
    assert read_labels(other).digest == labels.digest


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ('{"id": "a", "label": 1}', "column 'text' is missing; labels have id, text, label"),
        ('{"id": "a", "text": "x", "label": "maybe"}', "label 'maybe', expected a number from 0 to 1, or yes or no"),
        ('{"id": "a", "text": "x", "label": 3}', "label 3, expected a number from 0 to 1"),
        ('{"id": "a", "text": "x", "label": "nan"}', "label 'nan', expected"),
    ],
)
def test_a_row_that_is_no_label_is_named_with_its_line(row: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"id": "a", "text": "y", "label": 1}\n' + row + "\n")
    with pytest.raises(DataError, match=f"line 2: .*{sentence}"):
        read_labels(path)
