"""The same numbers computed slowly: one unpadded sequence after another, every logit computed."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from chaintune.models.encoding import Encoded


def reference_logprobs(model: Any, encoded: Sequence[Encoded]) -> list[list[float]]:
    """Log-probability of each choice of each example."""
    with torch.no_grad():
        return [[_logprob(model, item.prefix, choice) for choice in item.continuations] for item in encoded]


def _logprob(model: Any, prefix: tuple[int, ...], choice: tuple[int, ...]) -> float:
    logits = model(input_ids=torch.tensor([prefix + choice]), use_cache=False).logits[0]
    logprobs = torch.log_softmax(logits.float(), dim=-1)[len(prefix) - 1 : -1]
    return float(logprobs[range(len(choice)), list(choice)].double().sum())


def reference_loss(model: Any, texts: Sequence[tuple[tuple[int, ...], int]]) -> torch.Tensor:
    """Mean cross entropy of the answer tokens of some texts; each text comes with the length of its answer."""
    losses = []
    for tokens, answer in texts:
        logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(tokens[1:]), reduction="none")[-answer:])
    return torch.cat(losses).mean()


def largest_difference(left: Sequence[Sequence[float]], right: Sequence[Sequence[float]]) -> float:
    """Over all pairs of numbers that stand at the same place."""
    return max(abs(a - b) for x, y in zip(left, right, strict=True) for a, b in zip(x, y, strict=True))


def random_states() -> tuple[object, ...]:
    """The random states of this process, to be compared."""
    legacy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002 - what others may draw from
    return random.getstate(), legacy["pos"], legacy["key"].tolist(), torch.get_rng_state().tolist()
