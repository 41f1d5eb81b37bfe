"""Which nodes of a plan still have to be computed: walks back from missing scores and curvatures."""

from collections.abc import Collection

from chaintune.plan.nodes import Node, StageNode
from chaintune.plan.plan import Plan
from chaintune.store.store import Store
from chaintune.study.study import Keep


def pending_nodes(plan: Plan, store: Store, *, keep: Keep | None = None) -> list[Node]:
    """Every node that a run would compute now, in the plan's order.

    A measurement is pending if it is not in the store undamaged; a checkpoint only if something that is pending reads
    it, or if it is kept and was changed since it was made.

    Args:
        plan: of a study.
        store: where finished work lies.
        keep: which checkpoints stay; None is what the plan says.
    """
    transient = plan.transient_keys(keep)
    pending: list[Node] = []
    inputs: set[str] = set()
    for node in reversed(plan.nodes):  # what reads a checkpoint stands behind what makes it
        if _is_pending(node, store, inputs=inputs, transient=transient):
            pending.append(node)
            inputs.update(node.parents)
    return pending[::-1]


def _is_pending(node: Node, store: Store, *, inputs: Collection[str], transient: Collection[str]) -> bool:
    if not isinstance(node, StageNode):
        return store.get(node.kind, node.key) is None
    if node.key in inputs:
        return store.peek(node.kind, node.key) is None
    return node.key not in transient and store.is_damaged(node.kind, node.key)
