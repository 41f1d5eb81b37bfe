"""How texts are asked for, and the measurement of what was written."""

from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import ConfigError
from chaintune.records import Example, GeneratedText, Generation, Measurement, generation_measurement


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens: expected 1 or more"),
        ({"samples": 0}, "samples: expected 1 or more"),
        ({"temperature": -1.0}, "temperature: expected 0 or more"),
        ({"temperature": float("nan")}, "temperature: expected 0 or more"),
        ({"samples": 2}, "the same text at temperature 0; set a temperature"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Generation(**settings)


def test_a_seed_is_no_part_of_what_determines_greedy_texts() -> None:
    assert Generation(seed=1).content() == Generation(seed=2).content()
    assert Generation(seed=1, temperature=0.5).content() != Generation(seed=2, temperature=0.5).content()
    assert Generation(stop=("a",)).content() != Generation().content()


def test_a_measurement_holds_a_row_a_sample_and_those_written_again(tmp_path: Path) -> None:
    examples = [Example(name, "p", None, {}, name) for name in ("b", "a")]
    texts = [[GeneratedText(f"{one.id}{k}", "length", k + 1) for k in range(2)] for one in examples]
    measurement = generation_measurement(examples, texts, {"precision": "fp32"}, again={"b": texts[0][:1]})
    measurement.write(tmp_path / "m.parquet")
    table = Measurement.read(tmp_path / "m.parquet").table
    assert [*zip(*(table.column(name).to_pylist() for name in ("example_id", "sample", "text")), strict=True)] == [
        ("a", 0, "a0"), ("a", 1, "a1"), ("b", -1, "b0"), ("b", 0, "b0"), ("b", 1, "b1"),
    ]  # fmt: skip
