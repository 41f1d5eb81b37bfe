"""A stage of a model too large for one device: what of it can be trained in pieces, and when it has to be."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

from chaintune.errors import StageError
from chaintune.models.precision import Quantize
from chaintune.models.sharding import put_together, shard
from chaintune.records import Regulariser
from chaintune.tuning.mitigations import MITIGATIONS
from chaintune.tuning.mitigations.mitigation import Weights


def check_can_shard(quantize: Quantize | None, regulariser: Regulariser | None) -> None:
    """Refuse what cannot work on pieces of the weights.

    Raises:
        StageError: there is one.
    """
    if quantize:
        raise StageError("weights in 4 bits cannot be spread over devices; leave recipe.quantize out")
    if regulariser and _weights_for(regulariser) == "whole":
        raise StageError(
            f"{regulariser.kind} needs whole weights on every device, and this model is too large for one; "
            "take another mitigation, 'method: lora', or devices with more memory"
        )


def training_bytes(model: torch.nn.Module, weight_bytes: Callable[[int], int]) -> int:
    """Memory of a stage's weights, gradients and optimizer; neither activations nor a new adapter are counted."""
    return sum(weight.numel() * weight_bytes(weight.element_size()) for weight in model.parameters())


def reads_pieces(regulariser: Regulariser | None) -> bool:
    """Whether only the first process has to read the weights of a stage that is sharded.

    Regularisers that keep the weights before the stage, or look at gradients there, do so before they are spread.
    """
    return regulariser is None or _weights_for(regulariser) == "any"


def _weights_for(regulariser: Regulariser) -> Weights:
    return MITIGATIONS.get(regulariser.kind).weights


@contextlib.contextmanager
def sharded(model: Any) -> Iterator[None]:
    """Within this context a model is spread over all processes."""
    shard(model)
    yield
    put_together(model)
