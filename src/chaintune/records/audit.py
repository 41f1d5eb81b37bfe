"""Models scored on the same examples and compared, task by task."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chaintune.errors import require
from chaintune.records.comparison import Comparison
from chaintune.records.gate import Gate
from chaintune.records.scores import Scores
from chaintune.shown import Shown

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

# What the provenance of scores says of them as `chat`, where the examples were turns, or could have been.
RENDERED, UNUSED = "on", "unused"


class Compared(Shown):
    """Comparisons and what a policy says of them, as data and as tables."""

    __slots__ = ()
    comparisons: tuple[Comparison, ...]
    gate: Gate | None

    def to_dict(self) -> dict[str, Any]:
        """Nested plain data that JSON can hold; what is undefined is None. The scores are left out."""
        comparisons = [comparison.to_dict() for comparison in self.comparisons]
        return {"comparisons": comparisons, "gate": self.gate.to_dict() if self.gate else None}

    def to_polars(self) -> "pl.DataFrame":
        """One row a group of each task and pair, as `Comparison.to_polars` has them."""
        import polars as pl  # not needed to compare, only to hand over a frame

        return pl.concat([comparison.to_polars() for comparison in self.comparisons], how="vertical_relaxed")

    def to_pandas(self) -> "pd.DataFrame":
        """The table of `to_polars` for pandas."""
        require("pandas frames", "pandas")
        import pandas as pd

        return pd.DataFrame(self.to_polars().to_dicts())


@dataclass(frozen=True, slots=True, eq=False)
class Audit(Compared):
    """What was forgotten between two models, and by whom.

    Attributes:
        comparisons: one a task, in the order in which the tasks were named.
        gate: what a policy says of them; None without one.
        before, after: task -> scores of each model.
    """

    comparisons: tuple[Comparison, ...]
    gate: Gate | None
    before: Mapping[str, Scores]
    after: Mapping[str, Scores]


def template_unused(tasks: Sequence[str], models: Sequence[str] = ()) -> str:
    """The sentence that models, or the one at hand, were asked without their chat template, and what to write."""
    named = f"{', '.join(models)} {'has' if len(models) == 1 else 'have'}" if models else "the model has"
    return (
        f"{named} a chat template, and {', '.join(tasks)} {'was' if len(tasks) == 1 else 'were'} asked as plain text; "
        "--chat on ('chat: on' in a study, chat='on' in Python) asks as a chat model is served, --chat both both ways, "
        "--chat off is silent"
    )


def served_caution(asked: Collection[str], judges: Collection[str] = ()) -> str:
    """The sentences of what is not known of models that are served; empty where none is.

    Args:
        asked: identities of those that were measured.
        judges: identities of those that judged texts.
    """
    said = [("Answers", one) for one in dict.fromkeys(asked)] + [("Verdicts", one) for one in dict.fromkeys(judges)]
    return " ".join(
        f"{what} are those of '{one}', which is served, so that nobody can check whose weights gave them; what was "
        "asked before under this address and name is not asked again: serve other weights under another name."
        for what, one in said
    )
