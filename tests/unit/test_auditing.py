"""What an audit says of its tasks."""

from dataclasses import replace
from typing import Any

import pytest

import chaintune
from chaintune.auditing import with_public_caution
from tests import run_folders, synthetic


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ({"name": "bbq"}, True),
        ({"known": "bbq"}, True),
        ({"name": "bbq-chat", "other_way_of": "bbq"}, True),
        ({}, False),
    ],
)
def test_public_data_is_cautioned_of_under_whatever_name(way: dict[str, Any], told: bool) -> None:
    task = replace(run_folders.task("mine"), **way)
    sides = [synthetic.scores([True] * 20 + [False] * lost, task=task.name, noise=lost) for lost in (20, 20)]
    (comparison,) = with_public_caution([chaintune.compare(*sides, resamples=100)], [task])
    assert ("public" in comparison.cautions) is told
