"""A row without choices -> its prompt and target: a conversation, an answer, one of two, a text, or nothing."""

from collections.abc import Sequence
from typing import Any

from chaintune.errors import DataError
from chaintune.files.rows import Row, checked_text, kind
from chaintune.records import Example, Message, Preference, Reference, Target, canonical_digest
from chaintune.records.examples import Text, is_no_group
from chaintune.tasks.columns import IN_BRACES, ColumnNames, filled
from chaintune.tasks.conversations import ASSISTANT, SYSTEM, USER, are_turns, check_speaks, turns_of
from chaintune.tasks.prompts import continuation


def conversation(row: Row, columns: ColumnNames) -> tuple[Text, Reference | None]:
    """The turns before the last one of the assistant that is taught, and that one.

    What stands behind it is left out, as nothing that is taught or measured reads it. Where a model writes the answers,
    a conversation that ends with something else than one is all turns, and nothing.

    Raises:
        DataError: the conversation does not end with an answer to something, or none of its answers is taught.
    """
    what = f"{row.where}: field '{columns.messages}'"
    turns = _with_system(row, columns, turns_of(row.value(columns.messages), what), what)
    if columns.generated and turns[-1].role != ASSISTANT:
        _check_asked(turns, what)
        return turns, None
    if turns[-1].role == USER:
        raise DataError(
            f"{what}: its last turn is the user's, expected an answer, a turn of the assistant; where a model writes "
            "it, say 'measure: generation' with a 'scorer'"
        )
    if all(turn.role != ASSISTANT for turn in turns):
        raise DataError(f"{what}: the conversation has no turn of the assistant")
    taught = [place for place, turn in enumerate(turns) if turn.role == ASSISTANT and turn.is_taught]
    if not taught:
        raise DataError(f"{what}: every turn of the assistant has weight 0, so nothing of it is taught; leave it out")
    *before, last = turns if turns[-1].is_taught else turns[: taught[-1] + 1]
    check_speaks(last, what)
    _check_asked(before, what)
    return tuple(before), Reference(_bare(last))


def answer(row: Row, columns: ColumnNames) -> tuple[Text, Reference]:
    """The prompt, and the answer to it.

    Raises:
        DataError: the answer is empty, or more than one turn of the assistant.
    """
    prompt, what = _prompt(row, columns), _field(row, columns.response)
    return prompt, Reference(_after(prompt, _one_answer(_cell(row, columns.response), what)))


def pair(row: Row, columns: ColumnNames) -> tuple[Text, Preference]:
    """The prompt, and the chosen and the rejected answer to it.

    Without a prompt of its own, it is the beginning that the two conversations share.

    Raises:
        DataError: an answer is empty, or more than one turn of the assistant, or the two are the same.
    """
    cells = [_cell(row, column) for column in (columns.chosen, columns.rejected)]
    fields = [_field(row, column) for column in (columns.chosen, columns.rejected)]
    whole = [_is_whole(cell, what) for cell, what in zip(cells, fields, strict=True)]
    if columns.prompt and not any(whole):
        prompt = _prompt(row, columns)
        answers = [_one_answer(cell, what) for cell, what in zip(cells, fields, strict=True)]
    else:
        for cell, what in zip(cells, fields, strict=True):
            if not are_turns(cell):
                todo = "write both alike" if columns.prompt else "name the prompt's column as 'prompt' under 'columns'"
                raise DataError(f"{what} is {kind(cell)}, no conversation that holds its prompt; {todo}")
        chosen, rejected = (turns_of(cell, what) for cell, what in zip(cells, fields, strict=True))
        prompt, answers = _shared(row, columns, chosen, rejected)
    if _squeezed(answers[0]) == _squeezed(answers[1]):
        raise DataError(f"{row.where}: '{columns.chosen}' and '{columns.rejected}' are the same")
    return prompt, Preference(*(_after(prompt, one) for one in answers))


def text_alone(row: Row, columns: ColumnNames) -> tuple[Text, Reference]:
    """No prompt, and a text.

    Raises:
        DataError: it is blank.
    """
    return "", Reference(_text(row, columns.text))


def prompt_alone(row: Row, columns: ColumnNames) -> tuple[Text, None]:
    """The prompt, to which a model is to write an answer.

    Raises:
        DataError: it is blank, or a conversation that ends with an answer.
    """
    prompt = _prompt(row, columns)
    if not isinstance(prompt, str) and prompt[-1].role == ASSISTANT:
        raise DataError(
            f"{_field(row, columns.prompt)}: its last turn is the assistant's, expected one that a model answers; name "
            "conversations with their answer as 'messages'"
        )
    return prompt, None


def content_of(prompt: Text, target: Target) -> list[Any]:
    """Prompt and answers as data that JSON can hold; which of two answers is preferred is no part of it."""
    asked, answers, *_ = Example("", prompt, target, {}, "").asked_content()
    return [asked, sorted(answers, key=canonical_digest)]


