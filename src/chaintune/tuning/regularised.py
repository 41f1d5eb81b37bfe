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
from chaintune.tuning.tokenized import Lesson, collate
from chaintune.tuning.trainer import AnswerTrainer, answer_loss, predicted_positions


@dataclass(frozen=True, slots=True)
class Held:
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


def hold(loaded: LoadedModel, regulariser: Regulariser | None, guarded: Sequence[Lesson]) -> Held:
    """Put a regulariser on a model whose trainable weights are chosen.

    Args:
        loaded: changed in place.
        regulariser: None holds nothing back.
        guarded: of the task that must not be lost; looked at by `ewc` only.

    Raises:
        ConfigError: a kind that does not exist.
        StageError: the regulariser cannot be used with this model.
    """
    if regulariser is None:
        return Held(loaded, release=lambda: loaded)
    options: dict[str, Any] = dict(regulariser.options)
    made = find(regulariser.kind)
    match regulariser.kind:
        case "l2sp" | "ema":
            return Held(loaded, (made(loaded.model, **options),), release=lambda: loaded)
        case "ewc":
            strength = options["strength"]
            return Held(
                loaded, (made(loaded.model, _fisher(loaded, guarded), strength=strength),), release=lambda: loaded
            )
        case "sam":
            trainer = type("SharpnessAwareTrainer", (made, AnswerTrainer), {"rho": options["rho"]})
            return Held(loaded, trainer=trainer, release=lambda: loaded)
        case "freeze":
            return _frozen(loaded, made(loaded.model, options["parts"]))
        case "osf":
            return _orthogonal(loaded, made, options["rank"])
        case _:
            raise StageError(f"'{regulariser.kind}' is no regulariser of a stage")


def _fisher(loaded: LoadedModel, guarded: Sequence[Lesson]) -> dict[str, torch.Tensor]:
    def loss(model: Any, lesson: Lesson) -> torch.Tensor:
        batch = collate([lesson])
        labels = batch["labels"].to(loaded.device)
        with logits_only_at(model, predicted_positions(labels)):
            outputs = model(input_ids=batch["input_ids"].to(loaded.device), use_cache=False)
        return answer_loss(outputs, labels, torch.tensor(1.0))

    return diagonal_fisher(loaded.model, guarded, loss)


def _frozen(loaded: LoadedModel, weights: Sequence[torch.Tensor]) -> Held:
    def thaw() -> LoadedModel:
        for weight in weights:
            weight.requires_grad_(True)
        return loaded

    return Held(loaded, release=thaw)


def _orthogonal(loaded: LoadedModel, made: Callable[[Any, float], Any], rank: float) -> Held:
    if loaded.has_adapter:
        raise StageError("osf trains the whole weight matrices, 'method: lora' an adapter beside them; choose one")
    wrapped = LoadedModel(made(loaded.model, rank), loaded.tokenizer, loaded.precision)
    return Held(wrapped, release=lambda: merge_adapter(wrapped))
