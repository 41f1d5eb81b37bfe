"""The loss along the straight line between two checkpoints, and the barrier on it."""

import math
from collections.abc import Mapping, Sequence

import torch

from chaintune.errors import ConfigError, ModelError
from chaintune.hessian.examples import choose_examples, taught
from chaintune.hessian.loss import AnswerLoss
from chaintune.hessian.undisturbed import ready
from chaintune.models.loading import LoadedModel
from chaintune.records import Example, LossLine


def loss_line(
    first: LoadedModel,
    second: LoadedModel,
    examples: Sequence[Example],
    *,
    task: str,
    points: int = 11,
    seed: int = 0,
    provenance: Mapping[str, str] | None = None,
) -> LossLine:
    """The loss at equally spaced points between two checkpoints' weights, and by how much it rises above its ends.

    The loss is the one that tuning minimises, in fp32 and without dropout. The barrier is the most by which the
    loss at a point exceeds the weighted mean of the two ends at that point; the ends themselves count, so it is
    never below 0, and 0 where the loss is convex along the line.

    Args:
        first: a model without an adapter; it is left as it was found.
        second: another of the same shape.
        examples: in any order.
        task: name that the result bears.
        points: on the line, both ends included.
        seed: kept with the result; the one the examples were chosen by.
        provenance: what is measured, to be kept with the result.

    Raises:
        ConfigError: fewer than 3 points.
        DataError: there is no example, or one is longer than the model's context.
        ModelError: the two models cannot be mixed, or have an adapter.

    Source:
        Frankle et al. 2020 (arXiv:1912.05671), Garipov et al. 2018 (arXiv:1802.10026).
    """
    if points < 3:
        raise ConfigError(f"points {points}: a line needs its two ends and at least one point between them")
    _check_alike(first, second)
    chosen = choose_examples(examples, None, task=task, seed=seed)
    lessons = taught(first, chosen, task=task)
    if taught(second, chosen, task=task) != lessons:
        raise ModelError(
            f"task '{task}': the two models' tokenizers read it differently, so there is no line of losses"
        )
    fractions = tuple(step / (points - 1) for step in range(points))
    losses = _losses(first, second, AnswerLoss(first.model, lessons), fractions)
    height, at = barrier(fractions, losses)
    return LossLine(
        task=task,
        fractions=fractions,
        losses=losses,
        barrier=height,
        barrier_at=at,
        n=len(chosen),
        n_clusters=len({example.cluster for example in chosen}),
        answer_tokens=sum(lesson.answer_tokens for lesson in lessons),
        seed=seed,
        provenance=dict(provenance or {}),
    )


def barrier(fractions: Sequence[float], losses: Sequence[float]) -> tuple[float, float]:
    """The most by which losses exceed the straight line between the first and the last, and where; (0, 0) if nowhere.

    Example:
        >>> barrier((0.0, 0.5, 1.0), (1.0, 4.0, 3.0))
        (2.0, 0.5)
    """
    rise = losses[-1] - losses[0]
    heights = [loss - (losses[0] + at * rise) for at, loss in zip(fractions, losses, strict=True)]
    top = max(range(len(heights)), key=heights.__getitem__)
    # At the far end rounding may leave a height that is none.
    return (heights[top], fractions[top]) if heights[top] > 0 and top < len(heights) - 1 else (0.0, 0.0)


def _losses(first: LoadedModel, second: LoadedModel, loss: AnswerLoss, fractions: Sequence[float]) -> tuple[float, ...]:
    found = []
    with ready(first, lambda _: False):
        ends = [
            (weight, weight.data, other.data.float())
            for weight, other in zip(first.model.parameters(), second.model.parameters(), strict=True)
        ]
        for at in fractions:
            for weight, here, there in ends:
                # The ends themselves, not what rounding makes of them.
                weight.data = here if at == 0 else there if at == 1 else torch.lerp(here, there, at)
            found.append(loss.value())
            if not math.isfinite(found[-1]):
                raise ModelError(f"the loss is {found[-1]} at {at:g} of the way; a model's weights are broken")
    return tuple(found)


def _check_alike(first: LoadedModel, second: LoadedModel) -> None:
    if first.has_adapter or second.has_adapter:
        raise ModelError("a line runs between whole weights; merge the adapter first (models.merge_adapter)")
    here, there = (dict(loaded.model.named_parameters()) for loaded in (first, second))
    for name in sorted(here.keys() ^ there.keys()):
        which = "second" if name in here else "first"
        raise ModelError(f"the two models differ in shape: the {which} has no weight '{name}'")
    for name, weight in here.items():
        if weight.shape != there[name].shape:
            raise ModelError(
                f"the two models differ in shape: '{name}' is {tuple(weight.shape)} in the first and "
                f"{tuple(there[name].shape)} in the second"
            )
    fixed = dict(second.model.named_buffers())
    for name, buffer in first.model.named_buffers():
        if name not in fixed or not torch.equal(buffer, fixed[name]):
            raise ModelError(f"the two models differ in '{name}', which is no weight and cannot be mixed")
