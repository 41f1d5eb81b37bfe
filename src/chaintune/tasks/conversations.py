"""Cells that hold a conversation -> its turns: lists of role and content or from and value, or dialogues in a text."""

import json
import re
from collections.abc import Mapping
from typing import Any

from chaintune.errors import DataError, nearest
from chaintune.files.cells import json_in
from chaintune.files.rows import checked_text, kind
from chaintune.records import Message

ASSISTANT, SYSTEM, USER = "assistant", "system", "user"
# What people call the roles of a chat template.
_ROLES = {
    "human": USER, "gpt": ASSISTANT, "chatgpt": ASSISTANT, "bing": ASSISTANT, "bard": ASSISTANT,
    "observation": "tool", "function_response": "tool",
}  # fmt: skip
_FIELDS = (("role", "content"), ("from", "value"))
# OpenAI's field of an assistant turn: 0 is one that is read and not taught, 1 as one without it.
_WEIGHT = "weight"
# What an assistant turn may say in place of text.
_CALLS = ("tool_calls", "function_call")
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_SPEAKERS = {"Human": USER, "Assistant": ASSISTANT}


def turns_of(value: Any, what: str) -> tuple[Message, ...]:
    """The turns of a conversation, without a system turn that is blank.

    Args:
        value: a list of mappings, the same as JSON, or a text of `Human:` and `Assistant:` turns.
        what: the beginning of an error sentence.

    Raises:
        DataError: it is no conversation, a turn is blank, or one holds something else than text.
    """
    if isinstance(value, str) and is_dialogue(value):
        return _spoken(value, what)
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = json_in(value, what)
    if isinstance(value, Mapping) and (names := _named_fields(value)):
        # A list of turns as a table holds it that keeps their fields apart.
        fields = [value[name] for name in names if isinstance(value.get(name), list | tuple)]
        if len(fields) == len(names) and len(set(map(len, fields))) == 1:
            value = [dict(zip(names, turn, strict=True)) for turn in zip(*fields, strict=True)]
    if not isinstance(value, list | tuple):
        raise DataError(
            f"{what} must be a list of turns such as {{'role': 'user', 'content': 'Hello'}}, or JSON of one, got "
            f"{kind(value)}"
        )
    turns = (_turn(entry, f"{what}, turn {number}") for number, entry in enumerate(value, start=1))
    kept = tuple(turn for turn in turns if turn.role != SYSTEM or turn.content.strip())
    if not kept:
        raise DataError(f"{what} holds no turn")
    return kept


def is_dialogue(text: str) -> bool:
    r"""Whether a text is a conversation of `\n\nHuman:` and `\n\nAssistant:` turns.

    Example:
        >>> is_dialogue("\n\nHuman: Hello\n\nAssistant: Hi"), is_dialogue("Human: the word has five letters")
        (True, False)
    """
    return text.lstrip().startswith("Human:") and "\n\nAssistant:" in text


def are_turns(value: Any) -> bool:
    """Whether a cell that may be plain text holds a conversation: a list of turns, JSON of one, or a dialogue."""
    if isinstance(value, str):
        if is_dialogue(value):
            return True
        if not value.lstrip().startswith("[") or not value.rstrip().endswith("]"):
            return False
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return False
        return bool(value) and all(isinstance(entry, dict) and _named_fields(entry) for entry in value)
    return isinstance(value, list | tuple)


def check_speaks(turn: Message, what: str) -> None:
    """Refuse an answer that is not the assistant's, that is empty, or that is not taught.

    Raises:
        DataError: it is.
    """
    if turn.role != ASSISTANT:
        raise DataError(f"{what}: its last turn is the {turn.role}'s, expected an answer, a turn of the assistant")
    if not turn.content.strip() and not any(name in turn.extra for name in _CALLS):
        raise DataError(f"{what}: the answer is empty")
    if not turn.is_taught:
        raise DataError(f"{what}: the answer has weight 0, so it is not taught; leave it out")


def _turn(entry: Any, what: str) -> Message:
    names = _named_fields(entry)
    if names is None:
        raise DataError(f"{what} must hold 'role' and 'content', or 'from' and 'value', got {kind(entry)}")
    role_field, content_field = names
    written = checked_text(entry[role_field], f"{what}: field '{role_field}'").strip()
    if role_field == "from" and written not in (*_ROLES, *_ROLES.values(), SYSTEM):
        raise DataError(f"{what}: '{written}' is no role; {nearest(written, [*_ROLES, USER, ASSISTANT, SYSTEM])}")
    role = _ROLES.get(written, written)
    extra = {name: _kept(value) for name, value in entry.items() if name not in (*names, _WEIGHT)}
    extra = {name: value for name, value in extra.items() if value not in (None, "", [], {})}
    _check_json(extra, what)
    content = _content(entry.get(content_field), what)
    if not content.strip() and role not in (ASSISTANT, SYSTEM, "tool"):
        raise DataError(f"{what}, the {role}'s, is blank")
    return Message(role, content, extra, is_taught=_is_taught(entry.get(_WEIGHT), role, what))


def _is_taught(weight: Any, role: str, what: str) -> bool:
    """Whether a turn of this weight is taught, where it is the assistant's; of others the weight has to be 0."""
    if weight is None:
        return True
    if not isinstance(weight, int | float) or weight not in (0, 1):
        raise DataError(
            f"{what}: weight {weight!r} is no valid value; write 1 for a turn that is taught, 0 for another"
        )
    if role != ASSISTANT and weight:
        raise DataError(f"{what}, the {role}'s, has weight 1, and only what the assistant says is taught; leave it out")
    return role != ASSISTANT or bool(weight)


def _named_fields(entry: Any) -> tuple[str, str] | None:
    fits = (names for names in _FIELDS if isinstance(entry, Mapping) and names[0] in entry)
    return next(fits, None)


def _content(value: Any, what: str) -> str:
    """The text of a turn; of several parts, one after another."""
    if value is None:
        return ""
    if isinstance(value, str):
        return checked_text(value, what) if value.strip() else value
    if not isinstance(value, list | tuple):
        raise DataError(f"{what}: content must be text, got {kind(value)}")
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in value]
    for part in parts:
        form = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        if form != "text":
            raise DataError(f"{what} holds a part of type '{form}', and only text can be read; leave the row out")
    return "".join(_content(part.get("text"), what) for part in parts)


def _kept(value: Any) -> Any:
    """A value without the fields that hold nothing, as a table writes those that another of its rows has."""
    if isinstance(value, Mapping):
        return {str(name): _kept(inner) for name, inner in value.items() if inner is not None}
    return [_kept(inner) for inner in value] if isinstance(value, list | tuple) else value


def _check_json(extra: Mapping[str, Any], what: str) -> None:
    for name, value in extra.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"{what}: field '{name}' holds {kind(value)}, which JSON cannot") from error


def _spoken(text: str, what: str) -> tuple[Message, ...]:
    _, *parts = _SPEAKER.split(f"\n\n{text.lstrip()}")
    spoken = zip(parts[0::2], parts[1::2], strict=True)
    turns = tuple(Message(_SPEAKERS[speaker], said.strip()) for speaker, said in spoken)
    for number, turn in enumerate(turns, start=1):
        checked_text(turn.content or turn.role, f"{what}, turn {number}")
        if turn.role == USER and not turn.content:
            raise DataError(f"{what}, turn {number}, the user's, is blank")
    return turns
