"""Prompts without an answer: a model writes one, which is judged, or which a mitigation teaches again."""

from collections.abc import Mapping, Sequence

from chaintune.errors import ConfigError, DataError, number_of
from chaintune.records import Example
from chaintune.tasks.definition import Pool
from chaintune.tasks.free import is_open
from chaintune.tasks.sizes import SizeSpec


def without_answers(pool: Pool, sizes: Mapping[str, SizeSpec | None], what: str) -> bool:
    """Whether prompts are all that there is, so that nothing can be taught.

    Raises:
        ConfigError: they are to be taught.
    """
    train, test = sizes["train"], sizes["test"]
    if not are_prompts((*pool.examples, *(pool.test or ()))) or (train is not None and train.is_none):
        return False
    if test is not None and test.is_none:
        return False  # a mitigation may have them answered
    if any(map(is_open, pool.examples)):
        raise ConfigError(
            f"{what}, test: a model writes its prompts, so nothing of it can be tested; write 'test: none'"
        )
    if train is not None:
        raise ConfigError(
            f"{what}, train: its prompts have no answers, so there is nothing to teach; leave 'train' out, or write "
            "'train: none', and teach a task with answers; with 'test: none' a checkpoint may answer them for "
            "self_replay"
        )
    return True


def are_prompts(examples: Sequence[Example]) -> bool:
    """Whether there are examples, and none has an answer."""
    return bool(examples) and all(example.target is None for example in examples)


def answered(taught: tuple[Example, ...], size: SizeSpec | None, what: str, notes: list[str]) -> tuple[Example, ...]:
    """What is taught, without the prompts that have no answer, of which `notes` takes a sentence.

    Raises:
        DataError: there are some, and the user says how many are taught.
    """
    if are_prompts(taught):
        return taught
    kept = tuple(example for example in taught if example.target is not None)
    if len(kept) < len(taught):
        many = number_of(len(taught) - len(kept), "prompt has", "prompts have")
        if size is not None:
            raise DataError(
                f"{what}, train: {many} no answer, and cannot be taught; leave the size out, or write 'train: none'"
            )
        notes.append(f"{many} no answer and would not be taught")
    return kept
