"""A cluster in words, `8 h100` or `8 gpu 80GB`: what it has, and whether a plan's recipes fit."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from chaintune.errors import ConfigError, nearest
from chaintune.execution.hardware import ANY_GPU, CPU, GPUS, Hardware
from chaintune.execution.requests import ResourceRequest
from chaintune.plan.nodes import DataMix, Node, StageNode
from chaintune.plan.plan import Plan

_NAMES = "|".join(sorted(GPUS, key=len, reverse=True))
_WORD = re.compile(rf"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<word>(?:{_NAMES})s?\b|[A-Za-z]+)\s*,?", re.IGNORECASE)
_OTHER_NAME = re.compile(r"\d+\s+([A-Za-z]+\d\w*)")
_COUNTED = {"node": "nodes", "machine": "nodes", "gpu": "gpus", "cpu": "cpus", "core": "cpus"}
_SIZES = {"GB": 1e9, "TB": 1e12, "GIB": 2.0**30, "TIB": 2.0**40}
_FLOPS = {"TFLOPS": 1e12, "PFLOPS": 1e15}
_WORDS = (
    "write '8 h100', '8 gpu 80GB', '2 node 4 a100 80GB', '8 gpu 400TFLOPS' or '16 cpu 64GB'; a size is that of each "
    "GPU, or of a node's memory"
)
_STORED_BYTES = {"bf16": 2, "fp32": 4}
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Cluster:
    """Machines that are alike.

    Attributes:
        machines: how many.
        cpus, gpus, memory_bytes: of each machine; infinite where the words do not say.
        gpu_bytes: memory of each GPU; infinite where the words do not say.
        gpu: name of the GPU, one of `GPUS`, or `gpu`.
        gpu_operations: that each does a second, as the words say; NaN where they do not.
    """

    machines: int
    cpus: float
    gpus: float
    memory_bytes: float
    gpu_bytes: float = math.inf
    gpu: str = ANY_GPU
    gpu_operations: float = math.nan

    @property
    def has_gpus(self) -> bool:
        """Whether it is counted in GPUs, not in cores."""
        return self.gpus > 0

    @property
    def units(self) -> int:
        """GPUs, or cores where there is no GPU."""
        return round(self.machines * (self.gpus or self.cpus))

    def units_of(self, request: ResourceRequest) -> float:
        """How many of them a request is for."""
        return request.gpus if self.has_gpus else request.cpus

    @property
    def hardware(self) -> Hardware:
        """One of its GPUs, or of its cores."""
        return Hardware(self.gpu if self.has_gpus else CPU, 1)

    def hardware_of(self, request: ResourceRequest) -> Hardware:
        """Hardware that serves a request."""
        return replace(self.hardware, units=self.units_of(request))

    def operations(self, precision: str) -> tuple[float, str]:
        """Operations a second of one of its GPUs at a precision, and who says so; NaN where nobody does."""
        if not math.isnan(self.gpu_operations):
            return self.gpu_operations, "the rate that --cluster names"
        if self.gpu not in GPUS:
            return math.nan, ""
        return GPUS[self.gpu].operations(precision), f"the {precision} rate in the data sheet of {self.gpu.upper()}"

    def memory_for(self, request: ResourceRequest) -> float:
        """Bytes of the GPUs that are requested, or of a machine where none are."""
        return self.gpu_bytes * request.gpus if request.gpus else self.memory_bytes

    def free(self) -> list[list[float]]:
        """Cores, GPUs and memory of each machine, to be taken from."""
        return [[self.cpus, self.gpus, self.memory_bytes] for _ in range(self.machines)]

    def __str__(self) -> str:
        unit = (self.gpu.upper() if self.gpu in GPUS else "GPU") if self.has_gpus else "core"
        each = f" of {self.gpu_bytes / 1e9:g} GB" if self.has_gpus and math.isfinite(self.gpu_bytes) else ""
        on = f" on {self.machines} nodes" if self.machines > 1 else ""
        return f"{self.units} {unit}{'s' if self.units > 1 else ''}{each}{on}"


def fits(request: ResourceRequest, free: list[float]) -> bool:
    """Whether what is free of a machine serves a request."""
    return all(available + _SLACK >= requested for available, requested in zip(free, amounts(request), strict=True))


def amounts(request: ResourceRequest) -> tuple[float, float, float]:
    """What a request takes of a machine: cores, GPUs, memory. No part of a GPU stretches over two: 0.6 fills one."""
    gpus = 1 / int(1 / request.gpus + _SLACK) if 0 < request.gpus < 1 else request.gpus
    return request.cpus, gpus, request.memory_bytes


def read_cluster(text: str) -> Cluster:
    """The cluster that words describe, as in `8 h100`, `2 node 4 gpu 80GB` or `16 cpu`.

    Raises:
        ConfigError: they describe none.
    """
    words, gpu = _words_of(text)
    counts = [words[name] for name in ("nodes", "gpus", "cpus") if name in words]
    if not {"gpus", "cpus"} & words.keys() or any(count < 1 or count % 1 for count in counts):
        raise ConfigError(f"--cluster: {text!r} has no whole number of GPUs or cores; {_WORDS}")
    return Cluster(
        machines=int(words.get("nodes", 1)),
        cpus=words.get("cpus", math.inf),
        gpus=words.get("gpus", 0.0),
        memory_bytes=words.get("bytes of cpus", math.inf),
        gpu_bytes=words.get("bytes of gpus", GPUS[gpu].memory_gb * 1e9 if gpu in GPUS else math.inf),
        gpu=gpu,
        gpu_operations=words.get("operations of gpus", math.nan),
    )


def _words_of(text: str) -> tuple[Mapping[str, float], str]:
    """What is counted -> how many, `bytes of` and `operations of` it -> what is said right after it; the GPU's name."""
    words: dict[str, float] = {}
    place, last, gpu = 0, "", ANY_GPU
    while text[place:].strip():
        match = _WORD.match(text, place)
        word = match["word"] if match else ""
        singular = word.lower() if word.lower() in GPUS else word.lower().removesuffix("s")
        name = "gpus" if singular in GPUS else _COUNTED.get(singular, "")
        if word.upper() in _SIZES and last in {"gpus", "cpus"}:
            name = f"bytes of {last}"
        if word.upper() in _FLOPS and last == "gpus":
            name = "operations of gpus"
        if match is None or not name or name in words:
            other = _OTHER_NAME.match(text[place:].strip())
            known = f"of GPUs known by name {nearest(other[1].lower(), GPUS, limit=20)}; " if other else ""
            of = f" of {text!r}" if text[:place].strip() else ""
            raise ConfigError(f"--cluster: cannot read {text[place:].strip()!r}{of}; {known}{_WORDS}")
        words[name] = float(match["number"]) * (_SIZES | _FLOPS).get(word.upper(), 1.0)
        gpu = singular if singular in GPUS else gpu
        place, last = match.end(), name if " of " not in name else last
    return words, gpu


