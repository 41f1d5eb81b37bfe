"""What people say of texts that models wrote, and what that makes of two checkpoints' scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from chaintune.records.examples import canonical_digest
from chaintune.records.results import Estimate

# Column of scores: the label of an example's text, null where it has none.
PEOPLE = "people"
# In the provenance of scores: how many labelled texts the task's file has.
LABELS = "people's labels"


@dataclass(frozen=True, eq=False)
class TextLabels:
    """Labels of texts by people: the score that each text should have, in [0, 1].

    Attributes:
        by_text: example id and text, as `plain_text` has it -> the mean of its labels.
        source: where they come from.
    """

    by_text: Mapping[tuple[str, str], float]
    source: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 hex digest of the labels."""
        return canonical_digest(sorted([*key, value] for key, value in self.by_text.items()))

    def of(self, example_id: str, text: str) -> float | None:
        """The label of a text; None where it has none."""
        return self.by_text.get((example_id, plain_text(text)))


def plain_text(text: str) -> str:
    r"""A text as labels name it: programs that show texts change ends of lines and the blanks around them.

    Example:
        >>> plain_text(" No.\r\n Never. \n")
        'No.\n Never.'
    """
    return "\n".join(text.splitlines()).strip()


@dataclass(frozen=True, slots=True)
class PeopleLabels:
    """A scorer held against people's labels of some of the texts, and estimates that these correct.

    Attributes:
        labels: of texts of the two checkpoints, one that both wrote counted once.
        agreement: share of these texts of which scorer and people say the same; from 1/2 on both mean yes.
        kappa: Cohen's, of the same.
        before, after: mean that labels of all texts would have under each checkpoint; undefined with its reason.
        forgetting: before minus after, the other way round where less is better.
        weights: how much the scorer counts in `before`, `after` and `forgetting`, from 0 to 1.
        unused: labels of the task's file that are of none of these texts.
    """

    labels: int
    agreement: Estimate
    kappa: Estimate
    before: Estimate
    after: Estimate
    forgetting: Estimate
    weights: Mapping[str, float] = field(default_factory=dict)
    unused: int = 0
