"""What is taught of an example: each of its answers in the context in which a model would give it."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from transformers import PreTrainedTokenizerBase

from chaintune.models.encoding import Encoded, as_read, encode_answers, encode_examples
from chaintune.models.token_tree import common_beginning
from chaintune.records import Choices, Example, Message, Preference
from chaintune.records.examples import Text

_Answer = TypeVar("_Answer")


def encode_taught(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], *, last_turn_only: bool = False
) -> list[tuple[Encoded, ...]]:
    """What is taught of every example, in their order: each of its answers in the context in which it is given.

    Turns of the assistant that are there to be read alone are left out. The answers end as they do when a model writes
    them: with the end of the text after a prompt of text, after a prompt of turns with what the template puts there. Of
    choices the right one is taught, by the tokens by which it is scored and what ends it; of a preference both answers
    are there, the chosen one first.

    Raises:
        DataError, ModelError: as `encode_examples` has it.
    """
    texts = [as_read(tokenizer, example) for example in examples]
    end = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
    taught: dict[int, list[Encoded]] = {}
    raw = [place for place, example in enumerate(texts) if isinstance(example.prompt, str)]
    for place, encoded in zip(raw, encode_examples(tokenizer, [texts[place] for place in raw]), strict=True):
        chosen = _taught_answers(texts[place], encoded.continuations)
        taught[place] = [Encoded(encoded.prefix, tuple(_ended(answer, end) for answer in chosen))]
    turns = [
        (place, history, answers)
        for place, example in enumerate(texts)
        if isinstance(example.prompt, tuple)
        for history, answers in _answered_turns(example, example.prompt, last_turn_only=last_turn_only)
    ]
    parts = [(texts[place], history, answers) for place, history, answers in turns]
    for (place, *_), encoded in zip(turns, encode_answers(tokenizer, parts), strict=True):
        taught.setdefault(place, []).append(encoded)
    chosen_of = [place for place in dict.fromkeys(place for place, *_ in turns) if _has_choices(texts[place])]
    for place, encoded in zip(chosen_of, encode_examples(tokenizer, [texts[at] for at in chosen_of]), strict=True):
        taught[place][-1] = _split_at(encoded.prefix, taught[place][-1])
    return [tuple(taught[place]) for place in range(len(texts))]


def _split_at(prefix: tuple[int, ...], turn: Encoded) -> Encoded:
    """The last turn of an item of choices, learned from where its choices are scored."""
    whole = turn.prefix + turn.continuations[0]
    start = min(common_beginning(prefix, whole), len(whole) - 1)
    return Encoded(whole[:start], (whole[start:],))


def _ended(answer: tuple[int, ...], end: tuple[int, ...]) -> tuple[int, ...]:
    """An answer with the end of the text behind it, once where its data has written that already."""
    return answer if end and answer[-1:] == end else answer + end


def _answered_turns(
    example: Example, prompt: tuple[Message, ...], *, last_turn_only: bool
) -> Iterator[tuple[tuple[Message, ...], tuple[Text, ...]]]:
    """The turns before each answer, and the answer; of the last one those that are taught."""
    if not last_turn_only and not isinstance(example.target, Preference):
        for place, turn in enumerate(prompt):
            if turn.role == "assistant" and turn.is_taught:
                yield prompt[:place], ((turn,),)
    yield prompt, _taught_answers(example, example.answers)


def _taught_answers(example: Example, answers: Sequence[_Answer]) -> tuple[_Answer, ...]:
    return (answers[example.target.gold],) if isinstance(example.target, Choices) else tuple(answers)


def _has_choices(example: Example) -> bool:
    return isinstance(example.target, Choices)
