"""What a cell of text holds that is a list."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.errors import DataError
from chaintune.files.cells import json_in

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=5)


@settings(deadline=None)
@given(texts=TEXTS)
def test_a_list_is_read_as_json_python_and_numpy_write_it(texts: list[str]) -> None:
    assert json_in(json.dumps(texts), "cell") == json_in(str(texts), "cell") == texts
    with np.printoptions(threshold=10_000):
        assert json_in(str(np.array(texts, dtype=object)), "cell") == texts


@pytest.mark.parametrize(
    "text",
    [
        "['a', 1]", "['a', 'b'", "['a' 'b', 'c']",
        "['a'; 'b']", "[a, b]", "['a', __import__('os')]", r"['\d']", r"['\x4']",
        "['a', f'{b}']", "['a'] + ['b']", "['a' 'b' ... 'z']", "[" * 100_000, "['" + "a" * 100_000,
    ],
)  # fmt: skip
def test_nothing_else_is_taken_for_a_list(text: str) -> None:
    with pytest.raises(DataError, match="cell is not the JSON that it begins like"):
        json_in(text, "cell")


@pytest.mark.parametrize(("text", "value"), [("[]", []), ('["a", 1]', ["a", 1]), ("[['a']]", None)])
def test_json_stays_json(text: str, value: Any) -> None:
    if value is not None:
        assert json_in(text, "cell") == value
    else:
        with pytest.raises(DataError):
            json_in(text, "cell")
