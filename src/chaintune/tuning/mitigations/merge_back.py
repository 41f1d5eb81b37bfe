"""Merge back: what the lost task had changed of the weights is merged into the later checkpoint. Nothing is trained.

Use when: the base, the checkpoint that knew the task and the later one are at hand, and training is not: a sweep costs
only its scorings. What a checkpoint learned is its task vector, its weights minus the base's. `task_arithmetic` adds
the lost task's vector once more; `ties` merges it with the later checkpoint's, of each the largest entries, and where
the signs differ only those of the sign that has more weight, each entry counted by its vector's share.

On your own models: `merge_back(after, trained, 0.5, base=base)`, all of one architecture, adapters merged.

Source:
    Ilharco et al. 2022, Editing models with task arithmetic, arXiv:2212.04089; Yadav et al. 2023, TIES-Merging,
    arXiv:2306.01708, with each matrix trimmed by itself and weights in the mean of what agrees, as mergekit has both.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from chaintune.config.validation import Dose, as_list
from chaintune.errors import ConfigError
from chaintune.tuning.mitigations.interpolate import check_alike
from chaintune.tuning.mitigations.mitigation import Mitigation
from chaintune.tuning.mitigations.specs import BetweenSpec, Fraction, Several, as_text

if TYPE_CHECKING:  # a study file that names a mitigation is read without torch
    import torch

Method = Literal["task_arithmetic", "ties"]


class MergeBackSpec(BetweenSpec):
    """Task vectors merged.

    Attributes:
        toward: the checkpoint that learned the task last.
        fraction: of `task_arithmetic`, how much of the lost task's vector is added; of `ties`, its share in the mean.
        method: how.
        density: share of each matrix's entries that `ties` keeps.
    """

    toward: Literal["trained"] = "trained"
    fraction: Annotated[list[Fraction], Several, as_list] = Field(default_factory=lambda: [0.25, 0.5, 0.75])
    method: Method = "task_arithmetic"
    density: Dose = 0.2

    varied: ClassVar[str] = "fraction"

    @property
    def suffix(self) -> str:
        """` ties`, with its density where that is not the usual one."""
        if self.method == "task_arithmetic":
            return ""
        usual = type(self).model_fields["density"].default
        return " ties" + (f" at density {as_text(self.density)}" if self.density != usual else "")

    @property
    def merge_options(self) -> dict[str, Any]:
        """The method, and what it reads."""
        return {"method": self.method} | ({"density": self.density} if self.method == "ties" else {})

    @property
    def reads_base(self) -> bool:
        """Task vectors begin at the base."""
        return True

    def label(self, _name: str, value: Any) -> str:
        """The fraction: `50% of bbq merged back ties`."""
        return f"{value * 100:.6g}% of {self.task} merged back{self.suffix}"


def merge_back(
    model: Any, trained: Any, fraction: float, *, base: Any, method: Method = "task_arithmetic", density: float = 0.2
) -> None:
    """Merge what a checkpoint learned into a model, in place.

    With `t = trained - base` and `m = model - base`: by `task_arithmetic` the weights become `model + fraction * t`;
    by `ties` they become `base` plus the mean of the trimmed `m` and `t`, weighed `1 - fraction` and `fraction`, over
    those of the two whose sign is that of their weighed sum.

    Args:
        model: changed in place.
        trained: the checkpoint that knew the task.
        fraction: in [0, 1].
        base: from which both come.
        method: which of the two.
        density: share of each matrix's entries, the largest, that `ties` keeps.

    Raises:
        ConfigError: the fraction or the density lies outside its range.
        ModelError: the three have different weights.
    """
    if not 0 <= fraction <= 1 or not 0 < density <= 1:
        raise ConfigError(
            f"merge_back: expected a fraction from 0 to 1 and a density above 0 and at most 1, got {fraction:g} and "
            f"{density:g}"
        )
    mine, theirs, start = (dict(one.named_parameters()) for one in (model, trained, base))
    check_alike(mine, theirs, "merge_back")
    check_alike(mine, start, "merge_back")
    if method == "task_arithmetic" and fraction == 0:
        return
    for name, weight in mine.items():
        here, origin = weight.detach(), start[name].detach().to(weight.device).float()
        lost, own = theirs[name].detach().to(weight.device).float() - origin, here.float() - origin
        if method == "task_arithmetic":
            here.copy_(origin + own + fraction * lost)
        else:
            here.copy_(origin + ties([own, lost], [1 - fraction, fraction], density=density))


def ties(vectors: "list[torch.Tensor]", weights: list[float], *, density: float) -> "torch.Tensor":
    """One task vector of several: trimmed, a sign elected for each entry, and the mean of those that have it.

    Args:
        vectors: of one shape.
        weights: of each in the election and in the mean.
        density: share of the entries, the largest, that are kept of each; at least one is.
    """
    import torch

    trimmed = torch.stack([_largest(vector, density) for vector in vectors])  # [S, ...]
    shares = torch.tensor(weights, device=trimmed.device).reshape(-1, *([1] * vectors[0].dim()))
    sign = torch.where((trimmed * shares).sum(dim=0) >= 0, 1.0, -1.0)
    shares = shares * (trimmed.sign() == sign)
    total = shares.sum(dim=0)
    return (trimmed * shares).sum(dim=0) / torch.where(total > 0, total, 1.0)


def _largest(vector: "torch.Tensor", density: float) -> "torch.Tensor":
    """A vector with all but its largest entries at 0."""
    import torch

    count = max(1, int(density * vector.numel()))
    kept = torch.zeros_like(vector).flatten()
    places = vector.flatten().abs().topk(count).indices
    kept[places] = vector.flatten()[places]
    return kept.reshape(vector.shape)


MITIGATION = Mitigation(spec=MergeBackSpec, place="between checkpoints", merge=merge_back, own_trainer="merge_back")
