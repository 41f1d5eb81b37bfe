"""ARC: science exam questions with three to five choices, an easy and a challenge set (Clark et al., 2018)."""

from collections.abc import Mapping

from chaintune.tasks.definition import Part, Places, TaskDefinition
from chaintune.tasks.multiple_choice import reader


def _places(folder: str, on_hub: str) -> Places:
    return Places(
        folder=folder,
        local={"train": "train.jsonl", "test": "test.jsonl|validation.jsonl"},
        repo="allenai/ai2_arc",
        on_hub={"train": f"{on_hub}/train-*.parquet", "test": f"{on_hub}/test-*.parquet"},
    )


def _task(name: str, places: Places, rows: Mapping[Part, int]) -> TaskDefinition:
    return TaskDefinition(
        name=name,
        role="capability",
        version=f"{name}-1",
        licence="CC BY-SA 4.0",
        dimensions=(),
        read=reader(name, places, "question"),
        places=places,
        rows=rows,
    )


EASY = _task("arc_easy", _places("arc_easy", "ARC-Easy"), {"train": 2_251, "test": 2_376})
CHALLENGE = _task("arc_challenge", _places("arc_challenge", "ARC-Challenge"), {"train": 1_119, "test": 1_172})
