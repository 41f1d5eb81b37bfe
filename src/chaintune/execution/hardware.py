"""What computes a node: which device, how much of it, and which versions. Rates are kept apart by the device."""

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import distributions
from typing import Any

from chaintune.records import canonical_digest

CPU, ANY_GPU = "cpu", "gpu"
_NOTE = "ran_on"


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
        return self.device == other.device

    def note(self) -> dict[str, Any]:
        """What is noted of it with a finished node."""
        return {_NOTE: asdict(self)}


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
