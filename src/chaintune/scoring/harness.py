"""Log-probability of every choice as lm-evaluation-harness computes it, on the same model in memory.

Slower than ours by the figures of docs/explanation/speed.md; for whoever wants another's arithmetic.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from chaintune.errors import ConfigError, ModelError
from chaintune.models.loading import LoadedModel
from chaintune.models.memory import unless_out_of_memory
from chaintune.records import Example
from chaintune.scoring.memory import say_less, too_little

_BATCH = 16


def harness_logprobs(loaded: LoadedModel, examples: Sequence[Example]) -> list[list[float]]:
    """Natural-log probability of each choice given its prompt, in the order of the examples.

    Raises:
        ConfigError: the extra `lm-eval` is not installed.
        ModelError: memory does not even suffice for one choice.
    """
    try:
        from lm_eval.api.instance import Instance
    except ImportError as error:
        raise ConfigError(
            "engine 'lm_eval' needs lm-eval; install it with: pip install 'chaintune[lm-eval]'"
        ) from error

    pairs = [(example.prompt_text, choice) for example in examples for choice in example.choices.texts]
    asked = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    # It warns that a model which it did not load itself keeps its own device and precision, as is wanted here.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    was_training = loaded.model.training
    try:
        answers = iter(_answers(loaded, asked))
    finally:
        loaded.model.train(was_training)
    return [[float(next(answers)[0]) for _ in example.choices.texts] for example in examples]


def _answers(loaded: LoadedModel, asked: Sequence[Any]) -> Sequence[tuple[float, bool]]:
    """What the harness answers, with half as much at once whenever memory runs out."""
    from lm_eval.models.huggingface import HFLM

    size = _BATCH
    while True:
        harness = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=size)
        found: list[tuple[float, bool]] | None = unless_out_of_memory(
            partial(harness.loglikelihood, asked, disable_tqdm=True)
        )
        if found is not None:
            return found
        if size == 1:
            raise ModelError(too_little(type(loaded.model).__name__, "one choice"))
        size //= 2
        say_less(type(loaded.model).__name__)
