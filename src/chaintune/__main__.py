"""`python -m chaintune` is `chaintune`."""

from chaintune.cli import main

main()
