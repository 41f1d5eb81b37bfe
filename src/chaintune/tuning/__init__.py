"""A parent, a task and a recipe in; a checkpoint out."""

from chaintune.tuning.trainer import Step
from chaintune.tuning.tune import Tuned, tune

__all__ = ["Step", "Tuned", "tune"]
