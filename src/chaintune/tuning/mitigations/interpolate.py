"""Interpolate: weights on the straight line between two checkpoints. Nothing is trained.

Use when: both checkpoints are at hand and training is not: a sweep costs only its scorings. It works as far as the
loss stays low along the line, which it does more often the closer the two are.

On your own models: `interpolate(after, before, 0.25)`, both of one architecture, adapters merged.

Source:
    Wortsman et al. 2022, Robust fine-tuning of zero-shot models (WiSE-FT), arXiv:2109.01903.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from chaintune.config.validation import as_list
from chaintune.errors import ConfigError, ModelError
from chaintune.tuning.mitigations.mitigation import Mitigation
from chaintune.tuning.mitigations.specs import BetweenSpec, Fraction, Several

if TYPE_CHECKING:  # a study file that names a mitigation is read without torch
    import torch


class InterpolateSpec(BetweenSpec):
    """Weights on the way back.

    Attributes:
        fraction: of the way.
    """

    fraction: Annotated[list[Fraction], Several, as_list] = Field(default_factory=lambda: [0.25, 0.5, 0.75])

    varied: ClassVar[str] = "fraction"

    def label(self, _name: str, value: Any) -> str:
        """The fraction: `50% back to bbq`."""
        return f"{value * 100:.6g}% back to {self.task if self.toward == 'trained' else 'base'}"


def interpolate(model: Any, other: Any, fraction: float) -> None:
    """Move a model's weights a fraction of the way to another's, in place.

    At 0 and at 1 the weights are bit for bit those of one of the two.

    Args:
        model: changed in place.
        other: of the same architecture.
        fraction: of the way, in [0, 1].

    Raises:
        ConfigError: the fraction lies outside [0, 1].
        ModelError: the two have different weights.
    """
    if not 0 <= fraction <= 1:
        raise ConfigError(f"interpolate: a fraction lies between 0 and 1, got {fraction:g}")
    mine, theirs = dict(model.named_parameters()), dict(other.named_parameters())
    check_alike(mine, theirs, "interpolate")
    if fraction == 0:
        return
    for name, weight in mine.items():
        here, target = weight.detach(), theirs[name].detach().to(weight.device)
        here.copy_(target if fraction == 1 else here.float().lerp(target.float(), fraction))


def check_alike(mine: "dict[str, torch.Tensor]", theirs: "dict[str, torch.Tensor]", what: str) -> None:
    """Refuse weights of two checkpoints that are not of one architecture.

    Raises:
        ModelError: they are not.
    """
    for name in sorted(mine.keys() | theirs.keys()):
        shapes = [list(weights[name].shape) if name in weights else "missing" for weights in (mine, theirs)]
        if shapes[0] != shapes[1]:
            raise ModelError(
                f"{what}: the two checkpoints differ in '{name}': {shapes[0]} and {shapes[1]}; "
                "only checkpoints of one architecture can be mixed"
            )


MITIGATION = Mitigation(spec=InterpolateSpec, place="between checkpoints", merge=interpolate, own_trainer="interpolate")
