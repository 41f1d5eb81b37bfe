"""Judges whether two checkpoints keep a policy's budgets, without torch."""

from chaintune.gate.judge import judge
from chaintune.gate.policy import Budget, Policy, read_policy

__all__ = ["Budget", "Policy", "judge", "read_policy"]
