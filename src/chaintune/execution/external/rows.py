"""A task's training examples as rows that other programs read, TRL's trainers above all."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaintune.records import Choices, Example, Preference, Reference
from chaintune.records.examples import Text


def write_examples(examples: Sequence[Example], folder: Path) -> Path:
    """A folder with `train.jsonl`, a row for each example."""
    folder.mkdir()
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(plain_row(example), ensure_ascii=False) + "\n" for example in examples)
    return folder


def plain_row(example: Example) -> dict[str, Any]:
    """An example with all its fields, its prompt and answers in the columns that TRL's trainers read.

    Of a choice or a reference `prompt` and `completion`, of a preference `prompt`, `chosen` and `rejected`: text after
    text, turns after turns. `answer` is the text of what is right, without the blank before it.
    """
    row = example.content() | {"prompt": _turns(example.prompt)}
    match example.target:
        case Choices() as choices if choices.has_right_answer:
            return row | _completion(example, choices.gold_text)
        case Reference(text):
            return row | _completion(example, text)
        case Preference(chosen, rejected):
            return row | {"chosen": _answer(example, chosen), "rejected": _answer(example, rejected)}
        case _:
            return row


def _completion(example: Example, text: Text) -> dict[str, Any]:
    plain = text if isinstance(text, str) else text[-1].content
    return {"completion": _answer(example, text), "answer": plain.strip()}


def _answer(example: Example, text: Text) -> Any:
    """An answer as it follows the prompt: text after text, turns after turns."""
    if isinstance(text, str) and not isinstance(example.prompt, str):
        return [{"role": "assistant", "content": text}]
    return _turns(text)


def _turns(text: Text) -> Any:
    if isinstance(text, str):
        return text
    weights: tuple[dict[str, int], ...] = ({"weight": 0}, {})  # as OpenAI writes a turn that is read alone
    return [{"role": turn.role, "content": turn.content, **turn.extra, **weights[turn.is_taught]} for turn in text]
