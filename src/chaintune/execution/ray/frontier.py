"""Which nodes of a graph can start, and which of them first. Pure: nothing runs here."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from chaintune.plan.nodes import Node, StageNode

# Training reads a token forwards and backwards.
_TRAINING_FACTOR = 3


def usual_cost(node: Node) -> float:
    """Work of a node against others: its tokens, those of training three times; nodes nobody counted are alike."""
    factor = _TRAINING_FACTOR if isinstance(node, StageNode) else 1
    return factor * float(node.tokens or 1)


class Frontier:
    """The nodes still to be computed, each ready as soon as nothing that it reads is among them.

    A node is urgent if the longest path of nodes behind it takes as long as everything that is left takes on all
    workers: to let it wait may make the run longer, so urgent nodes come first, the longest path before others. All
    others keep the plan's order, which goes into depth: checkpoints are read soon, and may go soon.

    Args:
        todo: the nodes to compute, in the plan's order; what else they read is there already.
        cost: seconds, or any measure of work, of one node.
    """

    def __init__(self, todo: Sequence[Node], *, cost: Callable[[Node], float] = usual_cost) -> None:
        self._cost = cost
        self._todo = {node.key: node for node in todo}
        self._taken: set[str] = set()
        self._place = {key: place for place, key in enumerate(self._todo)}
        self._look_ahead()

    def __len__(self) -> int:
        """How many nodes are not finished."""
        return len(self._todo)

    def ready(self, urgent: Collection[str] = ()) -> list[Node]:
        """The nodes that can start now, the urgent ones first.

        Args:
            urgent: keys of the nodes that cannot wait.
        """

        def order(node: Node) -> tuple[bool, float, int]:
            path = self._behind[node.key] if node.key in urgent else 0.0
            return node.key not in urgent, -path, self._place[node.key]

        return sorted(self._ready.values(), key=order)

    def urgent(self, workers: int) -> frozenset[str]:
        """Keys of the nodes that can start now and cannot wait without making the run longer.

        Args:
            workers: how many there can be at once.
        """
        share = self._left / max(workers, 1)
        return frozenset(key for key in self._ready if self._behind[key] >= share)

    def work_behind(self, key: str) -> float:
        """Cost of a node and of the longest path of nodes after it."""
        return self._behind[key]

    def take(self, key: str) -> None:
        """A node has started."""
        self._taken.add(key)
        self._ready.pop(key, None)

    def put_back(self, key: str) -> None:
        """A node that had started has to start again."""
        self._taken.discard(key)
        self._let_start(key)

    def add(self, node: Node) -> None:
        """One node more has to be computed; what reads it waits for it."""
        self._todo.setdefault(node.key, node)
        self._place.setdefault(node.key, -1)
        self._look_ahead()

    def finish(self, key: str) -> None:
        """A node's result is there."""
        self._taken.discard(key)
        self._ready.pop(key, None)
        if (node := self._todo.pop(key, None)) is None:
            return
        self._left -= self._cost(node)
        for reader in self._readers.get(key, ()):
            self._missing[reader] -= 1
            self._let_start(reader)

    def mark_failed(self, key: str) -> list[Node]:
        """A node cannot be had: it and everything that reads it goes; the latter, in the plan's order."""
        lost, following = {key}, [key]
        while following:
            found = [reader for reader in self._readers.get(following.pop(), ()) if reader not in lost]
            lost.update(found)
            following += found
        gone = [node for other, node in self._todo.items() if other in lost and other != key]
        for other in lost:
            self.finish(other)
        return gone

    def _look_ahead(self) -> None:
        self._readers = readers_of(self._todo.values())
        self._behind = _work_behind(list(self._todo.values()), self._readers, self._cost)
        self._left = sum(map(self._cost, self._todo.values()))
        self._missing = Counter(reader for key in self._todo for reader in self._readers.get(key, ()))
        self._ready: dict[str, Node] = {}
        for key in self._todo:
            self._let_start(key)

    def _let_start(self, key: str) -> None:
        """A node is ready if it is neither done nor at work, and nothing that it reads is missing."""
        if key in self._todo and key not in self._taken and not self._missing[key]:
            self._ready[key] = self._todo[key]


def place(
    ready: Sequence[Node],
    idle: Mapping[str, tuple[str, str]],
    *,
    fits: Callable[[Node, str], bool],
    urgent: Collection[str] = (),
) -> list[tuple[Node, str]]:
    """Who computes what, as far as there are idle workers.

    Urgent nodes choose first, where they have least to load. Then each worker goes on with what it has in memory, and
    what is left goes to whom is left.

    Args:
        ready: nodes, the most urgent first.
        idle: name of each idle worker -> keys of the checkpoint and of the base that it has in memory; empty for none.
        fits: whether a worker has what a node asks for.
        urgent: keys of the nodes that cannot wait.
    """
    free, wanted = dict(idle), {key for node in ready for key in node.reads}
    placed: dict[str, tuple[Node, str]] = {}

    def serve(nodes: Iterable[Node], *, at_hand: bool = False) -> None:
        for node in nodes:
            suited = [name for name in free if fits(node, name) and (not at_hand or free[name][0] in node.reads)]
            if suited and node.key not in placed:
                best = min(suited, key=lambda name: _loading(node, *free[name], wanted))
                placed[node.key] = (node, best)
                del free[best]

    serve(node for node in ready if node.key in urgent)
    serve(ready, at_hand=True)
    serve(ready)
    return list(placed.values())


def _loading(node: Node, checkpoint: str, base: str, wanted: set[str]) -> tuple[bool, bool, bool]:
    """Least first: the checkpoint is there; its base is there; nothing is there that another node wants."""
    here = checkpoint in node.reads
    return not here, base != node.base_key, checkpoint in wanted


def readers_of(nodes: Iterable[Node]) -> dict[str, list[str]]:
    """Key of each checkpoint, and of scores that stages read -> keys of the nodes that read it."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        for key in node.reads:
            found.setdefault(key, []).append(node.key)
    return found


def _work_behind(
    nodes: Sequence[Node], readers: Mapping[str, Sequence[str]], cost: Callable[[Node], float]
) -> dict[str, float]:
    """Cost of every node and of the longest path after it, without recursion: a chain may be long."""
    own = {node.key: cost(node) for node in nodes}
    found: dict[str, float] = {}
    waiting = [node.key for node in nodes]
    while waiting:
        key = waiting[-1]
        missing = [reader for reader in readers.get(key, ()) if reader not in found]
        if key in found or not missing:
            waiting.pop()
            found[key] = own[key] + max((found[reader] for reader in readers.get(key, ())), default=0.0)
        else:
            waiting += missing
    return found
