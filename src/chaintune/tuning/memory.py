"""Out of memory while a stage trains: the stage is retried with a smaller micro-batch."""

import logging

from chaintune.errors import StageError
from chaintune.records import Recipe
from chaintune.records.recipe import micro_batch

_log = logging.getLogger(__name__)


def smaller_micro_batch(recipe: Recipe, failed: int, *, task: str, can_retry: bool) -> int:
    """Half of a micro-batch that did not fit; the batch stays as large as it was.

    Raises:
        StageError: a micro-batch of one example does not fit, or the stage cannot be retried.
    """
    if failed == 1:
        raise too_little(recipe, task=task)
    half = micro_batch(recipe.batch_size, failed // 2)
    out = f"task '{task}': out of memory at micro-batch {failed}"
    if not can_retry:
        raise StageError(f"{out}; load the model again, with micro_batch_size {half} in the recipe")
    _log.warning("%s; retrying the stage with %d (batch size unchanged)", out, half)
    return half


def too_little(recipe: Recipe, *, task: str) -> StageError:
    """The error for memory that does not hold even one example."""
    return StageError(f"task '{task}': out of memory at micro-batch 1; use {_remedies(recipe)}")


def _remedies(recipe: Recipe) -> str:
    """The remedies that are left, the cheapest first."""
    remedies = [] if recipe.gradient_checkpointing else ["gradient_checkpointing: true"]
    if recipe.method == "full":
        remedies.append("method: lora")
    elif recipe.method == "lora" and not recipe.quantize:
        remedies.append("quantize: 4bit")
    return ", ".join([*remedies, "precision bf16, a smaller model, or a device with more free memory"])
