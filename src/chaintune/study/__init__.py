"""What is asked: the study file and its schema."""

from chaintune.study.study import Study

__all__ = ["Study"]
