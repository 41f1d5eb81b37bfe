"""`python -m chaintune` is `chaintune`."""

import sys
from contextlib import suppress
from pathlib import Path

with suppress(OSError):  # the current folder may be gone
    if sys.path[0] in ("", str(Path.cwd())):  # `python -m` looks for modules there first, and the program never does
        del sys.path[0]

from chaintune.cli import main

main()
