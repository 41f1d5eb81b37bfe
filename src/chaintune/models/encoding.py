"""Examples as token ids: the prompt, and the answers to be predicted.

Prompt and answer are encoded together, as one text, because a tokenizer may merge the end of the
prompt with the beginning of the answer. What all choices of an example share is its *prefix*; what
differs is predicted. So every choice of one example is scored on the same span of text.

Special tokens that are written in the texts are text, unless the example says otherwise: nobody who writes `</s>` about
HTML means the end of the text. Only the text of BOS at the beginning of a prompt, where chat templates put it, is one
BOS. A prompt of turns is rendered by the model's chat template, whose own special tokens are read as such.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from uuid import uuid4
from weakref import WeakKeyDictionary

from transformers import PreTrainedTokenizerBase

from chaintune.errors import DataError, ModelError
from chaintune.models.chat import Turn, before_choices, encode_openings, encode_turns, has_template
from chaintune.models.token_tree import common_beginning
from chaintune.records import Chat, Choices, Example, Message, Preference, Reference, Target
from chaintune.records.examples import Text
from chaintune.tasks.prompts import continuation

# A tokenizer holds ten times what is kept of a text while it works, so texts go to it in portions.
_CHUNK_EXAMPLES = 2048
# Some 40 bytes each.
_KEPT_TOKENS = 5_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as token ids.

    Attributes:
        prefix: at least one token; read, never predicted.
        continuations: for each answer the tokens that are predicted after the prefix, at least one.
    """

    prefix: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]

    @property
    def longest_tokens(self) -> int:
        """Tokens of the longest answer with its prefix."""
        return len(self.prefix) + max(len(tokens) for tokens in self.continuations)


@dataclass(frozen=True, slots=True)
class _SpecialTokens:
    """What a tokenizer treats in its own way.

    Attributes:
        leading: put in front of every text.
        beginning: what a prompt begins with that BOS is written in front of.
        context: read where there is nothing else.
        bos: finds the text of BOS at the beginning of a prompt; None where there is none.
        written: finds any special token in a text; None where there are none.
    """

    leading: tuple[int, ...]
    beginning: tuple[int, ...]
    context: int
    bos: re.Pattern[str] | None
    written: re.Pattern[str] | None

    def are_in(self, example: Example) -> bool:
        """Whether a text of an example, behind the BOS of its prompt, holds one."""
        prompt = self.behind_bos(example.prompt_text)
        return self.written is not None and any(self.written.search(prompt + text) for text in answer_texts(example))

    def behind_bos(self, prompt: str) -> str:
        """A prompt without the text of BOS at its beginning."""
        return self.bos.sub("", prompt) if self.bos else prompt


_digests: WeakKeyDictionary[PreTrainedTokenizerBase, str] = WeakKeyDictionary()
_Read = dict[int, tuple[Example, Encoded]]
_read_before: dict[tuple[object, ...], _Read] = {}


