"""What an objective is: which targets it takes, what of them is read, and the loss of a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from chaintune.records import Example, Recipe

if TYPE_CHECKING:  # a study file that names an objective is read without torch
    import torch
    from transformers import PreTrainedTokenizerBase

    from chaintune.models.loading import LoadedModel


class Tokenized(Protocol):
    """One example as a stage reads it; an objective adds what its loss needs."""

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """The token sequences that are read, at least one; each has to fit the model's context."""
        ...


class Loss(Protocol):
    """The loss of a micro-batch."""

    def __call__(
        self, model: Any, batch: dict[str, Any], items: "torch.Tensor | None" = None, *, wrapped: Any = None
    ) -> "torch.Tensor":
        """Summed over the micro-batch, and divided by the items of the whole step.

        Args:
            model: a causal language model of transformers, or a PEFT model around one.
            batch: of `collate`; it may lie on another device.
            items: of the whole step; None is those of the micro-batch.
            wrapped: what to call in the model's place, such as DDP around it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Everything that chaintune knows about one objective; its name is that of the registry.

    Attributes:
        targets: classes of targets that it takes.
        encode: what is read of each example, in the order given.
        collate: a micro-batch for `loss`. `tokens`, how many are read, and `items`, over how many of a step the loss is
            a mean, are ints; an empty micro-batch has none of both.
        loss: of a micro-batch.
        collate_tree: the same with what the examples begin with alike computed once, its `labels` the predicted tokens;
            None cannot.
        prepare: adds what the loss needs of the model before the stage, such as a reference's log-probabilities; all
            processes that a model is spread over ask it together.
        has_reference: whether the loss is held against the log-probabilities that the model before the stage gives both
            answers of preferences. Where they are measured already, `encode` finds both in an example's `extra`, under
            `reference`; `prepare` computes the others.
        configured: the objective as a recipe's settings have it; None is the same under every recipe.
    """

    targets: tuple[type, ...]
    encode: "Callable[[PreTrainedTokenizerBase, Sequence[Example]], Sequence[Any]]"
    collate: Callable[[Sequence[Any]], dict[str, Any]]
    loss: Loss
    collate_tree: Callable[[Sequence[Any]], dict[str, Any]] | None = None
    prepare: "Callable[[LoadedModel, Sequence[Any]], Sequence[Any]] | None" = None
    has_reference: bool = False
    configured: "Callable[[Recipe], Objective] | None" = None
