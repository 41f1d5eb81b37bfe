"""Prompts as turns of a conversation or as plain text: the keys `chat`, `system` and `chat_template` of a task."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.reading import user_path
from chaintune.records import Chat, Choices, Example, Message, Preference, Reference, Target, Task
from chaintune.records.examples import Text
from chaintune.tasks.prompts import continuation

ChatMode = Literal["auto", "on", "off"]
MODES: tuple[ChatMode, ...] = ("auto", "on", "off")
# How a whole run asks: each task one way, or both ways.
RunMode = Literal["auto", "on", "off", "both"]
RUN_MODES: tuple[RunMode, ...] = (*MODES, "both")
_SYSTEM, _USER = "system", "user"
# What a tokenizer may call one of its templates; files end in something.
_TEMPLATE_NAME = re.compile(r"[A-Za-z0-9_-]+")
# A block of transformers' own, which plain Jinja does not know.
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")


def checked_mode(mode: str, what: str) -> ChatMode:
    """The mode of this name.

    Raises:
        ConfigError: there is none.
    """
    for known in MODES:
        if mode == known:
            return known
    raise ConfigError(f"{what}: chat '{mode}' is no valid value; {nearest(mode, MODES)}")


def is_template_name(written: str, folder: Path) -> bool:
    """Whether `chat_template` names a template that a tokenizer has: a bare word, and no file of a folder."""
    return bool(_TEMPLATE_NAME.fullmatch(written)) and not (folder / written).exists()


def read_template(path: Path | str, what: str) -> str:
    """The text of a chat template in a file; a word that is no file is the name of one that the tokenizer has.

    Raises:
        ConfigError: there is no such file, or it holds no chat template.
    """
    if is_template_name(str(path), Path()):
        return str(path)
    # Imported here: most runs read no template.
    from jinja2 import TemplateError
    from jinja2.meta import find_undeclared_variables
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    file = user_path(path)
    where = f"{what}: chat_template {file}"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: expected a file with the text of a Jinja template ({error})") from error
    jinja = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
    try:
        names = find_undeclared_variables(jinja.parse(_GENERATION.sub("", text)))
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise ConfigError(f"{where}{f', line {line}' if line else ''}: not a Jinja template ({error})") from error
    if "messages" not in names:
        raise ConfigError(f"{where}: it never reads 'messages', so it is no chat template")
    return text


def in_chat(
    examples: Sequence[Example],
    mode: ChatMode,
    *,
    system: str = "",
    template: str = "",
    what: str = "task",
    continued: bool = False,
) -> list[Example]:
    """The examples with their prompts as they are to be read.

    Args:
        examples: as their data holds them.
        mode: `on` makes every prompt a user turn, `off` every user turn a plain text; `auto` leaves choices and texts
            alone as they are and makes other prompts a user turn, which a model without a template reads as plain text.
        system: the first turn of every conversation that has no such turn of its own; empty adds none.
        template: text of a template in place of the tokenizer's own, or the name of one of those that it has; empty is
            its own.
        what: the beginning of an error sentence.
        continued: prompts are beginnings of texts, which `auto` leaves alone too.

    Raises:
        ConfigError: a system text or template that nothing would read.
        DataError: an example has no prompt, or more turns than a plain text can stand for.
    """
    for key, value in (("system", system), ("chat_template", template)):
        if value and mode == "off":
            raise ConfigError(f"{what}: '{key}' changes nothing with 'chat: off'; leave one of them out")
    if mode == "off":
        return [_as_text(example, what) for example in examples]
    chat = Chat(fallback=mode == "auto" and not system and not template, template=template)
    made = [
        _as_turns(example, chat, system, what) if _is_asked(example, mode, continued=continued) else example
        for example in examples
    ]
    for key, value in (("system", system), ("chat_template", template)):
        if value and made and all(isinstance(example.prompt, str) for example in made):
            raise ConfigError(f"{what}: '{key}' changes nothing where prompts are read as plain text; say 'chat: on'")
    return made


def asked(task: Task, mode: RunMode, *, system: str = "", template: str = "") -> list[Task]:
    """The task as a run asks it; where both ways are asked and it has two, the other way behind it.

    Args:
        task: as it was loaded; one that was told how to ask is left as it is.
        mode: `auto` is the task as it is. Of `both` the first is that too, and what is taught is.
        system: as `in_chat` takes it.
        template: as `in_chat` takes it.

    Raises:
        ConfigError, DataError: as `in_chat` has it.
    """
    if task.chat != "auto" or mode == "auto":
        return [task]
    what = f"task '{task.name}'"
    how: dict[str, Any] = {"system": system, "template": template, "what": what}
    if mode != "both":
        return [_in_chat(task, mode, mode, **how)]
    if all(isinstance(one.prompt, str) for one in (*task.train, *task.test)):
        # A text without a prompt is no question, and what holds special tokens is rendered already.
        if not task.test or any(not one.prompt or one.special_tokens for one in task.test):
            return [task]
        return [replace(task, chat="off"), _other_way(_in_chat(task, "on", "on", **how), task, "chat")]
    own = _in_chat(task, "auto", "on", **how)
    if not task.test:
        return [own]
    try:
        return [own, _other_way(_in_chat(task, "off", "off", what=what), task, "raw")]
    except DataError:  # more turns than a text can stand for
        return [own]


def _in_chat(task: Task, mode: ChatMode, named: ChatMode, **how: Any) -> Task:
    train, test = (tuple(in_chat(part, mode, **how)) for part in (task.train, task.test))
    return replace(task, train=train, test=test, chat=named)


def _other_way(asked: Task, task: Task, suffix: str) -> Task:
    """A task of the same examples under a name of its own, of which nothing is taught."""
    return replace(asked, name=f"{task.name}-{suffix}", train=(), other_way_of=task.name)


def own_system(examples: Sequence[Example]) -> int:
    """How many conversations begin with a system text of their own."""
    return sum(
        not isinstance(one.prompt, str) and any(turn.role == _SYSTEM for turn in one.prompt[:1]) for one in examples
    )


def _is_asked(example: Example, mode: ChatMode, *, continued: bool) -> bool:
    """Whether a prompt is a turn of a conversation, or becomes one."""
    if mode == "on" or not isinstance(example.prompt, str):
        return True
    if continued:
        return False
    # What is written with special tokens is rendered already.
    return bool(example.prompt) and not isinstance(example.target, Choices) and not example.special_tokens


def _as_turns(example: Example, chat: Chat, system: str, what: str) -> Example:
    turns = example.prompt
    if isinstance(turns, str):
        if not turns.strip():
            raise DataError(f"{what}: example '{example.id}' has no prompt that a user could say; leave 'chat: on' out")
        example = replace(example, target=_answers(example.target, ""))
        turns = (Message(_USER, turns),)
    else:
        chat = replace(chat, fallback=False)
        if system and not turns:
            raise ConfigError(f"{what}: a model begins its conversations, so nothing stands before; leave 'system' out")
    first = () if not system or turns[0].role == _SYSTEM else (Message(_SYSTEM, system),)
    return replace(example, prompt=(*first, *turns), chat=chat)


def _as_text(example: Example, what: str) -> Example:
    turns = example.prompt
    if isinstance(turns, str):
        return example
    texts = all(isinstance(answer, str) for answer in example.answers)
    if len(turns) != 1 or turns[0].role != _USER or turns[0].extra or not texts:
        raise DataError(
            f"{what}: 'chat: off' reads one turn of a user as plain text, and example '{example.id}' has "
            f"{len(turns)} turns ({', '.join(turn.role for turn in turns[:5])}) or calls tools; leave it out"
        )
    return replace(example, prompt=turns[0].content, target=_answers(example.target, turns[0].content), chat=Chat())


def _answers(target: Target, prompt: str) -> Target:
    """The answers behind a text, with what separates them from it; behind turns, where it is empty, without."""

    def behind(answer: Text) -> Text:
        if not isinstance(answer, str):
            return answer
        return continuation(prompt, answer) if prompt else answer.removeprefix(" ")

    match target:
        case Choices(texts=texts):
            return replace(target, texts=tuple(str(behind(text)) for text in texts))
        case Reference(text):
            return Reference(behind(text))
        case Preference(chosen, rejected):
            return Preference(behind(chosen), behind(rejected))
        case None:
            return None
