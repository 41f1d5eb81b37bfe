"""Tables of scores in; forgetting, biased forgetting, order effect and recovery out. Pure."""

from chaintune.forgetting.compare import compare
from chaintune.forgetting.recommend import choose
from chaintune.forgetting.study import summarise

__all__ = ["choose", "compare", "summarise"]
