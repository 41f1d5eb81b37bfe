"""Examples as token ids: the prompt, and the choices to be predicted.

Prompt and choice are encoded together, as one text, because a tokenizer may merge the end of the
prompt with the beginning of the choice. What all choices of an example share is its *prefix*; what
differs is predicted. So every choice of one example is scored on the same span of text.

Special tokens that are written in the texts are text, unless the example says otherwise: nobody who writes `</s>` about
HTML means the end of the text. Only the text of BOS at the beginning of a prompt, where chat templates put it, is one
BOS.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from transformers import PreTrainedTokenizerBase

from chaintune.errors import DataError
from chaintune.models.token_tree import common_beginning
from chaintune.records import Example

# A tokenizer holds ten times what is kept of a text while it works, so texts go to it in portions.
_CHUNK_EXAMPLES = 2048

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as token ids.

    Attributes:
        prefix: at least one token; read, never predicted.
        continuations: for each choice the tokens that are predicted after the prefix, at least one.
    """

    prefix: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]

    @property
    def longest_tokens(self) -> int:
        """Tokens of the longest choice with its prefix."""
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
        return self.written is not None and any(self.written.search(prompt + text) for text in example.choices.texts)

    def behind_bos(self, prompt: str) -> str:
        """A prompt without the text of BOS at its beginning."""
        return self.bos.sub("", prompt) if self.bos else prompt


def encode_examples(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> list[Encoded]:
    """Token ids of every example, in the order of the examples.

    Special tokens that the tokenizer puts in front (BOS) are kept, those it puts at the end (EOS) are
    left out. An empty prompt is replaced by BOS, or EOS where there is no BOS, because something must
    be read before anything can be predicted. A prompt that begins with the text of BOS begins with one BOS, and
    every other special token that is written there is text, where an example's `special_tokens` does not say otherwise.

    Raises:
        DataError: the tokenizer reads two choices of an example alike, or nothing in one of them.

    Source:
        The treatment of empty prompts and of merged tokens agrees with `lm-evaluation-harness`
        (`_encode_pair`) wherever the prompt's own tokens survive.
    """
    special = _special_tokens(tokenizer)
    encoded: list[Encoded] = []
    for start in range(0, len(examples), _CHUNK_EXAMPLES):
        encoded += _encode_chunk(tokenizer, examples[start : start + _CHUNK_EXAMPLES], special)
    return encoded


def tell_special_tokens(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], *, task: str) -> None:
    """Warn, once, of examples that hold special tokens which are read as text, with their count and one of them."""
    special = _special_tokens(tokenizer)
    specials = [example for example in examples if not example.special_tokens and special.are_in(example)]
    if specials and special.written:
        first = specials[0]
        texts = (special.behind_bos(first.prompt_text) + text for text in first.choices.texts)
        name = next(match[0] for text in texts if (match := special.written.search(text)))
        _say_once(
            f"task '{task}': {len(specials)} of {len(examples)} examples hold special tokens of the model, '{name}' in "
            f"'{first.id}' for one, which are read as text; special_tokens: true in the task reads them as tokens"
        )


def _encode_chunk(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], special: _SpecialTokens
) -> list[Encoded]:
    rows: dict[int, list[list[int]]] = {}
    as_text = [not example.special_tokens and special.are_in(example) for example in examples]
    for split in (False, True):
        chosen = [number for number, says in enumerate(as_text) if says == split]
        texts = [text for number in chosen for text in _texts(examples[number], special)]
        if not texts:
            continue
        # verbose: its own warning about lengths; `check_lengths` says it better.
        how = {"split_special_tokens": True} if split else {}
        ids = iter(tokenizer(texts, add_special_tokens=False, verbose=False, **how)["input_ids"])
        rows |= {number: [next(ids) for _ in (None, *examples[number].choices.texts)] for number in chosen}
    _check_choices(examples, [rows[number][1:] for number in range(len(examples))])
    return [_encode(example, *rows[number], special=special) for number, example in enumerate(examples)]


def answer_tokens(encoded: Encoded, gold: int, end: int | None) -> tuple[int, ...]:
    """The tokens that a stage of tuning teaches: the right choice, then the end of the text if there is one."""
    return encoded.continuations[gold] + ((end,) if end is not None else ())


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
            f"{limit} tokens: {named}; leave them out or choose a model with a longer context (nothing is cut)"
        )


def _check_choices(examples: Sequence[Example], choices: Sequence[list[list[int]]]) -> None:
    """Refuse choices that a tokenizer makes equal, as some fold letters or know too few."""
    for example, rows in zip(examples, choices, strict=True):
        for k, tokens in enumerate(rows):
            twin = rows.index(tokens)
            if twin == k and tokens:
                continue
            what = f"reads choices {twin} and {k} alike" if tokens else f"reads nothing in prompt and choice {k}"
            texts = example.choices.texts
            raise DataError(
                f"example '{example.id}': the tokenizer {what} ({texts[twin]!r}, {texts[k]!r}); "
                "leave the example out or choose another model"
            )


def _texts(example: Example, special: _SpecialTokens) -> list[str]:
    """The prompt, and the prompt with each choice, as the tokenizer gets them."""
    written = example.prompt_text
    prompt = written if example.special_tokens else special.behind_bos(written)
    return [prompt, *(prompt + choice for choice in example.choices.texts)]


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
    leading = special.leading
    if special.bos and special.bos.match(example.prompt_text):
        leading = () if example.special_tokens else special.beginning
    prefix = leading + tuple(prompt[:shared])
    return Encoded(prefix or (special.context,), tuple(tuple(choice[shared:]) for choice in choices))


@cache
def _say_once(sentence: str) -> None:
    _log.warning("%s", sentence)
