"""Freeze: named parts of the model stay as they are.

Use when: it is known, or to be found out, where the earlier task lives: embeddings, lower layers, norms.

On your own Trainer: `freeze(model, ["embed_tokens", "layers.0"])` before the Trainer is made.

Source:
    Howard and Ruder 2018, Universal language model fine-tuning, section 3.3, for training the upper layers only.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from chaintune.config.validation import Names
from chaintune.errors import StageError, nearest
from chaintune.tuning.mitigations.mitigation import Hook, Mitigation, StageModel
from chaintune.tuning.mitigations.specs import MitigationSpec, Several

if TYPE_CHECKING:  # a study file that names a mitigation is read without torch
    import torch

    from chaintune.models.loading import LoadedModel


class FreezeSpec(MitigationSpec):
    """Parts of the model that stay as they are.

    Attributes:
        parts: pieces of weights' names between dots, with `*` for anything: `embed_tokens`, `layers.*.mlp`.
    """

    parts: Annotated[Names, Several]

    varied: ClassVar[str] = "parts"

    @property
    def settings(self) -> tuple[tuple[str, Any], ...]:
        """All parts together are one setting."""
        return (("parts", tuple(self.parts)),)


def freeze(model: Any, parts: Sequence[str]) -> "list[torch.Tensor]":
    """The weights that were trainable and are frozen now.

    A part is a piece of a weight's name between dots, or several in a row, with `*` for anything: `embed_tokens`,
    `layers.0`, `layers.*.mlp`, `norm`.

    Raises:
        StageError: nothing has a part's name, none of it is trained, or nothing is left to train.
    """
    names = dict(model.named_parameters(remove_duplicate=False))
    for part in parts:
        if not any(_is_in(part, name) for name in names):
            pieces = {piece for name in names for piece in name.split(".") if not piece.isdigit()}
            raise StageError(f"freeze: the model has no part '{part}'; {nearest(part, pieces, limit=30)}")
    chosen = {
        id(weight): weight
        for name, weight in names.items()
        if weight.requires_grad and any(_is_in(part, name) for part in parts)
    }
    if not chosen:
        raise StageError(
            f"freeze: nothing of {', '.join(parts)} is trained, so that it stays as it is anyway; name parts that are, "
            "or take method: full"
        )
    for weight in chosen.values():
        weight.requires_grad_(False)
    if not any(weight.requires_grad for weight in names.values()):
        for weight in chosen.values():
            weight.requires_grad_(True)
        raise StageError(f"freeze: parts {', '.join(parts)} are all there is to train; name fewer")
    return list(chosen.values())


def _is_in(part: str, name: str) -> bool:
    return fnmatchcase(f".{name}.", f"*.{part}.*")


def _apply(stage: StageModel, *, parts: Sequence[str]) -> Hook:
    frozen = freeze(stage.loaded.model, parts)

    def thaw() -> "LoadedModel":
        for weight in frozen:
            weight.requires_grad_(True)
        return stage.loaded

    return Hook(remove=thaw)


MITIGATION = Mitigation(spec=FreezeSpec, place="later stages", apply=_apply, own_trainer="freeze")
