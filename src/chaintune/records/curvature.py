"""How sharply the loss bends at a checkpoint."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chaintune.records.amounts import number, plain
from chaintune.records.checkpoint import Checkpoint

if TYPE_CHECKING:
    import polars as pl

Space = Literal["full", "lora"]


@dataclass(frozen=True, slots=True)
class Curvature:
    """Both ends of the Hessian's spectrum at a checkpoint, for the loss that tuning minimises on a task.

    It has no interval: the value is that of these examples, and `batch_sd` says how it varies among parts of them.

    Attributes:
        task: whose examples the loss is of.
        space: `full` is every weight, `lora` the adapter's weights alone.
        radius: largest eigenvalue in magnitude; NaN when Lanczos did not converge on it.
        top, bottom: largest and smallest eigenvalue; NaN for an end that did not converge.
        top_residual, bottom_residual: `|Hv - value v|` over the radius; an eigenvalue lies that near to the value.
        batch_radii: the radius on each of several disjoint parts of the examples; empty when none was asked for.
        loss: mean answer loss in nats a token, at the checkpoint on these examples.
        gradient_norm: of that loss; far from 0, the checkpoint is no minimum of it.
        n, n_clusters, answer_tokens: examples, clusters among them, and tokens that the loss is a mean of.
        parameters: dimension of the space.
        products: Hessian-vector products that all of this took.
        seconds: wall time.
        seed: of the choice of examples and of Lanczos's first vector.
        reason: why something is undefined; empty when nothing is.
        provenance: what was measured, text to text.
    """

    task: str
    space: Space
    radius: float
    top: float
    bottom: float
    top_residual: float
    bottom_residual: float
    batch_radii: tuple[float, ...]
    loss: float
    gradient_norm: float
    n: int
    n_clusters: int
    answer_tokens: int
    parameters: int
    products: int
    seconds: float
    seed: int
    reason: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def batch_mean(self) -> float:
        """Mean radius of the parts; NaN without parts. Hardly ever below `radius`: parts bend more than their mean."""
        return float(np.mean(self.batch_radii)) if self.batch_radii else math.nan

    @property
    def batch_sd(self) -> float:
        """Standard deviation of the parts' radii; NaN for fewer than two parts."""
        return float(np.std(self.batch_radii, ddof=1)) if len(self.batch_radii) > 1 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; what is undefined is None."""
        own: dict[str, Any] = plain(self)
        return own | {"batch_mean": plain(self.batch_mean), "batch_sd": plain(self.batch_sd)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Curvature":
        """What `to_dict` wrote."""
        named = {f.name: plain[f.name] for f in fields(cls)}
        named |= {name: number(value) for name, value in named.items()}
        return cls(**named | {"batch_radii": tuple(map(number, named["batch_radii"]))})

    def to_polars(self) -> "pl.DataFrame":
        """One row; without the provenance."""
        import polars as pl

        shown = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "provenance"}
        shown |= {"batch_mean": self.batch_mean, "batch_sd": self.batch_sd, "batch_radii": list(self.batch_radii)}
        return pl.DataFrame([shown], schema_overrides={"batch_radii": pl.List(pl.Float64)})


@dataclass(frozen=True, slots=True)
class CheckpointCurvature:
    """The curvature of one checkpoint of a study, on the task it was last tuned on.

    Attributes:
        checkpoint: with its seed.
    """

    checkpoint: Checkpoint
    curvature: Curvature
