"""How much of a score is rounding: some examples scored again in another grouping of the same arithmetic.

In exact arithmetic it does not matter which examples go through the model together. In bf16 it does, a
little, and a later checkpoint differs from an earlier one by that much even if nothing was learned.
"""

import json
from collections.abc import Sequence
from typing import Any

from chaintune.models.encoding import Encoded
from chaintune.models.processes import SINGLE_PROCESS, Rank
from chaintune.records import Example
from chaintune.records.choice import preferred
from chaintune.scoring.logprobs import alone_logprobs
from chaintune.scoring.measures.measure import evenly_spaced


def rounding(
    model: Any,
    examples: Sequence[Example],
    encoded: Sequence[Encoded],
    logprobs: Sequence[Sequence[float]],
    *,
    batch_tokens: int | None = None,
    share: Rank = SINGLE_PROCESS,
) -> str:
    """JSON of what changed when up to 64 examples, evenly spaced, were scored with their prompts read one by one.

    Args:
        model: that gave the scores.
        examples: in the order of their ids.
        encoded: the same as token ids.
        logprobs: their scores.
        batch_tokens: that go through the model together, where prompts are read side by side.
        share: of several processes that measure together.

    Returns:
        `example_id`; `changed`, whether another choice is preferred; `nats`, the largest change of a choice.
    """
    chosen = evenly_spaced(len(examples))
    rows = alone_logprobs(model, [encoded[index] for index in chosen], batch_tokens=batch_tokens, share=share)
    again = share.merged(rows, next(model.parameters()).device)
    pairs = [(logprobs[index], row) for index, row in zip(chosen, again, strict=True)]
    return json.dumps(
        {
            "example_id": [examples[index].id for index in chosen],
            "changed": [preferred(before) != preferred(after) for before, after in pairs],
            "nats": [max(abs(a - b) for a, b in zip(before, after, strict=True)) for before, after in pairs],
        }
    )
