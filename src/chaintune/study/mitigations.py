"""Which mitigations a study file may ask for, and what each takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, create_model

from chaintune.config.source import KeyPath, Source
from chaintune.config.validation import Dose, Names, Real, Spec, Whole, as_list, as_shown, check
from chaintune.errors import nearest
from chaintune.records import Who
from chaintune.study.chains import Chain
from chaintune.study.schema import check_recipe

Positive = Annotated[Real, Field(gt=0), as_shown]
Fraction = Annotated[Real, Field(ge=0, le=1), as_shown]
Inside = Annotated[Real, Field(gt=0, lt=1), as_shown]
Several = Field(min_length=1)


class MitigationSpec(Spec):
    """What every mitigation says.

    Attributes:
        task: that is learned, lost later, and should come back.
        recipe: fields in which the stages with the mitigation differ from those without.
    """

    task: str
    recipe: dict[str, Any] = Field(default_factory=dict)

    varied: ClassVar[str] = ""

    @property
    def settings(self) -> tuple[tuple[str, Any], ...]:
        """Name and value of what is varied, one branch of the graph each."""
        values = getattr(self, self.varied) if self.varied else (None,)
        return tuple((self.varied, value) for value in values)


class DoseSpec(MitigationSpec):
    """Some of the lost task's training data, taught again.

    Attributes:
        dose: fractions of it.
        who: which examples make the dose.
        by: dimension of the groups, where `who` asks for groups.
    """

    dose: Annotated[list[Dose], Several, as_list] = Field(default_factory=lambda: [0.01, 0.02, 0.05, 0.1, 0.25])
    who: Who = "uniform"
    by: str | None = None

    varied: ClassVar[str] = "dose"


class ReplaySpec(DoseSpec):
    """Taught in a stage of their own, after the loss."""


class RehearseSpec(DoseSpec):
    """Swapped in for rows of the stages that would cause the loss."""


class JointSpec(MitigationSpec):
    """All tasks of the chain taught at once."""


class InterpolateSpec(MitigationSpec):
    """Weights between those before and those after the loss.

    Attributes:
        toward: the checkpoint that learned the task last, or the base.
        fraction: of the way back.
    """

    toward: Literal["trained", "base"] = "trained"
    fraction: Annotated[list[Fraction], Several, as_list] = Field(default_factory=lambda: [0.25, 0.5, 0.75])

    varied: ClassVar[str] = "fraction"


class L2spSpec(MitigationSpec):
    """A pull to the weights before the stage."""

    strength: Annotated[list[Positive], Several, as_list]

    varied: ClassVar[str] = "strength"


class EwcSpec(L2spSpec):
    """A pull to the weights before the stage, stronger where the lost task needs them.

    Attributes:
        examples: of the task, that tell what it needs.
    """

    examples: Annotated[Whole, Field(ge=1)] = 128


class SamSpec(MitigationSpec):
    """Gradients at the worst point within a distance."""

    rho: Annotated[list[Positive], Several, as_list] = Field(default_factory=lambda: [0.05])

    varied: ClassVar[str] = "rho"


class EmaSpec(MitigationSpec):
    """The average of the weights along the stage."""

    decay: Annotated[list[Inside], Several, as_list] = Field(default_factory=lambda: [0.99])

    varied: ClassVar[str] = "decay"


class FreezeSpec(MitigationSpec):
    """Parts of the model that stay as they are."""

    parts: Annotated[Names, Several]

    varied: ClassVar[str] = "parts"

    @property
    def settings(self) -> tuple[tuple[str, Any], ...]:
        """All parts together are one setting."""
        return (("parts", tuple(self.parts)),)


class OsfSpec(MitigationSpec):
    """Steps orthogonal to the largest directions of each weight matrix.

    Attributes:
        rank: share of the directions that are kept.
    """

    rank: Annotated[list[Inside], Several, as_list] = Field(default_factory=lambda: [0.5])

    varied: ClassVar[str] = "rank"


SPECS: Mapping[str, type[MitigationSpec]] = {
    "replay": ReplaySpec,
    "rehearse": RehearseSpec,
    "joint": JointSpec,
    "interpolate": InterpolateSpec,
    "l2sp": L2spSpec,
    "ewc": EwcSpec,
    "sam": SamSpec,
    "ema": EmaSpec,
    "freeze": FreezeSpec,
    "osf": OsfSpec,
}
_optional: dict[str, Any] = {kind: (spec | None, None) for kind, spec in SPECS.items()}
_Item = create_model("_Item", __base__=Spec, **_optional)


@dataclass(frozen=True, slots=True)
class Mitigation:
    """One item of `mitigations`: its kind and what it says, recipe fields checked."""

    kind: str
    spec: MitigationSpec

    @property
    def task(self) -> str:
        """That is learned, lost later, and should come back."""
        return self.spec.task

    @property
    def who(self) -> str:
        """` balanced by category` and the like; empty where examples are drawn alike, or none are taught."""
        if not isinstance(self.spec, DoseSpec) or self.spec.who == "uniform":
            return ""
        return f" {self.spec.who}" + (f" by {self.spec.by}" if self.spec.by else "")

    @property
    def ladder(self) -> str:
        """What it shares with its kin of other doses or strengths: `replay balanced by category`."""
        toward = " toward base" if isinstance(self.spec, InterpolateSpec) and self.spec.toward == "base" else ""
        return f"{self.kind}{self.who}{toward}"


def read_mitigations(source: Source, tasks: Sequence[str], chains: Sequence[Chain]) -> list[Mitigation]:
    """The mitigations of a study file; problems are noted.

    Args:
        source: of the study file.
        tasks: names of the study's tasks.
        chains: as read; empty when something is wrong with them.
    """
    written = source.data.get("mitigations")
    found: list[Mitigation] = []
    for index, item in enumerate(written if isinstance(written, list) else []):
        at: KeyPath = ("mitigations", index)
        if (spec := check(_Item, item, at, source)) is None:
            continue
        kinds = [kind for kind in SPECS if getattr(spec, kind) is not None]
        if len(kinds) != 1:
            source.report(at, f"expected one mitigation, got {', '.join(kinds) or 'none'}; write each as its own item")
            continue
        kind = kinds[0]
        mitigation = Mitigation(kind, _checked(getattr(spec, kind), (*at, kind), tasks, chains, source))
        _check_new(mitigation, found, at, source)
        found.append(mitigation)
    return found


def was_lost(task: str, chain: Chain) -> bool:
    """Whether a chain learns a task and ends with another."""
    return task in chain and chain[-1] != task


def _checked(
    spec: MitigationSpec, at: KeyPath, tasks: Sequence[str], chains: Sequence[Chain], source: Source
) -> MitigationSpec:
    """A mitigation of a task that some chain learns and then trains away from."""
    if spec.task not in tasks:
        source.report((*at, "task"), f"no task is named '{spec.task}'; {nearest(spec.task, tasks)}")
    elif chains and not any(was_lost(spec.task, chain) for chain in chains):
        source.report(
            (*at, "task"), f"no chain learns '{spec.task}' and then another task, so there is nothing to bring back"
        )
    values = [value for _, value in spec.settings]
    for index, value in enumerate(values):
        if value in values[:index]:
            source.report((*at, spec.settings[0][0], index), f"{value!r} is listed twice")
    if isinstance(spec, DoseSpec) and spec.who == "uniform" and spec.by is not None:
        source.report((*at, "by"), "changes nothing without 'who: balanced' or 'who: targeted'")
    return spec.model_copy(update={"recipe": check_recipe(spec.recipe, (*at, "recipe"), source)})


def _check_new(mitigation: Mitigation, found: Sequence[Mitigation], at: KeyPath, source: Source) -> None:
    """Two items must not give one name to two checkpoints."""
    kin = [one for one in found if (one.ladder, one.task) == (mitigation.ladder, mitigation.task)]
    for name, value in mitigation.spec.settings:
        if any((name, value) in one.spec.settings for one in kin):
            what = f"{name} {_plain(value)} of '{mitigation.task}'" if name else f"'{mitigation.task}'"
            source.report(at, f"{mitigation.kind}: {what} is asked for by an earlier item too")
            return


def _plain(value: Any) -> str:
    return "+".join(value) if isinstance(value, tuple) else f"{value:g}"
