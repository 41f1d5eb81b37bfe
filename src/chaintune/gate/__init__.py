"""Judges whether two checkpoints, or several, keep a policy's budgets, without torch."""

from chaintune.gate.judge import PolicyOn, judge, judge_series
from chaintune.gate.policy import Budget, Policy, read_policy

__all__ = ["Budget", "Policy", "PolicyOn", "judge", "judge_series", "read_policy"]