def encode_examples(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> list[Encoded]:
    """Token ids of every example, in the order of the examples.

    Special tokens that the tokenizer puts in front (BOS) are kept, those it puts at the end (EOS) are
    left out. An empty prompt is replaced by BOS, or EOS where there is no BOS, because something must
    be read before anything can be predicted. A prompt that begins with the text of BOS begins with one BOS, and
    every other special token that is written there is text, where an example's `special_tokens` does not say otherwise.

    A prompt of turns is rendered by a chat template: a choice is then the content of an answer, with the blanks that
    the template writes before it and without what ends it, and what else the template writes there is read before it;
    any other answer is the whole turn. Where the model has no
    template, a single user turn that may be read as text is.

    Raises:
        DataError: the tokenizer reads two answers of an example alike, or nothing in one of them; the chat template
            cannot render an example, or prompt and reference merge into one token.
        ModelError: there is no chat template.

    Source:
        The treatment of empty prompts and of merged tokens agrees with `lm-evaluation-harness`
        (`_encode_pair`) wherever the prompt's own tokens survive.
    """
    special = _special_tokens(tokenizer)
    way = _way_of(tokenizer, special)
    known = _read_before.get(way, {})
    fresh = list({id(example): example for example in examples if id(example) not in known}.values())
    read: _Read = {}
    for start in range(0, len(fresh), _CHUNK_EXAMPLES):
        chunk = fresh[start : start + _CHUNK_EXAMPLES]
        texts = [as_read(tokenizer, example) for example in chunk]
        encoded = _encode_chunk(tokenizer, texts, special)
        read |= {id(example): (example, own) for example, own in zip(chunk, encoded, strict=True)}
    _keep(way, read)
    return [(read.get(id(example)) or known[id(example)])[1] for example in examples]


def _way_of(tokenizer: PreTrainedTokenizerBase, special: _SpecialTokens) -> tuple[object, ...]:
    """Everything of a tokenizer that says how it reads an example."""
    if tokenizer not in _digests:
        content = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else uuid4().hex
        _digests[tokenizer] = sha256(content.encode()).hexdigest()
    # A template may write any special token by its name, and read another one of the same template otherwise.
    written = (repr(tokenizer.chat_template), repr(tokenizer.special_tokens_map))
    return (_digests[tokenizer], len(tokenizer), tokenizer.split_special_tokens, special, *written)


def _keep(way: tuple[object, ...], read: _Read) -> None:
    """Keep what was read, where it is not too much; what was kept before makes room.

    A run asks each checkpoint of a base the same examples, and reads them to size its stages before. Examples are kept
    by identity, and with them, so that no other object takes it.
    """
    tokens = _tokens_of(read)
    if not read or tokens > _KEPT_TOKENS:
        return
    if tokens + sum(map(_tokens_of, _read_before.values())) > _KEPT_TOKENS:
        _read_before.clear()
    _read_before.setdefault(way, {}).update(read)


def _tokens_of(read: _Read) -> int:
    return sum(len(one.prefix) + sum(map(len, one.continuations)) for _, one in read.values())


def encode_prompts(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> list[tuple[int, ...]]:
    """Token ids of what is read before an answer is written, in the order of the examples; at least one each.

    Of turns that is the rendered conversation with the words that open an answer; of a text the text, with what the
    tokenizer puts in front of it. Special tokens are treated as `encode_examples` has it.

    Raises:
        DataError: the chat template cannot render an example.
        ModelError: there is no chat template.
    """
    bare = [replace(as_read(tokenizer, example), target=None) for example in examples]
    special = _special_tokens(tokenizer)
    turns = [number for number, example in enumerate(bare) if not isinstance(example.prompt, str)]
    openings = encode_openings(tokenizer, [bare[number] for number in turns])
    encoded = {number: tokens for number, (_, tokens) in zip(turns, openings, strict=True)}
    rows = _raw_rows(tokenizer, bare, [number for number in range(len(bare)) if number not in encoded], special)
    encoded |= {number: _leading(bare[number], special) + tuple(tokens) for number, (tokens,) in rows.items()}
    return [encoded[number] or (special.context,) for number in range(len(bare))]


def prompts_of(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], limit: int | None, new_tokens: int, *, task: str
) -> list[tuple[int, ...]]:
    """Token ids of a task's prompts, as `encode_prompts` has them, each with room for the new tokens in the context.

    Raises:
        DataError, ModelError: as `encode_prompts` and `check_lengths` have it; the message names the task.
    """
    with errors_of(task):
        prompts = encode_prompts(tokenizer, examples)
    room = None if limit is None else limit - new_tokens
    if room is not None and room < 1:
        raise DataError(
            f"task '{task}': max_new_tokens {new_tokens} leave no room for a prompt in the model's context of {limit} "
            "tokens; take fewer"
        )
    check_lengths(examples, list(map(len, prompts)), room, task=task)
    return prompts


@contextmanager
def errors_of(task: str) -> Iterator[None]:
    """Within this context what is wrong with an example or a template bears the name of the task."""
    try:
        yield
    except (DataError, ModelError) as error:
        raise type(error)(f"task '{task}': {error}") from error


def encode_of(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], limit: int | None, *, task: str
) -> list[Encoded]:
    """Token ids of the examples of a task, as `encode_examples` has them, none longer than a model's context.

    Raises:
        DataError, ModelError: as `encode_examples` and `check_lengths` have it; the message names the task.
    """
    with errors_of(task):
        encoded = encode_examples(tokenizer, examples)
    check_lengths(examples, [example.longest_tokens for example in encoded], limit, task=task)
    return encoded


