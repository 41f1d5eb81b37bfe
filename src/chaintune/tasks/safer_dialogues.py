r"""SaFeRDialogues: after an unsafe turn somebody objects, and a graceful answer takes that well (Ung et al., 2022).

The conversation's last turn, the objection, is the user's, and turns alternate before it, so the unsafe turn is the
assistant's; the reference answer is the one that a person wrote. Several objections and answers to one conversation
are one cluster. Files are ParlAI's: a line an example, fields `key:value` with tabs between, line breaks as `\n`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from chaintune.errors import DataError
from chaintune.files.reading import readable
from chaintune.files.rows import Row, build_all
from chaintune.records import Example, Message, Reference, canonical_digest
from chaintune.tasks.definition import Places, Pool, TaskDefinition
from chaintune.tasks.left_out import note_left_out, without_repeats
from chaintune.tasks.places import find, pool_of

PLACES = Places(
    folder="saferdialogues",
    local={"train": "train.txt|*/train.txt", "test": "test.txt|*/test.txt"},
    repo="",
    on_hub={},
    elsewhere=(
        "no copy on the Hub is known; ParlAI publishes the files as "
        "http://parl.ai/downloads/saferdialogues/saferdialogues_v0.4.tar.gz"
    ),
)
TESTED = "a conversation that is tested too"
_CHAT = re.compile(r"'?chat_id'?\s*:\s*'?(\w+)")


def read(path: Path | None) -> Pool:
    """All dialogues, in the authors' train and test split; the validation split is not read.

    Raises:
        DataError: the data is nowhere, or a line is malformed.
    """
    data = find("safer_dialogues", PLACES, path)
    left_out: Counter[str] = Counter()
    read = {part: build_all(_lines(paths), _example) for part, paths in data.files.items()}
    parts = dict(read)
    if "test" in parts:
        parts["test"] = without_repeats(read["test"], left_out)
    if "train" in parts:
        taught = without_repeats(read["train"], left_out, tested=parts.get("test", ()))
        chats = {example.cluster for example in parts.get("test", ())}
        parts["train"] = [example for example in taught if example.cluster not in chats]
        left_out[TESTED] += len(taught) - len(parts["train"])
    source = data.source + note_left_out("safer_dialogues", left_out, sum(map(len, read.values())))
    return pool_of(parts, source)


def _lines(paths: tuple[Path, ...]) -> Iterator[Row]:
    for path in paths:
        with readable(path), path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                fields = (part.partition(":") for part in line.rstrip("\n").split("\t"))
                values = {key.strip(): value for key, colon, value in fields if colon}
                if values:
                    yield Row(f"{path}, line {number}", values, untyped=True)


def _example(row: Row) -> Example:
    turns = [_bars(turn) for turn in _text(row, "text").split("\n") if turn.strip()]
    if len(turns) < 2:
        raise DataError(
            f"{row.where}: field 'text' has {len(turns)} turn, expected an unsafe one and an objection to it"
        )
    # Several answers have bars between; the first is read.
    answer = _text(row, "labels" if "labels" in row.values else "eval_labels").partition("|")[0]
    # The objection is the user's, what stands before it the assistant's.
    roles = ["assistant" if (len(turns) - k) % 2 == 0 else "user" for k in range(len(turns))]
    chat = _CHAT.search(str(row.get("original_metadata")))
    return Example(
        id=canonical_digest([turns, answer])[:16],
        prompt=tuple(Message(role, turn) for role, turn in zip(roles, turns, strict=True)),
        target=Reference(_bars(answer)),
        groups={},
        cluster=f"chat {chat[1]}" if chat else canonical_digest(turns[:-1])[:16],
    )


def _text(row: Row, field: str) -> str:
    return row.text(field).replace("\\n", "\n").replace("\\t", "\t")


def _bars(text: str) -> str:
    """A text with the bars that ParlAI writes as a word."""
    return text.replace("__PIPE__", "|").strip()


TASK = TaskDefinition(
    name="safer_dialogues",
    role="safety",
    version="safer_dialogues-1",
    licence="CC BY-NC 4.0",
    dimensions=(),
    read=read,
    places=PLACES,
    rows={"all": 7_881},
    offensive=True,
)
