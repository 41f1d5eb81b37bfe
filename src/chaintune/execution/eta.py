"""How long a run will still take, from what it has done so far."""

import time
from collections import Counter
from collections.abc import Iterable

from chaintune.execution.events import Event
from chaintune.plan.nodes import Node


class Eta:
    """Time per token of each kind of node, of this run; `note` takes up its events.

    Args:
        nodes: of the plan; those that the run does not compute are reused before any other begins.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._left = {node.key: node for node in nodes}
        self._spent = Counter[str]()
        self._worked = Counter[str]()
        self._began: dict[str, float] = {}

    def note(self, event: Event) -> None:
        """Take up one event of the run."""
        node = event.node
        if event.kind == "start":
            self._began[node.key] = time.monotonic()
        elif event.kind in {"made", "reused", "failed", "skipped"}:
            self._left.pop(node.key, None)
            began = self._began.pop(node.key, None)
            if event.kind == "made" and began is not None:
                self._spent[node.kind] += round((time.monotonic() - began) * 1e6)
                self._worked[node.kind] += _work(node)

    def seconds_left(self) -> float | None:
        """Tokens that are left over the rates of this run so far; None before there is a rate for each kind.

        As many nodes as are at work now are taken to be at work until the end.
        """
        left = Counter[str]()
        for node in self._left.values():
            left[node.kind] += _work(node)
        if any(not self._worked[kind] for kind in left):
            return None
        alone = sum(self._spent[kind] / 1e6 * tokens / self._worked[kind] for kind, tokens in left.items())
        return alone / max(len(self._began), 1)


def _work(node: Node) -> int:
    """Tokens of a node; nodes that were not counted are taken to be alike."""
    return node.tokens or 1
