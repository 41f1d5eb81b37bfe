"""UltraFeedback, binarised: of answers of several models to one prompt, the one that GPT-4 rated best is chosen.

Cui et al. 2023 rated the answers; Tunstall et al. 2023 made pairs of the best and another one at random.
"""

from chaintune.tasks.chat_data import reader
from chaintune.tasks.definition import Places, TaskDefinition

PLACES = Places(
    folder="ultrafeedback_binarized",
    local={"train": "train_prefs*.parquet|train_prefs.jsonl", "test": "test_prefs*.parquet|test_prefs.jsonl"},
    repo="HuggingFaceH4/ultrafeedback_binarized",
    on_hub={"train": "data/train_prefs-*.parquet", "test": "data/test_prefs-*.parquet"},
)
COLUMNS = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}

TASK = TaskDefinition(
    name="ultrafeedback",
    role="capability",
    version="ultrafeedback-1",
    licence="MIT",
    dimensions=(),
    read=reader("ultrafeedback", PLACES, COLUMNS),
    places=PLACES,
    rows={"train": 61_135, "test": 2_000},
)
