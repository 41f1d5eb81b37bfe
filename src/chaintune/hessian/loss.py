"""The loss that tuning minimises, as a function of the weights: its value, gradient, and Hessian times a vector."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from chaintune.hessian.examples import MICRO_BATCH_TOKENS, micro_batches
from chaintune.hessian.lanczos import Vector
from chaintune.models.answer_logits import logits_only_at
from chaintune.tuning.tokenized import TrainingExample, collate
from chaintune.tuning.trainer import answer_loss, predicted_positions


class AnswerLoss:
    """Mean cross entropy of the answer tokens of some lessons, in nats a token, as one step on them all would have.

    Everything is summed over micro-batches, so that memory does not grow with the lessons, and vocabulary
    logits are computed at answer positions only.

    Shape:
        vectors `[P]`, the parameters flattened one after another.
    """

    def __init__(
        self,
        model: Any,
        lessons: Sequence[TrainingExample],
        parameters: Sequence[torch.Tensor] = (),
        *,
        micro_batch_tokens: int | None = None,
    ) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        tokens = micro_batch_tokens or MICRO_BATCH_TOKENS[self._device.type]
        self._batches = [collate(batch) for batch in micro_batches(lessons, tokens=tokens)]
        self._parameters = list(parameters)
        self._sizes = [weight.numel() for weight in self._parameters]
        self.answer_tokens = sum(lesson.answer_tokens for lesson in lessons)
        self.dimension = sum(self._sizes)
        self.products = 0

    def value(self) -> float:
        """The loss; no derivative is made ready."""
        with torch.no_grad():
            return float(sum(loss.double() for loss in self._parts()))

    def value_and_gradient(self) -> tuple[float, Vector]:
        """The loss and its gradient."""
        value, total = 0.0, self._zeros()
        for loss in self._parts():
            value += float(loss.detach().double())
            self._add(total, torch.autograd.grad(loss, self._parameters, materialize_grads=True))
        return value, _to_numpy(total)

    def hessian_product(self, vector: Vector) -> Vector:
        """The Hessian times a vector, by differentiating the gradient once more along it."""
        along = self._views(torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float32)).to(self._device))
        total = self._zeros()
        for loss in self._parts():
            slopes = torch.autograd.grad(loss, self._parameters, create_graph=True, materialize_grads=True)
            # A slope that is constant has nothing to differentiate.
            bending = [(slope, part) for slope, part in zip(slopes, along, strict=True) if slope.requires_grad]
            if bending:
                outputs, directions = zip(*bending, strict=True)
                self._add(total, torch.autograd.grad(outputs, self._parameters, directions, materialize_grads=True))
        self.products += 1
        return _to_numpy(total)

    def _parts(self) -> Iterator[torch.Tensor]:
        """Each micro-batch's share of the loss."""
        for batch in self._batches:
            labels = batch["labels"].to(self._device)
            with logits_only_at(self._model, predicted_positions(labels)):
                outputs = self._model(input_ids=batch["input_ids"].to(self._device), use_cache=False)
            yield answer_loss(outputs, labels, torch.tensor(self.answer_tokens, device=self._device))

    def _zeros(self) -> torch.Tensor:
        return torch.zeros(self.dimension, device=self._device)

    def _views(self, flat: torch.Tensor) -> list[torch.Tensor]:
        pieces = flat.split(self._sizes)
        return [piece.view_as(weight) for piece, weight in zip(pieces, self._parameters, strict=True)]

    def _add(self, total: torch.Tensor, parts: Sequence[torch.Tensor]) -> None:
        for view, part in zip(self._views(total), parts, strict=True):
            view += part


def _to_numpy(tensor: torch.Tensor) -> Vector:
    return np.asarray(tensor.cpu().numpy(), dtype=np.float32)
