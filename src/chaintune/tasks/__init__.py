"""What is taught and measured: registry, sources, prompts, splits."""

from chaintune.tasks.definition import DataOptions, Pool, TaskDefinition
from chaintune.tasks.description import PowerRow, SplitCounts, TaskDescription, describe, power_rows
from chaintune.tasks.loading import load, sample_test
from chaintune.tasks.registry import is_offensive, names
from chaintune.tasks.sizes import Size

__all__ = [
    "DataOptions",
    "Pool",
    "PowerRow",
    "Size",
    "SplitCounts",
    "TaskDefinition",
    "TaskDescription",
    "describe",
    "is_offensive",
    "load",
    "names",
    "power_rows",
    "sample_test",
]
