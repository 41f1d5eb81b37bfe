"""Examples as token ids: the prompt, and the choices to be predicted.

Prompt and choice are encoded together, as one text, because a tokenizer may merge the end of the
prompt with the beginning of the choice. What all choices of an example share is its *prefix*; what
differs is predicted. So every choice of one example is scored on the same span of text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from chaintune.errors import DataError
from chaintune.models.token_tree import common_beginning
from chaintune.records import Example

# A tokenizer holds ten times what is kept of a text while it works, so texts go to it in portions.
_CHUNK_EXAMPLES = 2048


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
    leading: tuple[int, ...]
    context: int


def encode_examples(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> list[Encoded]:
    """Token ids of every example, in the order of the examples.

    Special tokens that the tokenizer puts in front (BOS) are kept, those it puts at the end (EOS) are
    left out. An empty prompt is replaced by BOS, or EOS where there is no BOS, because something must
    be read before anything can be predicted.

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


def _encode_chunk(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], special: _SpecialTokens
) -> list[Encoded]:
    texts = [text for example in examples for text in (example.prompt_text, *_full_texts(example))]
    # verbose: its own warning about lengths; `check_lengths` says it better.
    ids = iter(tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"])
    rows = [(next(ids), [next(ids) for _ in example.choices.texts]) for example in examples]
    _check_choices(examples, [choices for _, choices in rows])
    return [_encode(prompt, choices, special) for prompt, choices in rows]


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


def _full_texts(example: Example) -> list[str]:
    return [example.prompt_text + choice for choice in example.choices.texts]


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> _SpecialTokens:
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    wrapped = tokenizer("a")["input_ids"]
    starts = [i for i in range(len(wrapped)) if wrapped[i : i + len(plain)] == plain]
    leading = tuple(wrapped[: starts[0]]) if starts else ()
    context = next((t for t in (tokenizer.bos_token_id, tokenizer.eos_token_id) if t is not None), 0)
    return _SpecialTokens(leading, context)


def _encode(prompt: list[int], choices: list[list[int]], special: _SpecialTokens) -> Encoded:
    shared = min(common_beginning(prompt, choice) for choice in choices)
    # A choice that adds no token of its own would have nothing to predict.
    shared = min(shared, *(len(choice) - 1 for choice in choices))
    prefix = special.leading + tuple(prompt[:shared])
    return Encoded(prefix or (special.context,), tuple(tuple(choice[shared:]) for choice in choices))
