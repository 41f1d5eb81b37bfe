"""GSM8K: school mathematics in words (Cobbe et al., 2021).

An answer holds its working, and ends with `#### ` and the number. What is taught, and measured by likelihood, is all of
it; of an answer that a model writes, the number is judged.
"""

from chaintune.records import Generation
from chaintune.tasks.chat_data import reader
from chaintune.tasks.definition import Places, TaskDefinition

PLACES = Places(
    folder="gsm8k",
    local={"train": "train.jsonl", "test": "test.jsonl"},
    repo="openai/gsm8k",
    on_hub={"train": "main/train-*.parquet", "test": "main/test-*.parquet"},
)
COLUMNS = {"prompt": "question", "response": "answer"}

TASK = TaskDefinition(
    name="gsm8k",
    role="capability",
    version="gsm8k-1",
    licence="MIT",
    dimensions=(),
    read=reader("gsm8k", PLACES, COLUMNS),
    places=PLACES,
    rows={"train": 7_473, "test": 1_319},
    scorer="number",
    generation=Generation(max_new_tokens=256),
)
