"""Budgets in, and whether two checkpoints keep them. No torch."""

from chaintune.gate.judge import judge
from chaintune.gate.policy import Budget, Policy, read_policy

__all__ = ["Budget", "Policy", "judge", "read_policy"]
