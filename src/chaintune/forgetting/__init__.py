"""Tables of scores in; forgetting, biased forgetting, order effect and recovery out. Pure."""

from chaintune.forgetting.compare import compare
from chaintune.forgetting.recommend import recommend
from chaintune.forgetting.study import summarise

__all__ = ["compare", "recommend", "summarise"]
