"""Which nodes of a plan still have to be computed, found by walking back from missing scores and curvatures."""

from chaintune.plan.nodes import CurvatureNode, Node, ScoreNode, StageNode
from chaintune.plan.plan import Plan
from chaintune.store.store import Store


class PendingWork:
    """A look at the store with the eyes of a plan. Scores once seen are remembered, checkpoints are not."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan, self._store = plan, store
        self._seen: set[str] = set()
        self._hopeless: set[str] = set()
        self._children: dict[str, list[StageNode]] = {}
        self._scores: dict[str, list[ScoreNode | CurvatureNode]] = {}
        for node in plan.nodes:
            if isinstance(node, StageNode):
                for parent in node.parents:
                    self._children.setdefault(parent, []).append(node)
            else:
                self._scores.setdefault(node.checkpoint_key, []).append(node)

    def mark_failed(self, key: str) -> None:
        """A node that failed or cannot be reached needs nothing any more."""
        self._hopeless.add(key)

    def scored(self, node: ScoreNode | CurvatureNode) -> bool:
        """Whether the scores, or the curvature, are in the store, undamaged."""
        if node.key not in self._seen and self._store.get(node.kind, node.key) is not None:
            self._seen.add(node.key)
        return node.key in self._seen

    def stage(self, stage: StageNode) -> bool:
        """Whether a stage has to be trained: it is missing, and something that is missing reads it."""
        if self._is_settled(stage):
            return False
        waiting, seen = [stage.key], {stage.key}  # without recursion: a chain may be long
        while waiting:
            key = waiting.pop()
            if any(node.key not in self._hopeless and not self.scored(node) for node in self._scores.get(key, ())):
                return True
            missing = {child.key for child in self._children.get(key, ()) if not self._is_settled(child)} - seen
            seen |= missing
            waiting += missing
        return False

    def pending(self) -> list[Node]:
        """Every node that a run would compute now, in the plan's order."""
        found: list[Node] = []
        read: set[str] = set()
        for node in reversed(self._plan.nodes):  # what reads a checkpoint stands behind what makes it
            if isinstance(node, StageNode):
                if node.key in read and not self._is_settled(node):
                    found.append(node)
                    read.update(node.parents)
            elif not self.scored(node):
                found.append(node)
                if node.key not in self._hopeless:
                    read.add(node.checkpoint_key)
        return found[::-1]

    def _is_settled(self, node: StageNode) -> bool:
        """Whether a checkpoint is there or cannot be had."""
        return node.key in self._hopeless or self._store.has(node.kind, node.key)
