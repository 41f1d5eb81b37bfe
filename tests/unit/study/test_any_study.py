"""Whatever a mapping or a file holds, it is a study or one error in sentences, at once."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaintune.errors import ConfigError
from chaintune.study.study import Study
from tests.unit.study.test_advice import GOOD, changed, places

STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 10**400, -(10**400), 1e308, 1e-320, float("inf"), float("nan"), "", " ", "9" * 5000,
    "\N{SUPERSCRIPT TWO}", "a" * 3000, "\0", "\u202e", "{q}", "a>b", "all orders", "all orders of 0", "30 per", [],
    [None], ["a", ["b"]], [[["a"]]], [{}], {}, {"a": None}, {1: 2}, {None: 1}, list(range(3000)),
    {str(number): number for number in range(2000)}, "~/x", "/", "a\nb", b"x", "2024-01-01", "base", object(), {1, 2},
)  # fmt: skip
YAML = (
    "{",
    "]",
    "- ",
    "&a ",
    "*a",
    "!!int ",
    "!!set {a}",
    "\t",
    "'",
    '"',
    "|",
    "<<: *a\n",
    "0b" + "1" * 90,
    "1:" * 90,
    "---",
)


@pytest.mark.parametrize("seed", range(4))
def test_a_strange_value_anywhere_is_refused_in_sentences_or_taken(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - test data
    for _ in range(60):
        mapping: Any = GOOD
        for _ in range(rng.randint(1, 3)):
            if isinstance(mapping, dict):
                mapping = changed(mapping, rng.choice(list(places(mapping))), rng.choice(STRANGE))
        read(lambda mapping=mapping: Study.from_mapping(mapping))


@pytest.mark.parametrize("seed", range(4))
def test_a_file_with_strange_signs_is_refused_in_sentences_or_taken(seed: int, tmp_path: Path) -> None:
    rng, path = random.Random(seed), tmp_path / "mine.yaml"  # noqa: S311 - test data
    plain = yaml.safe_dump(GOOD)
    for _ in range(30):
        text = plain
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(YAML) + text[at:]
        path.write_text(text, encoding="utf-8")
        read(lambda: Study.from_yaml(path))


def read(make: Any) -> None:
    try:
        study = make()
    except ConfigError as error:
        text = str(error)
        assert all(sign.isprintable() or sign == "\n" for sign in text)
        assert len(text) < 100_000
    else:
        study.to_yaml()
        study.variants()
