"""What happens when memory runs out while a stage trains: it begins again, with less at once."""

import logging
from dataclasses import replace

from chaintune.errors import StageError
from chaintune.records import Recipe
from chaintune.tuning.tokenized import micro_batch

_log = logging.getLogger(__name__)


def with_less(recipe: Recipe, failed: int, *, task: str, may_begin_again: bool) -> Recipe:
    """The recipe with half of a micro-batch that did not fit; a step is as large as it was.

    Args:
        recipe: of the stage that ran out of memory.
        failed: examples of its micro-batch.
        task: named in messages.
        may_begin_again: whether the weights that the stage began with can be had once more.

    Raises:
        StageError: a micro-batch of one example does not fit, or the stage cannot begin again.
    """
    if failed == 1:
        raise too_little(recipe, task=task)
    half = micro_batch(recipe.batch_size, failed // 2)
    ran_out = f"task '{task}': memory ran out with micro-batches of {failed}"
    if not may_begin_again:
        raise StageError(f"{ran_out}; load the model again, and take micro_batch_size {half} in the recipe")
    _log.warning("%s; the stage begins again with %d, its steps still of %d", ran_out, half, recipe.batch_size)
    return replace(recipe, micro_batch_size=half)


def too_little(recipe: Recipe, *, task: str) -> StageError:
    """The error for memory that does not suffice at all."""
    return StageError(f"task '{task}': memory runs out even with one example at once; take {_remedies(recipe)}")


def _remedies(recipe: Recipe) -> str:
    """What could still be changed, the cheapest first."""
    found = [] if recipe.gradient_checkpointing else ["gradient_checkpointing: true"]
    if recipe.method == "full":
        found.append("method: lora")
    elif not recipe.quantize:
        found.append("quantize: 4bit")
    return ", ".join([*found, "precision bf16, a smaller model, or a device with more free memory"])
