"""lm-evaluation-harness as another implementation of the same log-probabilities."""

from collections.abc import Sequence

from chaintune.models import LoadedModel
from chaintune.records import Example


def harness_logprobs(loaded: LoadedModel, examples: Sequence[Example], *, batch_size: int = 4) -> list[list[float]]:
    """Log-probability of each choice of each example, as lm-eval computes it on the same model in memory."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    pairs = [(example.prompt_text, choice) for example in examples for choice in example.choices.texts]
    requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    harness = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch_size)
    answers = iter(harness.loglikelihood(requests, disable_tqdm=True))
    return [[float(next(answers)[0]) for _ in example.choices.texts] for example in examples]
