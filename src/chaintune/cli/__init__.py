"""The command line: one file a command, thin.

Results go to stdout, progress and logs to stderr. Exit codes: 0 done or passed; 1 a budget is exceeded;
2 wrong usage, bad input or an error of the machine; 3 inconclusive; 69 the cluster is gone; 70 a bug; 130 interrupted,
143 asked to end; 141 nobody reads the output.
"""

from chaintune.cli.app import main

__all__ = ["main"]
