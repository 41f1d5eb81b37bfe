"""The command line: one file a command, thin.

Results go to stdout, progress and logs to stderr. Exit codes: 0 done or passed; 1 a budget is exceeded;
2 wrong usage or bad input; 3 inconclusive; 70 a bug; 130 interrupted.
"""

from chaintune.cli.app import main

__all__ = ["main"]
