"""ARC: science exam questions with three to five choices, an easy and a challenge set (Clark et al., 2018)."""

from chaintune.tasks.definition import TaskDefinition
from chaintune.tasks.multiple_choice import reader
from chaintune.tasks.places import Places


def _places(folder: str, on_hub: str) -> Places:
    return Places(
        folder=folder,
        local={"train": "train.jsonl", "test": "test.jsonl|validation.jsonl"},
        repo="allenai/ai2_arc",
        on_hub={"train": f"{on_hub}/train-*.parquet", "test": f"{on_hub}/test-*.parquet"},
    )


def _task(name: str, places: Places) -> TaskDefinition:
    return TaskDefinition(
        name=name,
        role="capability",
        version=f"{name}-1",
        licence="CC BY-SA 4.0",
        dimensions=(),
        read=reader(name, places, "question"),
    )


EASY = _task("arc_easy", _places("arc_easy", "ARC-Easy"))
CHALLENGE = _task("arc_challenge", _places("arc_challenge", "ARC-Challenge"))
