"""Other harnesses' logs in. No torch."""

from chaintune.logs.compare import compare, compare_series
from chaintune.logs.log import Log
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import LogReader
from chaintune.logs.tables import logs_of_rows

__all__ = ["Log", "LogReader", "ReadOptions", "compare", "compare_series", "logs_of_rows"]
