"""EMA: the stage ends with a running average of its weights, which begins at the weights before it.

Use when: a late checkpoint forgets more than an early one; the average lies nearer to the start.

On your own Trainer: `trainer.add_callback(EMA(model, decay=0.99))`, made before training begins.

Source:
    Polyak and Juditsky 1992; against forgetting: Stojanovski et al. 2022, Momentum-based weight interpolation,
    arXiv:2211.03186.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from chaintune.config.validation import as_list
from chaintune.tuning.mitigations.callback import Callback, exact_weight, laid_like, trainable_weights
from chaintune.tuning.mitigations.mitigation import Hook, Mitigation, StageModel
from chaintune.tuning.mitigations.specs import Inside, MitigationSpec, Several


class EmaSpec(MitigationSpec):
    """The average of the weights along the stage.

    Attributes:
        decay: what the average keeps of itself at each step.
    """

    decay: Annotated[list[Inside], Several, as_list] = Field(default_factory=lambda: [0.99])

    varied: ClassVar[str] = "decay"


class EMA(Callback):
    """After each step `average = decay * average + (1 - decay) * weights`; at the end the average is the model.

    Memory: 4 bytes a trained weight. What the Trainer saves on the way are the weights, not their average.

    Args:
        model: with the weights that the average begins at.
        decay: in (0, 1); about `1 / (1 - decay)` steps are averaged.
    """

    def __init__(self, model: Any, *, decay: float) -> None:
        self._decay = decay
        self._average = {name: weight.detach().float().clone() for name, weight in trainable_weights(model).items()}

    def on_step_end(self, *_: Any, model: Any = None, optimizer: Any = None, **__: Any) -> None:
        """Take the step's weights into the average."""
        for name, weight in trainable_weights(model).items():
            average = self._average[name] = laid_like(weight, self._average[name])
            average.lerp_(exact_weight(optimizer, weight).float(), 1 - self._decay)

    def on_train_end(self, *_: Any, model: Any = None, **__: Any) -> None:
        """Put the average into the model."""
        for name, weight in trainable_weights(model).items():
            weight.detach().copy_(self._average[name])


def _apply(stage: StageModel, *, decay: float) -> Hook:
    return Hook(callbacks=(EMA(stage.loaded.model, decay=decay),))


MITIGATION = Mitigation(
    spec=EmaSpec, place="later stages", apply=_apply, weights="whole at the start", own_trainer="EMA"
)
