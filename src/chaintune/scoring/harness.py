"""Log-probability of every choice as lm-evaluation-harness computes it, on the same model in memory.

Slower than ours by the figures of docs/explanation/speed.md; for whoever wants another's arithmetic.
"""

import logging
from collections.abc import Sequence

from chaintune.errors import ConfigError
from chaintune.models.loading import LoadedModel
from chaintune.records import Example

_BATCH = 16


def harness_logprobs(loaded: LoadedModel, examples: Sequence[Example]) -> list[list[float]]:
    """Natural-log probability of each choice given its prompt, in the order of the examples.

    Raises:
        ConfigError: the extra `lm-eval` is not installed.
    """
    try:
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise ConfigError(
            "engine 'lm_eval' needs lm-eval; install it with: pip install 'chaintune[lm-eval]'"
        ) from error

    pairs = [(example.prompt, choice) for example in examples for choice in example.choices]
    asked = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    # It warns that a model which it did not load itself keeps its own device and precision, as is wanted here.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    was_training = loaded.model.training
    harness = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=_BATCH)
    answers = iter(harness.loglikelihood(asked, disable_tqdm=True))
    loaded.model.train(was_training)
    return [[float(next(answers)[0]) for _ in example.choices] for example in examples]
