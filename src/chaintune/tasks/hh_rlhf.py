"""HH-RLHF, its harmless-base part: of two answers in a dialogue, the less harmful one is chosen (Bai et al., 2022).

People were asked to draw harmful answers out of the assistant, so much of it offends; the chosen answer may harm too.
"""

from chaintune.tasks.chat_data import reader
from chaintune.tasks.definition import Places, TaskDefinition

PLACES = Places(
    folder="hh_rlhf_harmless_base",
    local={"train": "train.jsonl|train.jsonl.gz", "test": "test.jsonl|test.jsonl.gz"},
    repo="Anthropic/hh-rlhf",
    on_hub={"train": "harmless-base/train.jsonl.gz", "test": "harmless-base/test.jsonl.gz"},
)
COLUMNS = {"chosen": "chosen", "rejected": "rejected"}

TASK = TaskDefinition(
    name="hh_rlhf",
    role="safety",
    version="hh_rlhf-1",
    licence="MIT",
    dimensions=(),
    read=reader("hh_rlhf", PLACES, COLUMNS),
    places=PLACES,
    rows={"train": 42_537, "test": 2_312},
    offensive=True,
)
