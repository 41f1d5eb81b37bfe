"""Tables of scores in; forgetting, biased forgetting, order effect and recovery out. Pure."""

from chaintune.forgetting.compare import compare

__all__ = ["compare"]
