"""Turns of a conversation as token ids, rendered by the tokenizer's own chat template.

An answer is read in the context in which it would be generated: behind the turns before it and the words with which
the template opens an answer. What the template makes of the answer, with the mark that ends it, is the answer; where
the template marks what a model generates, that alone. Control tokens that are written in the turns are text.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from chaintune.errors import DataError, ModelError, nearest
from chaintune.models.token_tree import common_beginning
from chaintune.records.audit import RENDERED, UNUSED
from chaintune.records.examples import Chat, Choices, Example, Message, canonical_digest
from chaintune.records.task import Task

Tokens = tuple[int, ...]
# Templates that write the day of today would ask something else tomorrow; Llama's writes this day where it knows none.
_DAY = date(2024, 7, 26)
_ASKS_FOR_DAY = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
_MARKS_ANSWERS = re.compile(r"\{%-?\s*generation\s*-?%\}")
_CHUNK_TURNS = 2048
# What transformers takes of several templates.
_DEFAULT = "default"
# An answer by which one sees what a template writes before any.
_PROBE = "chaintune-answer"


@dataclass(frozen=True, slots=True)
class Turn:
    """An answer and the turns before it.

    Attributes:
        example: id of the example, for messages.
        history: the turns before.
        answer: the assistant's turn.
        chat: how they are rendered.
        special_tokens: whether control tokens that are written in them are read as such.
        may_merge: whether the answer may begin within a token of what is before it, which is then the answer's.
    """

    example: str
    history: tuple[Message, ...]
    answer: Message
    chat: Chat
    special_tokens: bool = False
    may_merge: bool = False


def has_template(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> bool:
    """Whether there is a template by which turns can be rendered."""
    return bool((chat.template and not chat.template_name) or tokenizer.chat_template)


def template_text(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> str:
    """The text of the template that renders turns; the day of today in it is always the same day.

    Raises:
        ModelError: the model has none, or none of the name that is asked for, or several and none is the default.
    """
    if not has_template(tokenizer, chat):
        raise ModelError(
            "the model has no chat template, and the examples are conversations, as 'chat: on' makes prompts; name a "
            "template as 'chat_template' of the task, leave 'chat: on' out, or choose a model that was tuned for chat"
        )
    name = chat.template_name
    return _same_day(chat.template if chat.template and not name else _own_template(tokenizer, name))


def _own_template(tokenizer: PreTrainedTokenizerBase, name: str) -> str:
    """The text of the tokenizer's template of this name; the default one where there is no name."""
    own = tokenizer.chat_template
    templates: dict[str, str] = own if isinstance(own, dict) else {_DEFAULT: own}
    if (wished := name or _DEFAULT) in templates:
        return templates[wished]
    if name:
        what = f"chat_template '{name}' is no file, and the model has no chat template of this name"
    else:
        what = "the model has several chat templates, and none of them is the default"
    raise ModelError(f"{what}; {nearest(wished, templates)}; name one as 'chat_template' of the task")


def _same_day(template: str) -> str:
    """A template with one and the same day as today."""
    formats = sorted({match[2] for match in _ASKS_FOR_DAY.finditer(template)})
    days = "".join(f"{{% if format == {text!r} %}}{_DAY.strftime(text)}{{% endif %}}" for text in formats)
    return f"{{% macro strftime_now(format) %}}{days}{{% endmacro %}}\n{template}" if formats else template


def templates_digest(tokenizer: PreTrainedTokenizerBase, examples: Iterable[Example]) -> str:
    """SHA-256 hex digest of the template that renders examples; empty where all are read as plain text.

    Raises:
        ModelError: an example has to be rendered, and the model has no template.
    """
    chats = dict.fromkeys(example.chat for example in examples if not isinstance(example.prompt, str))
    rendered = [chat for chat in chats if not chat.fallback or has_template(tokenizer, chat)]
    texts = sorted({template_text(tokenizer, chat) for chat in rendered})
    return sha256(texts[0].encode()).hexdigest() if len(texts) == 1 else canonical_digest(texts) if texts else ""


def chat_facts(tokenizer: PreTrainedTokenizerBase, task: Task, examples: Sequence[Example]) -> dict[str, str]:
    """What scores of examples keep of chat templates: the digest of what renders them, or that one was not used.

    Raises:
        ModelError: as `templates_digest` has it.
    """
    if digest := templates_digest(tokenizer, examples):
        return {"chat": RENDERED, "chat_template": digest}
    plain = any(isinstance(one.target, Choices) and not one.special_tokens for one in task.test)
    return {"chat": UNUSED} if plain and task.chat == "auto" and has_template(tokenizer, Chat()) else {}