def as_read(tokenizer: PreTrainedTokenizerBase, example: Example) -> Example:
    """The example as a model reads it: with a prompt of text where it may be one and the model has no chat template.

    Raises:
        DataError: the prompt is more than one user turn, or a turn more than text, and there is no chat template; an
            answer to a prompt of text is more than text.
    """
    if isinstance(example.prompt, str):
        if any(not isinstance(answer, str) and answer[-1].extra for answer in example.answers):
            raise DataError(
                f"example '{example.id}': its answer holds more than text (tool calls, say), and its prompt is text, "
                "behind which nothing renders that; give the prompt as turns, or leave it out"
            )
        return example
    if not example.chat.fallback or has_template(tokenizer, example.chat):
        return example
    turns = [turn for text in (example.prompt, *example.answers) if not isinstance(text, str) for turn in text]
    has_more = any(turn.extra for turn in turns)  # tool calls, which no text stands for
    if [turn.role for turn in example.prompt] != ["user"] or has_more:
        what = "a turn holds more than text" if has_more else f"its prompt is {len(example.prompt)} turns"
        raise DataError(
            f"example '{example.id}': {what}, and the model has no chat template; "
            "name one as 'chat_template' of the task, leave 'system' out, or choose a model that was tuned for chat"
        )
    prompt = example.prompt[0].content
    match example.target:
        case Choices(choices, gold, roles):
            target: Target = Choices(tuple(continuation(prompt, text) for text in choices), gold, roles)
        case Reference(text):
            target = Reference(continuation(prompt, content_of(text)))
        case Preference(chosen, rejected):
            target = Preference(*(continuation(prompt, content_of(text)) for text in (chosen, rejected)))
        case None:
            target = None
    return replace(example, prompt=prompt, target=target, chat=Chat())


def content_of(answer: Text) -> str:
    """The text of an answer that is text, or one turn of the assistant."""
    return answer if isinstance(answer, str) else answer[-1].content


def answer_texts(example: Example) -> tuple[str, ...]:
    """The texts of an example's answers."""
    return tuple(map(content_of, example.answers))


def tell_special_tokens(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], *, task: str) -> None:
    """Warn, once, of examples that hold special tokens which are read as text, with their count and one of them."""
    special = _special_tokens(tokenizer)
    raw = [example for example in examples if isinstance(example.prompt, str)]
    specials = [example for example in raw if not example.special_tokens and special.are_in(example)]
    if specials and special.written:
        first = specials[0]
        texts = (special.behind_bos(first.prompt_text) + text for text in answer_texts(first))
        name = next(match[0] for text in texts if (match := special.written.search(text)))
        _say_once(
            f"task '{task}': {len(specials)} of {len(examples)} examples hold special tokens of the model, '{name}' in "
            f"'{first.id}' for one, which are read as text; special_tokens: true in the task reads them as tokens"
        )


def _encode_chunk(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], special: _SpecialTokens
) -> list[Encoded]:
    raw = {number for number, example in enumerate(examples) if isinstance(example.prompt, str)}
    turns = {number for number in range(len(examples)) if number not in raw and not _has_choices(examples[number])}
    rows = _raw_rows(tokenizer, examples, sorted(raw), special)
    opened = [number for number in range(len(examples)) if number not in raw and number not in turns]
    rows |= dict(zip(opened, _opened_rows(tokenizer, [examples[number] for number in opened], special), strict=True))
    for number, (_, *answers) in rows.items():
        _check_answers(examples[number], answers)
    encoded = {number: _encode(examples[number], *own, special=special) for number, own in rows.items()}
    _check_unmerged(examples, rows, {number: encoded[number] for number in sorted(raw)})
    asked = [(examples[number], examples[number].prompt, examples[number].answers) for number in sorted(turns)]
    encoded |= dict(zip(sorted(turns), encode_answers(tokenizer, asked), strict=True))
    return [encoded[number] for number in range(len(examples))]


