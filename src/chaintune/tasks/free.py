"""Conversations that a model begins itself: prompts of which the user's turn is open, for it to write."""

from collections.abc import Mapping
from typing import Any

from chaintune.records import Example
from chaintune.tasks.definition import Pool, TaskData


def read_free(name: str, options: Mapping[str, Any]) -> TaskData:
    """So many conversations without a turn; the option `free` is their number."""
    examples = [Example(f"{name}-{number:06}", (), None, {}, str(number)) for number in range(options["free"])]
    return TaskData(Pool(examples, None, "nothing: a model writes the turns of the user as well"), "1", ())


def is_open(example: Example) -> bool:
    """Whether nobody has said anything yet in a conversation."""
    return example.prompt == ()