def check_fits(
    plan: Plan,
    cluster: Cluster,
    *,
    request_of: Callable[[Node], ResourceRequest],
    weights: Mapping[str, int],
    precision: str,
) -> None:
    """Refuse a cluster on which a job could never run.

    Raises:
        ConfigError: a job asks for more than a machine has, or a stage's weights take more than its GPUs have.
    """
    machine = cluster.free()[0]
    for node in plan.nodes:
        request = request_of(node)
        if not fits(request, machine):
            raise ConfigError(
                f"--cluster: no node of {cluster} has what '{node.title}' asks for, {request}; ask for less with "
                "recipe.devices, recipe.gpus, recipe.cpus or recipe.memory_gb, or take larger nodes"
            )
        needed, memory = least_bytes(node, weights[node.base], precision), cluster.memory_for(request)
        if needed > memory:
            raise ConfigError(
                f"--cluster: '{node.title}' takes {needed / 1e9:,.1f} GB or more for {weights[node.base]:,} weights "
                f"and what tuning adds to them, and asks for {request}, which have {memory / 1e9:,.1f} GB on "
                f"{cluster}; raise recipe.devices, or tune with method lora"
            )


def least_bytes(node: Node, weights: int, precision: str) -> int:
    """Weights, gradients and the optimizer's state; of anything but full tuning by us the weights alone."""
    stored = _STORED_BYTES[precision]
    if not isinstance(node, StageNode) or not isinstance(node.operation, DataMix):
        return weights * stored
    return weights * node.recipe.weight_bytes(stored)
