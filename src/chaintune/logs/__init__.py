"""Other harnesses' logs in. No torch."""

from chaintune.logs.compare import compare, compare_all

__all__ = ["compare", "compare_all"]
