"""The loss that tuning minimises, as a function of the weights: its value, gradient, and Hessian times a vector."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from chaintune.hessian.examples import MICRO_BATCH_TOKENS, micro_batches
from chaintune.hessian.lanczos import Vector
from chaintune.tuning.objectives import Objective, Tokenized


class StageLoss:
    """The loss of an objective on some examples, as one step on them all would have: in SFT nats an answer token.

    Everything is summed over micro-batches, so that memory does not grow with the examples.

    Shape:
        vectors `[P]`, the parameters flattened one after another.
    """

    def __init__(
        self,
        model: Any,
        examples: Sequence[Tokenized],
        parameters: Sequence[torch.Tensor] = (),
        *,
        objective: Objective,
        micro_batch_tokens: int | None = None,
    ) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        tokens = micro_batch_tokens or MICRO_BATCH_TOKENS[self._device.type]
        self._batches = [objective.collate(batch) for batch in micro_batches(examples, tokens=tokens)]
        self._loss = objective.loss
        self._parameters = list(parameters)
        self._sizes = [weight.numel() for weight in self._parameters]
        self.items = sum(batch["items"] for batch in self._batches)
        self.dimension = sum(self._sizes)
        self.products = 0

    def value(self) -> float:
        """The loss, without derivatives."""
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
        items = torch.tensor(self.items, device=self._device)
        for batch in self._batches:
            yield self._loss(self._model, batch, items)

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
