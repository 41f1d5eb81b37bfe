"""What is taught and measured: registry, sources, prompts, splits."""

from chaintune.tasks.definition import DataOptions, Pool, TaskDefinition
from chaintune.tasks.description import SplitCounts, TaskDescription, describe
from chaintune.tasks.loading import load, sample_test
from chaintune.tasks.registry import is_offensive, names
from chaintune.tasks.sizes import Size

__all__ = [
    "DataOptions",
    "Pool",
    "Size",
    "SplitCounts",
    "TaskDefinition",
    "TaskDescription",
    "describe",
    "is_offensive",
    "load",
    "names",
    "sample_test",
]
