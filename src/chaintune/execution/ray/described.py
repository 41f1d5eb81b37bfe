"""A cluster in words, `8 gpu 80GB`: what it has, and whether a plan's recipes fit."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from chaintune.errors import ConfigError
from chaintune.execution.hardware import ANY_GPU, CPU, Hardware
from chaintune.execution.ray.pool import Ask, Machine, Pool
from chaintune.plan.nodes import Interpolation, Node, StageNode
from chaintune.plan.plan import Plan

_WORD = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<word>[A-Za-z]+)\s*,?")
_COUNTED = {"node": "nodes", "machine": "nodes", "gpu": "gpus", "cpu": "cpus", "core": "cpus"}
_SIZES = {"GB": 1e9, "TB": 1e12, "GIB": 2.0**30, "TIB": 2.0**40}
_WORDS = "write '8 gpu 80GB', '2 node 4 gpu 80GB' or '16 cpu 64GB'; a size is that of each GPU, or of a node's memory"
_STORED_BYTES = {"bf16": 2, "fp32": 4}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Machines that are alike.

    Attributes:
        machines: with infinitely much of what nobody said.
        gpu_bytes: memory of each GPU; infinite when nobody said.
    """

    machines: tuple[Machine, ...]
    gpu_bytes: float = math.inf

    @property
    def has_gpus(self) -> bool:
        """Whether it is counted in GPUs, not in cores."""
        return any(machine.gpus for machine in self.machines)

    @property
    def units(self) -> int:
        """GPUs, or cores where there is no GPU."""
        return round(sum(machine.gpus or machine.cpus for machine in self.machines))

    def units_of(self, ask: Ask) -> float:
        """How many of them are asked for."""
        return ask.gpus if self.has_gpus else ask.cpus

    def hardware_of(self, ask: Ask) -> Hardware:
        """What computes a node that asks for so much; of a GPU nobody said the name."""
        return Hardware(ANY_GPU if self.has_gpus else CPU, self.units_of(ask))

    def power_of(self, ask: Ask, *, threads: int) -> float:
        """How many times as fast as this machine what is asked for is taken to be.

        Args:
            ask: GPUs, each taken to be as fast as this machine, or cores, each as fast as one of its own.
            threads: that this machine computes with.
        """
        return ask.gpus if self.has_gpus else ask.cpus / threads

    def memory_for(self, ask: Ask) -> float:
        """Bytes of the GPUs that are asked for, or of a machine where none are."""
        return self.gpu_bytes * ask.gpus if ask.gpus else max(machine.memory_bytes for machine in self.machines)

    def first(self, units: int) -> "Cluster":
        """The cluster with as many GPUs, or cores, taken machine by machine."""
        kept, left = [], units
        for machine in self.machines:
            here = min(left, round(machine.gpus or machine.cpus))
            if here:
                kept.append(replace(machine, gpus=here) if machine.gpus else replace(machine, cpus=here))
            left -= here
        return replace(self, machines=tuple(kept))

    def can_ever(self, ask: Ask) -> bool:
        """Whether some machine, empty, has what is asked for."""
        return Pool(self.machines).can_ever(ask)

    def __str__(self) -> str:
        what = "GPU" if self.has_gpus else "core"
        each = f" of {self.gpu_bytes / 1e9:g} GB" if self.has_gpus and math.isfinite(self.gpu_bytes) else ""
        on = f" on {len(self.machines)} nodes" if len(self.machines) > 1 else ""
        return f"{self.units} {what}{'s' if self.units > 1 else ''}{each}{on}"


def read_cluster(text: str) -> Cluster:
    """The cluster that words describe, as in `8 gpu 80GB`, `2 node 4 gpu 80GB` or `16 cpu`.

    Raises:
        ConfigError: they describe none.
    """
    found = _words_of(text)
    counts = [found[name] for name in ("nodes", "gpus", "cpus") if name in found]
    if not {"gpus", "cpus"} & found.keys() or any(count < 1 or count % 1 for count in counts):
        raise ConfigError(f"--cluster: {text!r} has no whole number of GPUs or cores; {_WORDS}")
    gpus = found.get("gpus", 0.0)
    machine = Machine("", found.get("cpus", math.inf), gpus, found.get("bytes of cpus", math.inf))
    nodes = range(1, int(found.get("nodes", 1)) + 1)
    return Cluster(tuple(replace(machine, name=f"node {n}") for n in nodes), found.get("bytes of gpus", math.inf))


def _words_of(text: str) -> Mapping[str, float]:
    """What is counted -> how many, `bytes of` it -> the size said right after it."""
    found: dict[str, float] = {}
    place, last = 0, ""
    while text[place:].strip():
        match = _WORD.match(text, place)
        word = match["word"] if match else ""
        name = _COUNTED.get(word.lower().removesuffix("s"), "")
        if word.upper() in _SIZES and last in {"gpus", "cpus"}:
            name = f"bytes of {last}"
        if match is None or not name or name in found:
            raise ConfigError(f"--cluster: cannot read {text[place:].strip()!r} of {text!r}; {_WORDS}")
        found[name] = float(match["number"]) * _SIZES.get(word.upper(), 1.0)
        place, last = match.end(), name
    return found


def check_fits(
    plan: Plan, cluster: Cluster, *, ask: Callable[[Node], Ask], weights: Mapping[str, int], precision: str
) -> None:
    """Refuse a cluster on which a node could never run.

    Args:
        plan: of a study.
        cluster: that should run it.
        ask: what a node asks for.
        weights: name of each base -> how many it has.
        precision: of their weights.

    Raises:
        ConfigError: a node asks for more than a machine has, or a stage's weights take more than its GPUs have.
    """
    for node in plan.nodes:
        wanted = ask(node)
        if not cluster.can_ever(wanted):
            raise ConfigError(
                f"--cluster: no node of {cluster} has what '{node.title}' asks for, {wanted}; ask for less with "
                "recipe.devices, recipe.gpus, recipe.cpus or recipe.memory_gb, or take larger nodes"
            )
        taken, there = _least_bytes(node, weights[node.base], precision), cluster.memory_for(wanted)
        if taken > there:
            raise ConfigError(
                f"--cluster: '{node.title}' takes {taken / 1e9:,.1f} GB or more for {weights[node.base]:,} weights and "
                f"what tuning adds to them, and asks for {wanted}, which have {there / 1e9:,.1f} GB on {cluster}; "
                "raise recipe.devices, or tune with method lora"
            )


def _least_bytes(node: Node, weights: int, precision: str) -> int:
    """Weights, gradients and the optimizer's state; of anything but full tuning the weights alone."""
    stored = _STORED_BYTES[precision]
    if not isinstance(node, StageNode) or isinstance(node.operation, Interpolation):
        return weights * stored
    return weights * node.recipe.weight_bytes(stored)
