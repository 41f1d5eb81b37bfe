"""Other harnesses' logs in. No torch."""

from chaintune.interop.compare import compare, compare_all

__all__ = ["compare", "compare_all"]
