"""A stage's regulariser put on a model, and taken off again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from chaintune.errors import StageError
from chaintune.models.loading import LoadedModel
from chaintune.records import Regulariser
from chaintune.tuning.mitigations import MITIGATIONS, Hook, StageModel
from chaintune.tuning.objectives import Objective, Tokenized
from chaintune.tuning.trainer import StageTrainer


@dataclass(frozen=True, slots=True)
class Regularised:
    """A model ready to be trained under a regulariser.

    Attributes:
        loaded: what is trained.
        callbacks: of the Trainer.
        trainer: its class.
        remove: called after training; returns the model as it is to be stored.
        tokens_read: called after training; tokens that the regulariser read beside the Trainer's batches.
    """

    loaded: LoadedModel
    callbacks: tuple[Any, ...]
    trainer: type[StageTrainer]
    remove: Callable[[], LoadedModel]
    tokens_read: Callable[[], int]


def apply(
    loaded: LoadedModel,
    regulariser: Regulariser | None,
    protected: Sequence[Tokenized],
    objective: Objective,
    *,
    taught: tuple[Sequence[Tokenized], Objective],
    micro_batch_size: int,
    seed: int,
) -> Regularised:
    """Put a regulariser on a model whose trainable weights are chosen.

    Args:
        loaded: changed in place.
        regulariser: None changes nothing.
        protected: of the task that must not be lost, for a regulariser that looks at them.
        objective: by whose loss it looks at them.
        taught: what the stage teaches, and by whose loss.
        micro_batch_size: examples that a forward pass has room for.
        seed: of the stage.

    Raises:
        ConfigError: there is no mitigation of the regulariser's kind.
        StageError: the regulariser cannot be used with this model.
    """
    hook = Hook()
    if regulariser:
        read = {"protected": (protected, objective), "taught": taught}
        hook = _hook(loaded, regulariser, read, micro_batch_size=micro_batch_size, seed=seed)
    classes = (hook.mixin, StageTrainer) if hook.mixin else (StageTrainer,)
    trainer = type("RegularisedTrainer", classes, {})
    return Regularised(
        hook.loaded or loaded, hook.callbacks, trainer, hook.remove or (lambda: loaded), hook.tokens_read
    )


def _hook(
    loaded: LoadedModel,
    regulariser: Regulariser,
    read: Mapping[str, tuple[Sequence[Tokenized], Objective]],
    *,
    micro_batch_size: int,
    seed: int,
) -> Hook:
    put_on = MITIGATIONS.get(regulariser.kind).apply
    if put_on is None:
        raise StageError(f"'{regulariser.kind}' is no regulariser of a stage")

    protected, objective = read["protected"]

    def loss(model: Any, example: Tokenized) -> torch.Tensor:
        return objective.loss(model, objective.collate([example]), torch.tensor(1.0))

    def rows(which: Literal["protected", "taught"]) -> list[dict[str, Any]]:
        examples, own = read[which]
        return [own.collate([example]) for example in examples]

    stage = StageModel(loaded, protected, loss, rows, micro_batch_size, seed)
    return put_on(stage, **dict(regulariser.options))
