"""What a job asks of a machine: cores, GPUs, memory."""

from collections.abc import Callable
from dataclasses import dataclass

from chaintune.plan.nodes import Node
from chaintune.plan.plan import Plan

_GB = 10**9


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """Cores, GPUs or a part of one, bytes of memory."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: float = 0.0

    def __str__(self) -> str:
        memory = f", {self.memory_bytes / _GB:g} GB of memory" if self.memory_bytes else ""
        return f"{self.cpus:g} cores, {self.gpus:g} GPUs{memory}"


def requests_of(plan: Plan, *, any_gpu: bool) -> Callable[[Node], ResourceRequest]:
    """What each job of a plan asks for, by its recipe or its checkpoint's; a GPU a device where a cluster has any."""
    requests: dict[str, ResourceRequest] = {}
    for stage in plan.stages:
        requests[stage.key] = ResourceRequest(
            cpus=stage.resources.cpus or float(stage.devices),
            gpus=_gpus(stage.resources.gpus, stage.devices, any_gpu=any_gpu),
            memory_bytes=stage.resources.memory_gb * _GB,
        )
        requests.setdefault(stage.base_key, requests[stage.key])  # a base is scored as its first child is trained

    def request(node: Node) -> ResourceRequest:
        default = ResourceRequest(cpus=float(node.devices), gpus=float(node.devices * any_gpu))
        return requests.get(node.held_key, default)

    return request


def _gpus(gpus: float, devices: int, *, any_gpu: bool) -> float:
    """GPUs of a stage: what its recipe says, and never fewer than it has processes, if it has several."""
    several = devices if devices > 1 else 0
    return float(max(gpus, several)) if gpus else float(devices * any_gpu)
