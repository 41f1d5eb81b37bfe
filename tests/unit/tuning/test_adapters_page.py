"""The how-to page docs/how-to/adapters.md: its studies plan, and its table names what tests train."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaintune.models.peft_config import peft_config
from chaintune.records import PeftSettings
from tests.dummy_engine import make_plan, make_study
from tests.unit.tuning.test_peft import METHODS

TEXT = (Path(__file__).parents[3] / "docs" / "how-to" / "adapters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
ROWS = re.findall(r"^\| [^|]+ \| `(\{peft_type: .*?\})` \|", TEXT, re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_is_part_of_a_study(block: str) -> None:
    stages = make_plan(make_study("ab", **yaml.safe_load(block))).stages
    assert len(stages) >= 2
    assert all(peft_config(node.recipe.adapter_settings) for node in stages if node.recipe.adapter_settings)


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 4


def test_the_table_names_what_is_tested() -> None:
    rows: list[dict[str, Any]] = [yaml.safe_load(row) for row in ROWS]
    assert len(rows) == len(METHODS)
    for row, tested in zip(rows, METHODS.values(), strict=True):
        assert row.items() <= tested.items()
        assert peft_config(PeftSettings.of(row))
