"""A checkpoint and a task in; `Scores` out."""

from chaintune.scoring.score import Engine, score

__all__ = ["Engine", "score"]
