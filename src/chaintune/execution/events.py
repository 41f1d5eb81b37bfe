"""What a run tells while it goes on."""

import math
from dataclasses import dataclass
from typing import Literal

from chaintune.plan.nodes import Node

EventKind = Literal["start", "progress", "made", "reused", "failed", "skipped", "dropped", "lost"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one node is.

    Attributes:
        node: that is being trained or scored.
        done, total: of `unit`; a total of 0 is not known.
        unit: `tokens`, `steps` or `examples`.
        rate: tokens a second in training, examples a second in scoring; NaN while there is none.
        seconds_left: of this node; NaN while nobody knows.
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
        kind: `start`, `progress`, then one of `made`, `reused` (it was in the store, or nothing needs
            it), `failed`, `skipped` (an ancestor failed); `dropped` when its checkpoint was removed; `lost` when its
            worker is gone, and it has to start again.
        progress: with `progress` only.
        cause: with `failed`, `skipped` and `lost` only.
    """

    kind: EventKind
    node: Node
    progress: Progress | None = None
    cause: str = ""
