"""What a study file says about a mitigation, beside what is its own."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from chaintune.config.validation import Dose, Names, Real, Spec, Whole, as_list, as_name, as_shown
from chaintune.records import Who

Positive = Annotated[Real, Field(gt=0), as_shown]
Fraction = Annotated[Real, Field(ge=0, le=1), as_shown]
Inside = Annotated[Real, Field(gt=0, lt=1), as_shown]
Several = Field(min_length=1)


def _as_name_or_none(value: Any) -> Any:
    return None if value is None else as_name(value)


class MitigationSpec(Spec):
    """The keys of every mitigation.

    Attributes:
        task: that is learned, lost later, and should come back.
        recipe: fields in which the stages with the mitigation differ from those without.
        untaught: act on chains that never teach the task too; its loss is then counted from the base.
        varied: name of the field whose values are branches of their own; empty where there is one branch.
    """

    task: Annotated[str, BeforeValidator(as_name)]
    recipe: dict[str, Any] = Field(default_factory=dict)
    untaught: bool = False

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

    @property
    def needs_old_data(self) -> bool:
        """Whether it takes examples of the task."""
        return self.protected_examples > 0

    @property
    def rows_a_step(self) -> int:
        """Rows that each step reads beside those of the stage."""
        return 0

    @property
    def bytes_a_token(self) -> int:
        """Memory that it holds throughout the stage for each token of the examples that it looks at."""
        return 0

    def is_nothing(self, _value: Any) -> bool:
        """Whether the chain with it, at one value of what is varied, is the chain without it."""
        return False

    def label(self, name: str, value: Any) -> str:
        """One branch in a chain's name: `ewc 100`."""
        return f"{name} {as_text(value)}" if self.varied else name

    def options(self, value: Any) -> dict[str, Any]:
        """One branch as the options of `Mitigation.apply`: every field of its own, what is varied at one value."""
        own = self.model_dump(exclude=set(MitigationSpec.model_fields))
        return own | ({self.varied: value} if self.varied else {})


class DoseSpec(MitigationSpec):
    """Some of the lost task's training data, taught again.

    Attributes:
        dose: fractions of it.
        who: which examples make the dose: `uniform` draws them alike, `balanced` and `targeted` go by groups,
            `hardest`, `most_forgotten` and `representative` by each example's score before and after the loss.
        by: dimension of the groups, where `who` asks for groups.
    """

    dose: Annotated[list[Dose], Several, as_list] = Field(default_factory=lambda: [0.01, 0.02, 0.05, 0.1, 0.25])
    who: Who = "uniform"
    by: str | None = None

    varied: ClassVar[str] = "dose"

    @property
    def suffix(self) -> str:
        """` balanced by category` and the like; empty where examples are drawn alike."""
        return self.dose_suffix

    @property
    def dose_suffix(self) -> str:
        """The same, of which examples make the dose."""
        return "" if self.who == "uniform" else f" {self.who}" + (f" by {self.by}" if self.by else "")

    @property
    def needs_old_data(self) -> bool:
        """A dose is of the task's examples."""
        return True

    def label(self, _name: str, value: Any) -> str:
        """The dose: `bbq@5% balanced by category`."""
        return f"{self.task}@{value * 100:.6g}%{self.suffix}"


class AnswersSpec(MitigationSpec):
    """Answers that the checkpoint before the loss gives itself, in the place of those that the data has.

    Of an example with choices that is the choice which it finds likeliest, of any other prompt the text that it writes.

    Attributes:
        prompts: task whose training prompts are answered; None is the lost task, also where that is named.
        keep: outcomes of the answers that are taken, of the first scorer of that task; none takes all.
        max_new_tokens: of a text; one that does not end before is not taken.
    """

    prompts: Annotated[str | None, BeforeValidator(_as_name_or_none)] = None
    keep: Names = Field(default_factory=list)
    max_new_tokens: Annotated[Whole, Field(ge=1, le=1_000_000)] = 256

    @field_validator("prompts")
    @classmethod
    def _none_for_the_task_itself(cls, prompts: str | None, told: ValidationInfo) -> str | None:
        return None if prompts == told.data.get("task") else prompts

    @property
    def answers_suffix(self) -> str:
        """` to own-prompts`, ` kept refused`, and of how many tokens where that is not the usual number."""
        usual = AnswersSpec.model_fields["max_new_tokens"].default
        parts = [f" to {self.prompts}"] if self.prompts else []
        parts += [f" kept {'+'.join(self.keep)}"] if self.keep else []
        parts += [f" within {self.max_new_tokens}"] if self.max_new_tokens != usual else []
        return "".join(parts)

    @property
    def drawn_at(self) -> float:
        """The temperature at which texts are drawn; at 0 each token is the likeliest."""
        return 0.0

    @property
    def needs_old_data(self) -> bool:
        """Prompts of the task are data of the task; those of another are not."""
        return self.prompts is None


class BetweenSpec(MitigationSpec):
    """Weights between those after the loss and an earlier checkpoint's.

    Attributes:
        toward: the checkpoint that learned the task last, or the base.
    """

    toward: Literal["trained", "base"] = "trained"

    @property
    def merge_options(self) -> dict[str, Any]:
        """What `merge` takes beside the two models and the value of what is varied, by name."""
        return {}

    @property
    def reads_base(self) -> bool:
        """Whether `merge` takes the base as well, as `base`."""
        return False

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
