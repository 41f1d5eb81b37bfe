"""What computes a node: which device, how much of it, and which versions. Rates are kept apart by the device."""

import math
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import distributions
from itertools import pairwise
from typing import Any

from chaintune.records import canonical_digest

CPU, ANY_GPU = "cpu", "gpu"
_NOTE = "ran_on"


@dataclass(frozen=True, slots=True)
class Gpu:
    """What the maker's data sheet says of a GPU: 10^12 operations a second of dense matrix products, and gigabytes.

    Attributes:
        bf16: of bf16 with sums in fp32, without structured sparsity, which data sheets count double.
        fp32: of fp32.
        memory_gb: infinite where it is sold with several.
    """

    bf16: float
    fp32: float
    memory_gb: float = math.inf

    def operations(self, precision: str) -> float:
        """Operations a second at a precision of the weights."""
        return (self.bf16 if precision == "bf16" else self.fp32) * 1e12


# Source: the data sheets of A10, A30, A40, A100, L4, L40S, H100 (SXM, PCIe), H200, HGX B200, RTX A6000 (NVIDIA) and
# MI300X (AMD); of RTX 3090 and 4090 NVIDIA's papers on the architectures GA102 and Ada.
GPUS: Mapping[str, Gpu] = {
    "a10": Gpu(125, 31.2, 24),
    "a30": Gpu(165, 10.3, 24),
    "a40": Gpu(149.7, 37.4, 48),
    "a100": Gpu(312, 19.5),
    "a6000": Gpu(154.8, 38.7, 48),
    "b200": Gpu(2250, 75, 180),
    "h100": Gpu(989, 67, 80),
    "h100pcie": Gpu(756, 51, 80),
    "h200": Gpu(989, 67, 141),
    "l4": Gpu(121, 30.3, 24),
    "l40s": Gpu(362, 91.6, 48),
    "mi300x": Gpu(1307, 163.4, 192),
    "rtx3090": Gpu(71, 35.6, 24),
    "rtx4090": Gpu(165, 82.6, 24),
}


@dataclass(frozen=True, slots=True)
class Hardware:
    """Cores of a CPU, or GPUs.

    Attributes:
        device: `cpu`, a GPU's name, or `gpu` for one of any name.
        units: cores, or GPUs; of a GPU that is shared, the part.
    """

    device: str
    units: float

    def is_like(self, other: "Hardware") -> bool:
        """Whether both are of one device, however much of it."""
        if ANY_GPU in {self.device, other.device}:
            return CPU not in {self.device, other.device}
        return gpu_name(self.device) == gpu_name(other.device)

    def note(self) -> dict[str, Any]:
        """What is noted of it with a finished node."""
        return {_NOTE: asdict(self)}


@cache
def gpu_name(device: str) -> str:
    """The name in `GPUS` of a device; itself where it is none of them.

    Example:
        >>> gpu_name("NVIDIA H100 80GB HBM3"), gpu_name("NVIDIA GeForce RTX 4090"), gpu_name("NVIDIA L40")
        ('h100', 'rtx4090', 'NVIDIA L40')
    """
    words = re.findall(r"[a-z0-9]+", device.lower())
    pairs = ["".join(pair) for pair in pairwise(words)]
    return next((name for name in (*pairs, *words) if name in GPUS), device)


def this_hardware(devices: int = 1) -> Hardware:
    """What so many processes of this machine compute with."""
    import torch  # a plan's cluster is described without it

    from chaintune.models.precision import default_device

    device = default_device()
    if device.type == "cuda":
        return Hardware(torch.cuda.get_device_name(device), devices)
    return Hardware(device.type, torch.get_num_threads() if devices == 1 else devices * threads_a_process(devices))


def threads_a_process(devices: int) -> int:
    """Of several processes that compute together on a CPU."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return int(threads) if threads.isdigit() else max(1, (os.cpu_count() or 1) // devices)


def hardware_of(info: Mapping[str, Any]) -> Hardware | None:
    """The hardware that a finished node ran on; None where its entry does not say."""
    match info.get(_NOTE):
        case {"device": str(device), "units": int() | float() as units} if units > 0:
            return Hardware(device, float(units))
    return None


def worker_note(info: Mapping[str, Any], *, cpus: float, gpus: float) -> dict[str, Any]:
    """The note of a node that ran on a part of a machine: how large the part is, and not what the process saw."""
    hardware = hardware_of(info)
    units = gpus if hardware and hardware.device != CPU else cpus
    return Hardware(hardware.device, units).note() if hardware and units else {}


def environment_digest() -> str:
    """Digest of this machine's system, its Python, and the version of every package that is installed beside us."""
    packages = dict(installed_packages(tuple(sys.path)))
    return canonical_digest([platform.platform(), platform.machine(), platform.python_version(), packages])


@cache
def installed_packages(_path: tuple[str, ...]) -> Mapping[str, str]:
    """Name -> version of every package that is installed in the folders of a path; each has a file to be read."""
    about = [dist.metadata for dist in distributions()]
    return dict(sorted((one["Name"], one["Version"]) for one in about if one["Name"]))