def encode_turns(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn]) -> list[tuple[Tokens, Tokens]]:
    """What is read before each answer, and the answer, as token ids.

    Raises:
        DataError: the template refuses turns or drops an answer, or the tokenizer puts the end of the prompt and the
            beginning of an answer into one token where they may not merge; the message counts the examples and names
            the first.
        ModelError: there is no template.
    """
    kinds: dict[tuple[Chat, bool], list[int]] = defaultdict(list)
    for place, turn in enumerate(turns):
        kinds[turn.chat, turn.special_tokens].append(place)
    encoded: dict[int, tuple[Tokens, Tokens]] = {}
    problems: dict[str, list[str]] = defaultdict(list)
    for (chat, special), places in kinds.items():
        rendering = _Rendering(tokenizer, template_text(tokenizer, chat), special)
        for start in range(0, len(places), _CHUNK_TURNS):
            chunk = places[start : start + _CHUNK_TURNS]
            for place, pair in zip(chunk, rendering.encode([turns[place] for place in chunk], problems), strict=True):
                encoded[place] = pair
    if problems:
        distinct = {what: list(dict.fromkeys(names)) for what, names in problems.items()}
        many = len({turn.example for turn in turns})
        told = (f"{len(names)} of {many} examples, such as '{names[0]}': {what}" for what, names in distinct.items())
        raise DataError(f"{'; '.join(told)}; leave them out ('unusable: skip'), or name another 'chat_template'")
    return [encoded[place] for place in range(len(turns))]


def encode_openings(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> list[tuple[str, Tokens]]:
    """The text of each example's turns with the words that open an answer behind them, and its token ids.

    Of a conversation without a turn it is what opens the user's.

    Raises:
        DataError: the template refuses the turns of one.
        ModelError: there is no template.
    """
    kinds: dict[tuple[Chat, bool], list[int]] = defaultdict(list)
    for place, example in enumerate(examples):
        kinds[example.chat, example.special_tokens].append(place)
    encoded: dict[int, tuple[str, Tokens]] = {}
    for (chat, special), places in kinds.items():
        rendering = _Rendering(tokenizer, template_text(tokenizer, chat), special)
        if begun := [place for place in places if not examples[place].prompt]:
            encoded |= dict.fromkeys(begun, rendering.user_opening())
            places = [place for place in places if examples[place].prompt]
        histories = [turns for place in places if isinstance(turns := examples[place].prompt, tuple)]
        texts = [rendering.opened(examples[place].id, turns) for place, turns in zip(places, histories, strict=True)]
        encoded |= dict(zip(places, zip(texts, rendering.tokens(histories, opens=True), strict=True), strict=True))
    return [encoded[place] for place in range(len(examples))]


def before_choices(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], opened: Sequence[str]
) -> list[tuple[str, str]]:
    """The text that the template writes before each example's choices, and the blanks that belong to these.

    The text is what opens an answer with what the template puts before one (an empty thought, the name of a channel).

    Args:
        tokenizer: of the model.
        examples: with choices, whose prompts are turns.
        opened: the text of each one's turns, of `encode_openings`.
    """
    templates = {chat: template_text(tokenizer, chat) for chat in {example.chat for example in examples}}
    return [
        _Rendering(tokenizer, templates[example.chat], example.special_tokens).before(example.prompt, text)
        for example, text in zip(examples, opened, strict=True)
        if isinstance(example.prompt, tuple)
    ]


