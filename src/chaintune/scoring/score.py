"""A loaded model and examples in; `Scores` out."""

import math
from collections.abc import Callable, Mapping, Sequence

from chaintune.errors import ModelError
from chaintune.models.encoding import check_lengths, encode_examples
from chaintune.models.loading import LoadedModel
from chaintune.models.processes import SINGLE_PROCESS, Rank
from chaintune.records import Example, Scores, scores_table
from chaintune.scoring.logprobs import choice_logprobs
from chaintune.scoring.rounding import rounding


def score(
    loaded: LoadedModel,
    examples: Sequence[Example],
    *,
    task: str,
    provenance: Mapping[str, str] | None = None,
    measure_rounding: bool = False,
    batch_tokens: int | None = None,
    on_scored: Callable[[int], None] = lambda _: None,
    share: Rank = SINGLE_PROCESS,
) -> Scores:
    """What the model answers to every example.

    Args:
        loaded: the model and its tokenizer; it is left as it was found.
        examples: in any order; the scores do not depend on it.
        task: name that the scores bear.
        provenance: what made the scores, to be kept with them.
        measure_rounding: score some examples a second way and keep the differences with the scores.
        batch_tokens: tokens that go through the model together; None is what suits the device.
        on_scored: called with the number of examples done.
        share: of the work that is this process's, where several score together, each with the whole model or its
            piece of it; they have to call this alike, and all get all scores.

    Raises:
        DataError: an example is longer than the model's context.
        ModelError: the model answers with something that is no number, or memory does not suffice.
    """
    ordered = sorted(examples, key=lambda example: example.id)
    encoded = encode_examples(loaded.tokenizer, ordered)
    check_lengths(ordered, [example.longest_tokens for example in encoded], loaded.context_tokens, task=task)
    rows = choice_logprobs(loaded.model, encoded, batch_tokens=batch_tokens, on_scored=on_scored, share=share)
    logprobs = share.merged(rows, loaded.device)
    for example, row in zip(ordered, logprobs, strict=True):
        if any(map(math.isnan, row)):
            raise ModelError(f"task '{task}': the model gives NaN for example '{example.id}'; its weights are broken")
    tokens = [[len(choice) for choice in example.continuations] for example in encoded]
    table = scores_table(task, ordered, logprobs, tokens)
    about = {"precision": loaded.precision} | dict(provenance or {})
    if measure_rounding and ordered:
        about["rounding"] = rounding(loaded.model, ordered, encoded, logprobs, batch_tokens=batch_tokens, share=share)
    return Scores(task, table, about)
