"""A checkpoint and a task in; `Scores` out."""

from chaintune.scoring.score import score

__all__ = ["score"]