def _has_choices(example: Example) -> bool:
    return isinstance(example.target, Choices)


def _raw_rows(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], raw: Sequence[int], special: _SpecialTokens
) -> dict[int, list[list[int]]]:
    """Number of an example -> its prompt, and its prompt with each answer."""
    rows: dict[int, list[list[int]]] = {}
    as_text = {number for number in raw if not examples[number].special_tokens and special.are_in(examples[number])}
    for split in (False, True):
        chosen = [number for number in raw if (number in as_text) == split]
        texts = [text for number in chosen for text in _texts(examples[number], special)]
        if not texts:
            continue
        # verbose: its own warning about lengths; `check_lengths` says it better.
        how = {"split_special_tokens": True} if split else {}
        ids = iter(tokenizer(texts, add_special_tokens=False, verbose=False, **how)["input_ids"])
        rows |= {number: [next(ids) for _ in (None, *examples[number].answers)] for number in chosen}
    return rows


def _opened_rows(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], special: _SpecialTokens
) -> Iterator[list[list[int]]]:
    """The turns up to where an answer begins, and the same with the content of each choice, of each example."""
    openings = encode_openings(tokenizer, examples)
    before = before_choices(tokenizer, examples, [text for text, _ in openings])
    offered = [
        [blanks + choice for choice in example.choices.texts]
        for example, (_, blanks) in zip(examples, before, strict=True)
    ]
    every = [text for text, _ in openings]
    every += [text + answer for (text, _), choices in zip(before, offered, strict=True) for answer in ("", *choices)]
    distinct = list(dict.fromkeys(every))
    read = tokenizer(distinct, add_special_tokens=False, verbose=False)["input_ids"] if distinct else []
    ids = dict(zip(distinct, read, strict=True))
    for example, choices, (text, _), (opening, opened) in zip(examples, offered, before, openings, strict=True):
        plain = example.special_tokens or not (special.written and any(map(special.written.search, choices)))
        if tuple(ids[opening]) == opened and plain:
            yield [ids[text + answer] for answer in ("", *choices)]
            continue
        # Special tokens are written in the turns or choices and are text there, so that each part is read by itself.
        made = text.removeprefix(opening) if text.startswith(opening) else ""
        start = [*opened, *tokenizer(made, add_special_tokens=False)["input_ids"]] if made else list(opened)
        parts = tokenizer(list(choices), add_special_tokens=False, verbose=False, split_special_tokens=True)
        yield [start, *([*start, *part] for part in parts["input_ids"])]


def encode_answers(
    tokenizer: PreTrainedTokenizerBase, asked: Sequence[tuple[Example, Text, Sequence[Text]]]
) -> list[Encoded]:
    """Answers, as whole turns, behind the turns before them.

    Args:
        tokenizer: of the model.
        asked: example, the turns before, and answers of it to these.

    Raises:
        DataError, ModelError: as `encode_examples` has it.
    """
    turns = [
        Turn(example.id, history, _turn(answer), example.chat, example.special_tokens, _has_choices(example))
        for example, history, answers in asked
        if isinstance(history, tuple)
        for answer in answers
    ]
    pairs = iter(encode_turns(tokenizer, turns))
    encoded = []
    for example, _, answers in asked:
        own = [next(pairs) for _ in answers]
        prefix = own[0][0]
        if any(other != prefix for other, _ in own):
            raise DataError(
                f"example '{example.id}': the chat template renders the prompt otherwise before each of its answers; "
                "leave it out, or name another 'chat_template'"
            )
        _check_answers(example, [list(answer) for _, answer in own])
        encoded.append(Encoded(prefix, tuple(answer for _, answer in own)))
    return encoded


def _turn(answer: Text) -> Message:
    return Message("assistant", answer) if isinstance(answer, str) else answer[-1]


