"""What a mitigation is: what it takes, where in a chain it stands, what it needs, and what it does to a stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from chaintune.tuning.mitigations.specs import BetweenSpec, DoseSpec, MitigationSpec

if TYPE_CHECKING:  # a study file that names a mitigation is read without torch
    import torch

    from chaintune.models.loading import LoadedModel
    from chaintune.tuning.objectives.objective import Tokenized

Place = Literal[
    "after the loss", "later stages", "from the learning stage", "instead of the chain", "between checkpoints"
]
Weights = Literal["any", "whole at the start", "whole"]


def _none() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class StageModel:
    """A model that a stage is about to train.

    Attributes:
        loaded: its trainable weights are chosen.
        protected: examples of the task that must not be lost, as many as the mitigation's spec asks for.
        loss: of one example under a model, ready to be differentiated, as the stage's objective has it: in SFT the
            answer's negative log-likelihood in nats.
        rows: inputs of one example each, with `input_ids` and `labels`: of those that are protected, or of all that the
            stage teaches.
        micro_batch_size: examples that a forward pass of the stage has room for.
        seed: of the stage.
    """

    loaded: "LoadedModel"
    protected: "Sequence[Tokenized]"
    loss: "Callable[[Any, Tokenized], torch.Tensor]"
    rows: 'Callable[[Literal["protected", "taught"]], Sequence[Mapping[str, Any]]]'
    micro_batch_size: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """The part of a mitigation in a stage.

    Attributes:
        callbacks: of the Trainer.
        mixin: put before the Trainer's class.
        loaded: what is trained in the model's place.
        remove: called after training, also where it failed; the model as it is to be stored.
        tokens_read: called after training; tokens that were read beside those of the Trainer's batches.
    """

    callbacks: tuple[Any, ...] = ()
    mixin: type | None = None
    loaded: "LoadedModel | None" = None
    remove: "Callable[[], LoadedModel] | None" = None
    tokens_read: Callable[[], int] = _none


@dataclass(frozen=True, slots=True, kw_only=True)
class Mitigation:
    """Everything that chaintune knows about one mitigation; its name is that of the registry.

    Attributes:
        spec: what a study file says about it; a `DoseSpec` teaches some of the lost task's data again.
        place: where in a chain that learns a task and then loses it. `after the loss`: a dose in a stage of its own.
            `later stages`: in every stage after the one that learned the task; a dose is swapped in for their rows.
            `from the learning stage`: there too. `instead of the chain`: one stage on all of its tasks.
            `between checkpoints`: nothing is trained, weights are mixed.
        apply: puts it on a stage; it gets the `StageModel` and the spec's `options` by name. None is for what only
            changes the data or the weights.
        merge: of `between checkpoints`: changes a model in place, given the other model, the value of what is varied,
            the spec's `merge_options` by name, and where it reads the base, that model as `base`.
        weights: `any` works on pieces of the weights too, `whole at the start` looks at them before training begins,
            `whole` needs each on every device throughout.
        own_trainer: name, in the same module, of what goes on a Trainer of your own.
    """

    spec: type[MitigationSpec]
    place: Place
    apply: Callable[..., Hook] | None = None
    merge: Callable[..., None] | None = None
    weights: Weights = "any"
    own_trainer: str = ""

    def __post_init__(self) -> None:
        """Refuse a mitigation that would do nothing.

        Raises:
            TypeError: the spec or the functions do not go with the place.
        """
        if self.place == "between checkpoints":
            complete = issubclass(self.spec, BetweenSpec) and self.merge is not None
        elif self.place == "instead of the chain":
            complete = True
        else:
            alone = self.apply is not None and self.place != "after the loss"
            complete = alone or issubclass(self.spec, DoseSpec)
        if not complete:
            raise TypeError(
                f"{self.spec.__name__}: '{self.place}' does not go with it; between checkpoints takes a BetweenSpec "
                "and 'merge', after the loss a DoseSpec, other stages a DoseSpec or 'apply'"
            )
