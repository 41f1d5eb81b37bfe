"""Which nodes of a plan still have to be computed, found by walking back from missing scores and curvatures."""

from chaintune.study.nodes import CurvatureNode, Node, ScoreNode, StageNode
from chaintune.study.plan import Plan
from chaintune.study.store import Store


class Needs:
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

    def give_up(self, key: str) -> None:
        """A node that failed or cannot be reached needs nothing any more."""
        self._hopeless.add(key)

    def scored(self, node: ScoreNode | CurvatureNode) -> bool:
        """Whether the scores, or the curvature, are in the store, undamaged."""
        if node.key not in self._seen and self._store.get(node.kind, node.key) is not None:
            self._seen.add(node.key)
        return node.key in self._seen

    def checkpoint(self, key: str) -> bool:
        """Whether anything that is missing reads this checkpoint: scores of its own, or a missing child."""
        if any(node.key not in self._hopeless and not self.scored(node) for node in self._scores.get(key, ())):
            return True
        return any(self.stage(child) for child in self._children.get(key, ()))

    def stage(self, node: StageNode) -> bool:
        """Whether a stage has to be trained: it is missing, and something that is missing reads it."""
        if node.key in self._hopeless or self._store.has(node.kind, node.key):
            return False
        return self.checkpoint(node.key)

    def pending(self) -> list[Node]:
        """Every node that a run would compute now, in the plan's order."""
        return [
            node
            for node in self._plan.nodes
            if (not self.scored(node) if not isinstance(node, StageNode) else self.stage(node))
        ]
