"""How far the gradients of several tasks' losses point the same way at a checkpoint."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from chaintune.errors import ModelError
from chaintune.hessian.double_backward import double_backward_mode, space_of
from chaintune.hessian.lanczos import Vector
from chaintune.hessian.loss import StageLoss
from chaintune.models.loading import LoadedModel
from chaintune.models.memory import unless_out_of_memory
from chaintune.records import Example, Recipe
from chaintune.records.overlap import GradientOverlap
from chaintune.tuning.objectives import objective_of
from chaintune.tuning.tokenized import tokenized


def gradient_overlap(
    loaded: LoadedModel, examples: Mapping[str, Sequence[Example]], losses: Mapping[str, Recipe]
) -> GradientOverlap:
    """The scalar products of the gradients of several tasks' losses in all weights, in fp32 and without dropout.

    Memory: beside the model in fp32 one vector as long as its weights for each task, 4 bytes a number.

    Args:
        loaded: the model; it is left unchanged.
        examples: of each task.
        losses: task -> recipe whose loss it is.

    Raises:
        DataError: an example is longer than the model's context.
        ModelError: a loss or a gradient is not finite, the adapter does not merely add to the weights, or memory does
            not suffice.
    """
    names = space_of(loaded, "full")
    values: list[float] = []
    gradients: list[Vector] = []

    def measure() -> bool:
        values.clear()
        gradients.clear()
        with double_backward_mode(loaded, names.__contains__):
            for task, own in examples.items():
                objective = objective_of(losses[task])
                encoded = tokenized(loaded, own, objective, task=task)
                loss, gradient = StageLoss(
                    loaded.model, encoded, [*names.values()], objective=objective
                ).value_and_gradient()
                values.append(loss)
                gradients.append(gradient)
        return True

    if unless_out_of_memory(measure) is None:
        gigabytes = 4e-9 * sum(weight.numel() for weight in names.values())
        raise ModelError(
            f"out of memory: {len(examples)} gradients of {gigabytes:.2f} GB each are held beside the model in fp32; "
            "take fewer tasks"
        )
    products = [[float(np.dot(one, other)) for other in gradients] for one in gradients]
    if not all(map(math.isfinite, [*values, *np.ravel(products)])):
        raise ModelError("a loss or its gradient is not finite; the model's weights are broken")
    counts = tuple(len(own) for own in examples.values())
    return GradientOverlap(tuple(examples), tuple(values), tuple(map(tuple, products)), counts)
