"""How far the gradients of several tasks point the same way at one checkpoint."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GradientOverlap:
    """The gradients of the losses of several tasks at one checkpoint, by their scalar products.

    It has no interval: the values are those of these examples.

    Attributes:
        tasks: whose losses they are, in order.
        losses: of each task, in nats a token.
        products: the scalar product of each two gradients, a row a task; on the diagonal the squared norms.
        examples: of each task.
    """

    tasks: tuple[str, ...]
    losses: tuple[float, ...]
    products: tuple[tuple[float, ...], ...]
    examples: tuple[int, ...]

    def cosine(self, task: str, other: str) -> float:
        """Of the angle between the gradients of two tasks; 1 where a step for one is one for the other, -1 against it.

        Undefined:
            NaN where a gradient is 0.
        """
        row, column = self.tasks.index(task), self.tasks.index(other)
        scale = math.sqrt(self.products[row][row] * self.products[column][column])
        return self.products[row][column] / scale if scale else math.nan

    def loss(self, task: str) -> float:
        """Of a task, in nats a token."""
        return self.losses[self.tasks.index(task)]

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold."""
        return {
            "tasks": list(self.tasks),
            "losses": list(self.losses),
            "products": [list(row) for row in self.products],
            "examples": list(self.examples),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "GradientOverlap":
        """What `to_dict` wrote."""
        products = tuple(map(tuple, plain["products"]))
        return cls(tuple(plain["tasks"]), tuple(plain["losses"]), products, tuple(plain["examples"]))
