"""A stage's regulariser put on a model, and taken off again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainerCallback

from chaintune.errors import StageError
from chaintune.models.answer_logits import logits_only_at
from chaintune.models.loading import LoadedModel, merge_adapter
from chaintune.records import Regulariser
from chaintune.tuning.mitigations import find
from chaintune.tuning.mitigations.ewc import diagonal_fisher
from chaintune.tuning.tokenized import TrainingExample, collate
from chaintune.tuning.trainer import AnswerTrainer, answer_loss, predicted_positions


@dataclass(frozen=True, slots=True)
class Regularised:
    """A model ready to be trained under a regulariser.

    Attributes:
        loaded: what is trained.
        callbacks: of the Trainer.
        trainer: its class.
        release: called after training; returns the model as it is to be stored.
    """

    loaded: LoadedModel
    callbacks: tuple[TrainerCallback, ...] = ()
    trainer: type[AnswerTrainer] = AnswerTrainer
    release: Callable[[], LoadedModel] = field(kw_only=True)


def hold(loaded: LoadedModel, regulariser: Regulariser | None, protected: Sequence[TrainingExample]) -> Regularised:
    """Put a regulariser on a model whose trainable weights are chosen.

    Args:
        loaded: changed in place.
        regulariser: None holds nothing back.
        protected: of the task that must not be lost; looked at by `ewc` only.

    Raises:
        ConfigError: a kind that does not exist.
        StageError: the regulariser cannot be used with this model.
    """
    if regulariser is None:
        return Regularised(loaded, release=lambda: loaded)
    options: dict[str, Any] = dict(regulariser.options)
    made = find(regulariser.kind)
    match regulariser.kind:
        case "l2sp" | "ema":
            return Regularised(loaded, (made(loaded.model, **options),), release=lambda: loaded)
        case "ewc":
            strength = options["strength"]
            return Regularised(
                loaded, (made(loaded.model, _fisher(loaded, protected), strength=strength),), release=lambda: loaded
            )
        case "sam":
            trainer = type("SharpnessAwareTrainer", (made, AnswerTrainer), {"rho": options["rho"]})
            return Regularised(loaded, trainer=trainer, release=lambda: loaded)
        case "freeze":
            return _frozen(loaded, made(loaded.model, options["parts"]))
        case "osf":
            return _orthogonal(loaded, made, options["rank"])
        case _:
            raise StageError(f"'{regulariser.kind}' is no regulariser of a stage")


def _fisher(loaded: LoadedModel, protected: Sequence[TrainingExample]) -> dict[str, torch.Tensor]:
    def loss(model: Any, lesson: TrainingExample) -> torch.Tensor:
        batch = collate([lesson])
        labels = batch["labels"].to(loaded.device)
        with logits_only_at(model, predicted_positions(labels)):
            outputs = model(input_ids=batch["input_ids"].to(loaded.device), use_cache=False)
        return answer_loss(outputs, labels, torch.tensor(1.0))

    return diagonal_fisher(loaded.model, protected, loss)


def _frozen(loaded: LoadedModel, weights: Sequence[torch.Tensor]) -> Regularised:
    def thaw() -> LoadedModel:
        for weight in weights:
            weight.requires_grad_(True)
        return loaded

    return Regularised(loaded, release=thaw)


def _orthogonal(loaded: LoadedModel, made: Callable[[Any, float], Any], rank: float) -> Regularised:
    if loaded.has_adapter:
        raise StageError("osf trains the whole weight matrices, 'method: lora' an adapter beside them; choose one")
    wrapped = LoadedModel(made(loaded.model, rank), loaded.tokenizer, loaded.precision)
    return Regularised(wrapped, release=lambda: merge_adapter(wrapped))
