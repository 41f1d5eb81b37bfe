"""Dolly: instructions of eight kinds that employees of Databricks wrote and answered (Conover et al., 2023).

The text that an instruction is about, where there is one, follows it after a blank line.
"""

from chaintune.tasks.chat_data import reader
from chaintune.tasks.definition import Places, TaskDefinition

PLACES = Places(
    folder="databricks_dolly_15k",
    local={"all": "databricks-dolly-15k.jsonl|train.jsonl|*.parquet"},
    repo="databricks/databricks-dolly-15k",
    on_hub={"all": "databricks-dolly-15k.jsonl"},
)
COLUMNS = {"prompt": "instruction", "input": "context", "response": "response", "groups": {"category": "category"}}

TASK = TaskDefinition(
    name="dolly",
    role="capability",
    version="dolly-1",
    licence="CC BY-SA 3.0",
    dimensions=("category",),
    read=reader("dolly", PLACES, COLUMNS),
    places=PLACES,
    rows={"all": 15_011},
    test_share=0.2,
    stratify_by="category",
)
