"""What a study file says about a mitigation, beside what is its own."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from chaintune.config.validation import Dose, Real, Spec, as_list, as_name, as_shown
from chaintune.records import Who

Positive = Annotated[Real, Field(gt=0), as_shown]
Fraction = Annotated[Real, Field(ge=0, le=1), as_shown]
Inside = Annotated[Real, Field(gt=0, lt=1), as_shown]
Several = Field(min_length=1)


class MitigationSpec(Spec):
    """The keys of every mitigation.

    Attributes:
        task: that is learned, lost later, and should come back.
        recipe: fields in which the stages with the mitigation differ from those without.
        varied: name of the field whose values are branches of their own; empty where there is one branch.
    """

    task: Annotated[str, BeforeValidator(as_name)]
    recipe: dict[str, Any] = Field(default_factory=dict)

    varied: ClassVar[str] = ""

    @property
    def settings(self) -> tuple[tuple[str, Any], ...]:
        """Name and value of what is varied, one branch of the graph each."""
        values = getattr(self, self.varied) if self.varied else (None,)
        return tuple((self.varied, value) for value in values)

    @property
    def suffix(self) -> str:
        """The part of a name that distinguishes two items of one mitigation: ` balanced by category`."""
        return ""

    @property
    def protected_examples(self) -> int:
        """The number of examples of the task that it reads while another is taught."""
        return 0

    def label(self, name: str, value: Any) -> str:
        """One branch in a chain's name: `ewc 100`.

        Args:
            name: of the mitigation.
            value: of what is varied; None where nothing is.
        """
        return f"{name} {as_text(value)}" if self.varied else name

    def options(self, value: Any) -> dict[str, Any]:
        """One branch as the options of `Mitigation.apply`: every field of its own, what is varied at one value."""
        own = self.model_dump(exclude=set(MitigationSpec.model_fields))
        return own | ({self.varied: value} if self.varied else {})


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

    @property
    def suffix(self) -> str:
        """` balanced by category` and the like; empty where examples are drawn alike."""
        return "" if self.who == "uniform" else f" {self.who}" + (f" by {self.by}" if self.by else "")

    def label(self, _name: str, value: Any) -> str:
        """The dose: `bbq@5% balanced by category`."""
        return f"{self.task}@{value * 100:.6g}%{self.suffix}"


class BetweenSpec(MitigationSpec):
    """Weights between those after the loss and an earlier checkpoint's.

    Attributes:
        toward: the checkpoint that learned the task last, or the base.
    """

    toward: Literal["trained", "base"] = "trained"

    @property
    def suffix(self) -> str:
        """` toward base`; empty where it is the usual checkpoint."""
        return " toward base" if self.toward == "base" else ""

    def label(self, name: str, value: Any) -> str:
        """Such as `50% back to bbq`."""
        return f"{super().label(name, value)}{self.suffix or f' toward {self.task}'}"


def as_text(value: Any) -> str:
    """A value of what is varied, as names and tables show it: `2e-05`, `lora`, `q_proj+v_proj`.

    Example:
        >>> as_text(0.05), as_text(("embed_tokens", "layers.0")), as_text({"peft_type": "OFT", "r": 0})
        ('0.05', 'embed_tokens+layers.0', 'peft_type:OFT+r:0')
    """
    if isinstance(value, dict):
        return "+".join(f"{name}:{as_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return "+".join(map(as_text, value))
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