def check_lengths(examples: Sequence[Example], lengths: Sequence[int], limit: int | None, *, task: str) -> None:
    """Refuse examples that the model's context cannot hold.

    Raises:
        DataError: some are longer than `limit` tokens; the message counts them and names three.
    """
    if limit is None:
        return
    long = [(example.id, length) for example, length in zip(examples, lengths, strict=True) if length > limit]
    if long:
        named = ", ".join(f"'{name}' ({length} tokens)" for name, length in long[:3])
        raise DataError(
            f"task '{task}': {len(long)} of {len(examples)} examples are longer than the model's context of "
            f"{limit} tokens: {named}; leave them out ('unusable: skip') or choose a model with a longer context "
            "(nothing is cut)"
        )


def _check_answers(example: Example, rows: Sequence[list[int]]) -> None:
    """Refuse answers that a tokenizer makes equal, as some fold letters or know too few."""
    for k, tokens in enumerate(rows):
        twin = rows.index(tokens)
        if twin == k and tokens:
            continue
        names = ("chosen", "rejected") if isinstance(example.target, Preference) else range(len(rows))
        kind, one = ("choices", "choice") if _has_choices(example) else ("the answers", "answer")
        what = (
            f"reads {kind} {names[twin]} and {names[k]} alike" if tokens else f"reads nothing in prompt and {one} {k}"
        )
        texts = answer_texts(example)
        raise DataError(
            f"example '{example.id}': the tokenizer {what} ({texts[twin]!r}, {texts[k]!r}); "
            "leave the example out or choose another model"
        )


def _check_unmerged(
    examples: Sequence[Example], rows: Mapping[int, list[list[int]]], encoded: Mapping[int, Encoded]
) -> None:
    """Refuse references and preferences whose first token is the prompt's last one as well.

    Of choices such a token is predicted for each, so that they are compared all the same.
    """
    merged = [
        examples[number].id
        for number, own in encoded.items()
        if not _has_choices(examples[number])
        and any(row[: len(rows[number][0])] != rows[number][0] for row in rows[number])
    ]
    if merged:
        raise DataError(
            f"{len(merged)} of {len(examples)} examples, such as '{merged[0]}': the tokenizer puts the end of the "
            "prompt and the beginning of the answer into one token; end the prompt with a word and begin the answer "
            "with a blank, or leave them out"
        )


def _texts(example: Example, special: _SpecialTokens) -> list[str]:
    """The prompt, and the prompt with each answer, as the tokenizer gets them."""
    written = example.prompt_text
    prompt = written if example.special_tokens else special.behind_bos(written)
    return [prompt, *(prompt + answer for answer in answer_texts(example))]


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> _SpecialTokens:
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    wrapped = tokenizer("a")["input_ids"]
    starts = [i for i in range(len(wrapped)) if wrapped[i : i + len(plain)] == plain]
    leading = tuple(wrapped[: starts[0]]) if starts else ()
    context = next((t for t in (tokenizer.bos_token_id, tokenizer.eos_token_id) if t is not None), 0)
    bos = tokenizer.bos_token_id
    known = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    texts = sorted(filter(None, known | set(tokenizer.all_special_tokens)), key=len, reverse=True)
    return _SpecialTokens(
        leading,
        leading if bos is None or bos in leading else (bos, *leading),
        context,
        re.compile(rf"\A(?:{re.escape(tokenizer.bos_token)})+") if tokenizer.bos_token else None,
        re.compile("|".join(map(re.escape, texts))) if texts else None,
    )


def _encode(example: Example, prompt: list[int], *choices: list[int], special: _SpecialTokens) -> Encoded:
    shared = min(common_beginning(prompt, choice) for choice in choices)
    # A choice that adds no token of its own would have nothing to predict.
    shared = min(shared, *(len(choice) - 1 for choice in choices))
    prefix = _leading(example, special) + tuple(prompt[:shared])
    return Encoded(prefix or (special.context,), tuple(tuple(choice[shared:]) for choice in choices))


def _leading(example: Example, special: _SpecialTokens) -> tuple[int, ...]:
    """What stands in front of the tokens of a prompt."""
    if not isinstance(example.prompt, str):
        return ()  # a template writes its own
    if special.bos and special.bos.match(example.prompt):
        return () if example.special_tokens else special.beginning
    return special.leading


@cache
def _say_once(sentence: str) -> None:
    _log.warning("%s", sentence)
