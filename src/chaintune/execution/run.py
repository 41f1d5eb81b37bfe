"""Runs a plan over the store: what is pending, what can start, what became of it. Knows nothing of who computes."""

from collections.abc import Collection, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path

from chaintune.execution.compute import MakeEngine
from chaintune.execution.disk_space import check_disk_space
from chaintune.execution.events import Result
from chaintune.execution.executors import Executor, Run, Workers
from chaintune.execution.local import LOCAL
from chaintune.execution.state import OnEvent, RunOutcome, RunState
from chaintune.plan.nodes import Node, StageNode
from chaintune.plan.plan import Plan
from chaintune.records import Task
from chaintune.store.store import Store, is_damaged


def pending_nodes(plan: Plan, store: Store) -> list[Node]:
    """Every node that a run would compute now, in the plan's order.

    A measurement is pending if it is not in the store undamaged; a checkpoint only if something that is pending reads
    it, or if it is kept and was changed since it was made.
    """
    transient = plan.transient_keys()
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
    return node.key not in transient and is_damaged(store, node.kind, node.key)


def run_plan(
    plan: Plan,
    *,
    store: Store,
    engine: MakeEngine,
    tasks: Mapping[str, Task],
    out: Path | None,
    executor: Executor = LOCAL,
    address: str | None = None,
    max_bytes: int | None = None,
    on_event: OnEvent | None = None,
) -> RunOutcome:
    """Compute what the store lacks of a plan; what became of every node.

    A checkpoint is made only when something that is missing depends on it. A stage that fails takes its
    descendants with it and nothing else. Interrupted anywhere, a second call goes on where this one was.

    Args:
        plan: from `compile_plan`.
        store: where finished work lies and goes.
        engine: builds what computes the nodes.
        tasks: name -> task.
        out: folder of the study's results; `status.json` in it shows other processes how far the run is. None
            writes none.
        executor: runs the jobs.
        address: of the executor's cluster.
        max_bytes: that the whole store may take; None allows what the disk holds.
        on_event: called at every event, many times a second.

    Raises:
        ConfigError: the executor cannot run here, or cannot run some job.
        StoreError: the checkpoints do not fit, which is checked before anything is computed; the disk is full, or the
            store cannot be written.
        KeyboardInterrupt: after the journal was closed; nothing half-written is left.
    """
    state = RunState(plan, store, plan.transient_keys())
    with state.leased():  # before anybody looks what is there, so that it stays there
        pending = pending_nodes(plan, store)
        check_disk_space(plan, store, pending, max_bytes=max_bytes)
        with state.opened(pending, out=out, on_event=on_event):
            if pending:
                run = Run(plan, pending, tasks, state.transient_keys, store, engine, state.tell)
                with executor.open(run, address) as workers:
                    _run(state, pending, workers)
    return state.outcome()


def _run(state: RunState, pending: Sequence[Node], workers: Workers) -> None:
    """Give the workers every job as soon as what it reads is there and there is room, those first in the plan first.

    One that another process is making is passed over while there is anything else to do.
    """
    place = {node.key: index for index, node in enumerate(pending)}
    graph = TopologicalSorter({key: set(pending[index].reads) & place.keys() for key, index in place.items()})
    graph.prepare()
    ready: set[int] = set()
    running: set[str] = set()

    def end(results: Sequence[Result]) -> None:
        for result in results:
            state.end(result)
        graph.done(results[-1].node.key)

    while graph.is_active():
        for key in graph.get_ready():
            ready.add(place[key])
        if len(running) < workers.room() and (index := _first(ready, pending, state.store, wait=bool(running))) >= 0:
            ready.remove(index)
            if cause := state.cause_to_skip(pending[index]):
                end([Result("skipped", pending[index], cause)])
            else:
                workers.submit(pending[index])
                running.add(pending[index].key)
            continue
        for results in workers.wait():
            running.discard(results[-1].node.key)
            end(results)


def _first(ready: Collection[int], pending: Sequence[Node], store: Store, *, wait: bool) -> int:
    """The place of the first job that no other process is making; else of the first at all, or -1 to wait."""
    for index in sorted(ready):
        if not store.is_being_made(pending[index].kind, pending[index].key):
            return index
    return -1 if wait else min(ready, default=-1)
