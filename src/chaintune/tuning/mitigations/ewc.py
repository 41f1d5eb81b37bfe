"""EWC: a pull to the weights before the stage, stronger for weights that the earlier task's answers depend on.

Use when: some examples of the earlier task are at hand, but must not be trained on again.

On your own Trainer: `trainer.add_callback(EWC(model, diagonal_fisher(model, rows), strength=1e3))`.

Source:
    Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks, equation 3.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from chaintune.config.validation import Whole
from chaintune.errors import DataError
from chaintune.tuning.mitigations.callback import trainable_weights
from chaintune.tuning.mitigations.l2sp import L2SP, L2spSpec
from chaintune.tuning.mitigations.mitigation import Hook, Mitigation, StageModel

if TYPE_CHECKING:  # a study file that names a mitigation is read without torch
    import torch


class EwcSpec(L2spSpec):
    """A pull to the weights before the stage, stronger where the lost task needs them.

    Attributes:
        examples: of the task, from which the Fisher matrix is computed.
    """

    examples: Annotated[Whole, Field(ge=1)] = 128

    @property
    def protected_examples(self) -> int:
        """The examples from which the Fisher matrix is computed."""
        return self.examples


def diagonal_fisher(
    model: Any, examples: Iterable[Any], loss: "Callable[[Any, Any], torch.Tensor] | None" = None
) -> "dict[str, torch.Tensor]":
    """Mean over examples of each trained weight's squared gradient: the diagonal of the *empirical* Fisher matrix.

    Empirical: the gradients are those of the right answers, not of answers drawn from the model. On examples that the
    model has learned the two are close, and no answer has to be drawn.

    Dropout is off, as it is when the model answers; modes are put back.

    Memory: 4 bytes a trained weight for the result, and the gradients of one example.

    Args:
        model: at the weights before the stage; its gradients are cleared.
        examples: inputs of one example each.
        loss: model, example -> negative log-likelihood of the answer in nats; None is the model's own loss.

    Raises:
        DataError: there is no example.
    """
    import torch

    from chaintune.models.undisturbed import evaluating

    weights = trainable_weights(model)
    fisher = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in weights.items()}
    count = 0
    with evaluating(model):
        for example in examples:
            model.zero_grad(set_to_none=True)
            (model(**example).loss if loss is None else loss(model, example)).backward()
            for name, weight in weights.items():
                if weight.grad is not None:
                    fisher[name] += weight.grad.float() ** 2
            count += 1
    model.zero_grad(set_to_none=True)
    if not count:
        raise DataError("ewc: the Fisher matrix needs at least one example of the earlier task, got none")
    return {name: total.div_(count) for name, total in fisher.items()}


class EWC(L2SP):
    """Adds `strength / 2 * sum(F * (w - w0)^2)` to what is minimised; the logged loss stays that of the task.

    Memory: 4 bytes a trained weight for F, and one copy of the trained weights.

    Args:
        model: with the weights to be pulled to.
        fisher: of `diagonal_fisher` at those weights.
        strength: of the pull.
    """

    def __init__(self, model: Any, fisher: "Mapping[str, torch.Tensor]", *, strength: float) -> None:
        super().__init__(model, strength=strength)
        self._scale = fisher


def _apply(stage: StageModel, *, strength: float, **_: Any) -> Hook:
    model = stage.loaded.model
    return Hook(callbacks=(EWC(model, diagonal_fisher(model, stage.protected, stage.loss), strength=strength),))


MITIGATION = Mitigation(
    spec=EwcSpec, place="later stages", apply=_apply, weights="whole at the start", own_trainer="EWC"
)
