"""CommonsenseQA 2.0: questions and assertions that are answered with yes or no (Talmor et al., 2021).

An assertion is answered with yes when it is true. Half of the answers are yes, so a scorer that always
says the same has about half of them right.
"""

from chaintune.errors import DataError, nearest
from chaintune.files.rows import Row
from chaintune.records import Choices, Example
from chaintune.tasks.definition import Places, TaskDefinition
from chaintune.tasks.places import reader
from chaintune.tasks.prompts import YES_OR_NO, continuation, question_prompt

# The published test split has no answers, so the validation split is the one that is tested.
PLACES = Places(
    folder="commonsense_qa_2",
    local={"train": "train.jsonl", "test": "validation.jsonl"},
    repo="chiayewken/commonsense-qa-2",
    on_hub={"train": "data/train-*.parquet", "test": "data/validation-*.parquet"},
)


def _example(row: Row) -> Example:
    answer = row.text("answer")
    if answer not in YES_OR_NO:
        raise DataError(f"{row.where}: answer '{answer}' is not known; {nearest(answer, YES_OR_NO)}")
    name = row.text("id")
    prompt = question_prompt(f"{row.text('question').strip()} Yes or no?")
    choices = tuple(continuation(prompt, word) for word in YES_OR_NO)
    return Example(name, prompt, Choices(choices, YES_OR_NO.index(answer)), {}, name)


TASK = TaskDefinition(
    name="csqa2",
    role="capability",
    version="csqa2-1",
    licence="none named in its authors' repository",
    dimensions=(),
    read=reader("csqa2", PLACES, _example),
    places=PLACES,
    rows={"train": 9_264, "test": 2_541},
)
