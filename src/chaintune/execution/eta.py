"""How long a run will still take, from what it has done so far."""

import time
from collections import Counter
from collections.abc import Iterable

from chaintune.execution.events import Event
from chaintune.plan.nodes import External, Node, StageNode


class Eta:
    """Time per token of each kind of node, of this run; `note` takes up its events.

    Args:
        nodes: of the plan; those that the run does not compute are reused before any other begins.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._remaining = {node.key: node for node in nodes}
        self._microseconds = Counter[str]()
        self._tokens = Counter[str]()
        self._started: dict[str, float] = {}

    def note(self, event: Event) -> None:
        """Take up one event of the run."""
        node = event.node
        if event.kind == "start":
            self._started[node.key] = time.monotonic()
        elif event.kind in {"made", "reused", "failed", "skipped"}:
            self._remaining.pop(node.key, None)
            started = self._started.pop(node.key, None)
            if event.kind == "made" and started is not None:
                self._microseconds[_sort(node)] += round((time.monotonic() - started) * 1e6)
                self._tokens[_sort(node)] += _work(node)

    def seconds_left(self) -> float | None:
        """Tokens that are left over the rates of this run so far; None before there is a rate for each kind.

        As many nodes as are at work now are taken to be at work until the end.
        """
        tokens_left = Counter[str]()
        for node in self._remaining.values():
            tokens_left[_sort(node)] += _work(node)
        if any(not self._tokens[kind] for kind in tokens_left):
            return None
        alone = sum(
            self._microseconds[kind] / 1e6 * tokens / self._tokens[kind] for kind, tokens in tokens_left.items()
        )
        return alone / max(len(self._started), 1)


def _sort(node: Node) -> str:
    """What nodes share whose time is told from each other's; what another program does is like nothing of ours."""
    return "external" if isinstance(node, StageNode) and isinstance(node.operation, External) else node.kind


def _work(node: Node) -> int:
    """Tokens of a node; nodes that were not counted are taken to be alike."""
    return node.tokens or 1
