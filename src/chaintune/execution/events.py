"""What happens in a run: results, progress, events."""

import math
from dataclasses import dataclass
from typing import Literal

from chaintune.plan.nodes import Node

ResultKind = Literal["made", "reused", "failed", "skipped"]
EventKind = Literal["start", "progress", "dropped"] | ResultKind


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one node.

    Attributes:
        kind: `made`; `reused`, because it was in the store or because nothing that was missing needs it; `failed`;
            `skipped`, because something that it reads failed.
        node: that has ended.
        cause: of `failed` and `skipped`.
    """

    kind: ResultKind
    node: Node
    cause: str = ""

    @property
    def first_cause(self) -> str:
        """The cause that the descendants of a node without an entry are skipped with."""
        return f"'{self.node.title}' failed: {self.cause}" if self.kind == "failed" else self.cause


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one node is.

    Attributes:
        node: that is being trained or scored.
        done, total: of `unit`; a total of 0 is not known.
        unit: `tokens`, `steps`, `examples`, `texts` or `verdicts`.
        rate: tokens a second in training and writing, else of `unit` a second; NaN while there is none.
        seconds_left: of this node; NaN if not known.
    """

    node: Node
    done: float
    total: float
    unit: str = "tokens"
    rate: float = math.nan
    seconds_left: float = math.nan


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a node.

    Attributes:
        kind: `start`, again where its worker was lost; `progress`; then that of its result; `dropped` when its
            checkpoint was removed.
        progress: with `progress` only.
        cause: with `failed` and `skipped` only.
    """

    kind: EventKind
    node: Node
    progress: Progress | None = None
    cause: str = ""