def _text(row: Row, column: str) -> str:
    return filled(row, column) if IN_BRACES.search(column) else row.text(column)


def _field(row: Row, column: str) -> str:
    return f"{row.where}: field '{column}'"


def _cell(row: Row, column: str) -> Any:
    """A text with its columns filled in, or what the column holds."""
    return filled(row, column) if IN_BRACES.search(column) else row.value(column)


def _prompt(row: Row, columns: ColumnNames) -> Text:
    """The prompt of an answer: text, or turns where the cell holds some or there is a system text."""
    cell, what = _cell(row, columns.prompt), _field(row, columns.prompt)
    if are_turns(cell):
        turns = turns_of(cell, what)
        # A dialogue may end where the answer begins.
        turns = turns[:-1] if turns[-1] == Message(ASSISTANT, "") else turns
        _check_asked(turns, what)
    else:
        text = checked_text(cell, what)
        if more := _if_any(row, columns.input):
            text = f"{text.rstrip()}\n\n{more}"
        if not _if_any(row, columns.system):
            return text
        turns = (Message(USER, text),)
    return _with_system(row, columns, turns, what)


def _if_any(row: Row, column: str) -> str:
    """The text of a column; empty where there is no such column, or a row has nothing there."""
    value = row.get(column) if column else None
    if is_no_group(value) or (isinstance(value, str) and not value.strip()):
        return ""
    return checked_text(value, _field(row, column))


def _with_system(row: Row, columns: ColumnNames, turns: tuple[Message, ...], what: str) -> tuple[Message, ...]:
    text = _if_any(row, columns.system)
    if text and turns[0].role == SYSTEM and turns[0].content != text:
        raise DataError(f"{what}: begins with a system text, and field '{columns.system}' holds another")
    return (Message(SYSTEM, text), *turns) if text and turns[0].role != SYSTEM else turns


def _check_asked(turns: Sequence[Message], what: str) -> None:
    if all(turn.role == SYSTEM for turn in turns):
        raise DataError(f"{what}: nothing is said before the assistant's turn")


def _is_whole(cell: Any, what: str) -> bool:
    """Whether a cell holds the prompt too: more turns than an answer has."""
    return are_turns(cell) and len(turns_of(cell, what)) > 1


def _one_answer(cell: Any, what: str) -> Text:
    if not are_turns(cell):
        return checked_text(cell, what)
    turns = turns_of(cell, what)
    if len(turns) > 1:
        raise DataError(f"{what}: {len(turns)} turns, expected an answer, one turn of the assistant")
    check_speaks(turns[0], what)
    return _bare(turns[0])


def _shared(
    row: Row, columns: ColumnNames, chosen: tuple[Message, ...], rejected: tuple[Message, ...]
) -> tuple[Text, list[Text]]:
    """The beginning of two conversations, and the turn in which each ends."""
    both = zip(chosen[:-1], rejected[:-1], strict=False)
    length = next(
        (place for place, (one, other) in enumerate(both) if one != other), min(len(chosen), len(rejected)) - 1
    )
    what = f"{row.where}: fields '{columns.chosen}' and '{columns.rejected}'"
    if len(chosen) != length + 1 or len(rejected) != length + 1:
        raise DataError(f"{what}: the two differ in more than the assistant's last turn")
    for last in (chosen[-1], rejected[-1]):
        check_speaks(last, what)
    prompt = chosen[:length]
    _check_asked(prompt, what)
    if columns.prompt:
        _check_prompt(row, columns, prompt)
    return _with_system(row, columns, prompt, what), [_bare(chosen[-1]), _bare(rejected[-1])]


def _check_prompt(row: Row, columns: ColumnNames, turns: tuple[Message, ...]) -> None:
    """Refuse a prompt that is not what the two conversations begin with."""
    cell, what = _cell(row, columns.prompt), _field(row, columns.prompt)
    own = turns_of(cell, what) if are_turns(cell) else checked_text(cell, what)
    said = [_squeezed(turn.content) for turn in turns if turn.role == USER]
    if own != turns if isinstance(own, tuple) else _squeezed(own) not in said:
        raise DataError(
            f"{what}: is not what '{columns.chosen}' and '{columns.rejected}' begin with; give the prompt once"
        )


def _bare(turn: Message) -> Text:
    """An answer as text; with its further fields (tool calls ...) where it has some."""
    return (turn,) if turn.extra else turn.content


def _after(prompt: Text, text: Text) -> Text:
    return continuation(prompt, text) if isinstance(prompt, str) and isinstance(text, str) else text


def _squeezed(text: Text) -> Any:
    return " ".join(text.split()) if isinstance(text, str) else text