@dataclass(frozen=True, slots=True)
class _Rendering:
    """A tokenizer with one template.

    Attributes:
        tokenizer: of the model.
        template: its text.
        special: whether control tokens that are written in turns are read as such.
    """

    tokenizer: PreTrainedTokenizerBase
    template: str
    special: bool

    def texts(self, histories: Sequence[Sequence[Message]], *, opens: bool) -> list[str]:
        """The rendered turns, with the words that open an answer behind them or not."""
        texts: list[str] = self._apply(histories, add_generation_prompt=opens, tokenize=False)
        return texts

    def opened(self, example: str, history: Sequence[Message]) -> str:
        """The rendered turns of an example, with the words that open an answer behind them."""
        try:
            (text,) = self.texts([history], opens=True)
        except (TemplateError, TypeError) as error:
            raise DataError(
                f"example '{example}': the chat template refuses the turns ({error}); leave it out, or name another "
                "'chat_template'"
            ) from error
        return text

    def user_opening(self) -> tuple[str, Tokens]:
        """What the template writes before the content of a conversation's first turn, a user's, and its token ids."""
        (whole,) = self.texts([(Message("user", _PROBE),)], opens=False)
        text = whole.partition(_PROBE)[0]
        # The template writes BOS itself where it wants one.
        return text, tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def before(self, history: Sequence[Message], opened: str) -> tuple[str, str]:
        """The text before an answer to some turns, and the blanks behind it where there is nothing else."""
        try:
            (whole,) = self.texts([(*history, Message("assistant", _PROBE))], opens=False)
        except (TemplateError, TypeError):
            return opened, ""
        text, answer, _ = whole.rpartition(_PROBE)
        if not answer:
            return opened, ""
        made = text[len(opened) :] if text.startswith(opened) else text
        return (text, "") if made.strip() else (opened, made)

    def tokens(self, histories: Sequence[Sequence[Message]], *, opens: bool) -> list[Tokens]:
        """The same as token ids."""
        how = {"return_dict": False, "sanitize_control_tokens": not self.special}
        return [tuple(row) for row in self._apply(histories, add_generation_prompt=opens, **how)]

    def encode(self, turns: Sequence[Turn], problems: dict[str, list[str]]) -> Iterator[tuple[Tokens, Tokens]]:
        """What is read before each answer, and the answer; what cannot be used is noted and comes out empty."""
        texts = [self._rendered(turn, problems) for turn in turns]
        usable = [turn for turn, pair in zip(turns, texts, strict=True) if pair]
        wholes = [(*turn.history, turn.answer) for turn in usable]
        opened = iter(self.tokens([turn.history for turn in usable], opens=True))
        whole = self.tokens(wholes, opens=False)
        spans = iter(zip(whole, self._spans(wholes, whole), strict=True))
        for turn, pair in zip(turns, texts, strict=True):
            if not pair:
                yield (), ()
                continue
            prompt, (tokens, (first, last)) = next(opened), next(spans)
            start = common_beginning(prompt, tokens)
            merged = start < len(prompt) and not turn.may_merge
            if problem := _problem(turn.answer, *pair, merged=merged, empty=start >= last):
                problems[problem].append(turn.example)
            start = max(start, first)
            yield tokens[:start], tokens[start:last]

    def _rendered(self, turn: Turn, problems: dict[str, list[str]]) -> tuple[str, str] | None:
        """The text before an answer, and the text with it; None where the template refuses them."""
        try:
            (before,) = self.texts([turn.history], opens=True)
            (after,) = self.texts([(*turn.history, turn.answer)], opens=False)
        except (TemplateError, TypeError) as error:
            problems[f"the chat template refuses the turns ({error})"].append(turn.example)
            return None
        return before, after

    def _spans(self, wholes: Sequence[Sequence[Message]], whole: Sequence[Tokens]) -> list[tuple[int, int]]:
        """Where each last turn begins and ends as far as the template marks it; else 0 and the end."""
        unmarked = [(0, len(tokens)) for tokens in whole]
        if not _MARKS_ANSWERS.search(self.template) or not whole:
            return unmarked
        rows = self._apply(wholes, add_generation_prompt=False, return_dict=True, return_assistant_tokens_mask=True)
        spans = []
        for ids, mask, tokens, span in zip(rows["input_ids"], rows["assistant_masks"], whole, unmarked, strict=True):
            # Marks are of the text as it is written, where control tokens in it count as such.
            last = len(mask) - mask[::-1].index(1) if 1 in mask and tuple(ids) == tokens else 0
            first = last - mask[:last][::-1].index(0) if 0 in mask[:last] else 0
            spans.append((first, last) if last else span)
        return spans

    def _apply(self, histories: Sequence[Sequence[Message]], **how: Any) -> Any:
        plain = [
            [{"role": turn.role, "content": turn.content, **turn.extra} for turn in history] for history in histories
        ]
        if not plain:
            return {"input_ids": [], "assistant_masks": []} if how.get("return_dict") else []
        # Its own warning about lengths is turned off; `check_lengths` says it better.
        verbose = {"tokenizer_kwargs": {"verbose": False}} if how.get("tokenize", True) else {}
        return self.tokenizer.apply_chat_template(plain, chat_template=self.template, **verbose, **how)


def _problem(answer: Message, before: str, after: str, *, merged: bool, empty: bool) -> str:
    """Why an answer cannot be read behind its prompt; empty where it can."""
    rest = after[len(before) if after.startswith(before) else common_beginning(before, after) :]
    # Templates may change the blanks around an answer and its reasoning.
    if "".join(answer.content.split()) not in "".join(rest.split()) or not rest.strip():
        return "the chat template drops the answer"
    if merged and after.startswith(before):
        return "the tokenizer puts the end of the prompt and the beginning of the answer into one token"
    return "the tokenizer reads nothing in the answer" if empty else ""
