"""How long the pending jobs of a plan take on a cluster: a list schedule, jobs first in the plan first. Pure."""

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from chaintune.execution.cluster_spec import Cluster, amounts, fits
from chaintune.execution.requests import ResourceRequest
from chaintune.plan.nodes import Node, StageNode
from chaintune.plan.plan import Plan, Readers
from chaintune.records.amounts import plain


@dataclass(frozen=True, slots=True)
class Makespan:
    """The pending jobs of a plan on a cluster.

    Attributes:
        cluster: in words.
        makespan_seconds: from the first start to the last end, NaN where a job's time is not known; starting workers,
            loading and saving are not counted.
        unit: `gpu` or `core`.
        unit_hours: GPUs, or cores where there is no GPU, times the hours that jobs hold them.
        disk_bytes: the most that checkpoints take at any one time.
    """

    cluster: str
    makespan_seconds: float
    unit: str
    unit_hours: float
    disk_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `plan --cluster --json` prints it; None for what is not known."""
        own: dict[str, Any] = plain(self)
        return own


def makespan(
    plan: Plan,
    cluster: Cluster,
    *,
    pending: Sequence[Node],
    seconds: Callable[[Node], float],
    request_of: Callable[[Node], ResourceRequest],
    present: Collection[str] = (),
) -> Makespan:
    """The list schedule of a plan: whenever something ends, each job that can start does so where there is room.

    Args:
        plan: of a study.
        cluster: on which every job fits.
        pending: jobs to run, in the plan's order.
        seconds: that a job takes on what it asks for.
        request_of: what it asks for.
        present: keys of checkpoints that are in the store already.
    """
    jobs = {job.key: job for job in pending}
    place = {key: index for index, key in enumerate(jobs)}
    graph = TopologicalSorter({key: set(job.reads) & jobs.keys() for key, job in jobs.items()})
    graph.prepare()
    disk = _Disk(plan, pending, present)
    free, running, ready = cluster.free(), list[tuple[float, int, str, int]](), list[str]()
    now = busy = 0.0
    while graph.is_active():
        ready = sorted([*ready, *graph.get_ready()], key=place.__getitem__)
        waiting = []
        for key in ready:
            request = request_of(jobs[key])
            machine = next((index for index, amounts_free in enumerate(free) if fits(request, amounts_free)), None)
            if machine is None:
                waiting.append(key)
                continue
            _take(free[machine], request, -1)
            took = seconds(jobs[key])
            busy += took * cluster.units_of(request)
            heapq.heappush(running, (now + took, place[key], key, machine))
        ready = waiting
        now, _, key, machine = heapq.heappop(running)
        _take(free[machine], request_of(jobs[key]), 1)
        disk.end(jobs[key])
        graph.done(key)
    unit = "gpu" if cluster.has_gpus else "core"
    return Makespan(str(cluster), now, unit, busy / 3600, disk.most_bytes)


def _take(free: list[float], request: ResourceRequest, sign: int) -> None:
    for index, amount in enumerate(amounts(request)):
        free[index] += sign * amount


class _Disk:
    """What checkpoints take while jobs end one after another."""

    def __init__(self, plan: Plan, pending: Sequence[Node], present: Collection[str]) -> None:
        self._sizes = plan.stage_bytes
        self._readers = Readers(pending, plan.transient_keys())
        self._checkpoint_bytes = {key: self._sizes.get(key, 0) for key in present if not self._readers.may_go(key)}
        self.most_bytes = sum(self._checkpoint_bytes.values())

    def end(self, job: Node) -> None:
        if isinstance(job, StageNode):
            self._checkpoint_bytes[job.key] = self._sizes.get(job.key, 0)
            self.most_bytes = max(self.most_bytes, sum(self._checkpoint_bytes.values()))
        for key in self._readers.end(job):
            self._checkpoint_bytes.pop(key, None)
