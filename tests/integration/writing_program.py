"""The command line with batches of four texts, killed behind the second of them.

`python writing_program.py KEPT ARGUMENTS...` runs `chaintune ARGUMENTS` and kills itself without warning when so many
batches of texts are in the store; where KEPT is 0 it runs to its end. Each batch that is computed is a line on stdout.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaintune.cli.app import main
from chaintune.execution.compute import PART
from chaintune.scoring import generation
from chaintune.store.folder import FolderStore
from chaintune.store.store import Entry, Make


def run(kept: int, arguments: list[str]) -> None:
    """The command, with a store that counts."""
    vars(generation)["_CPU_ROWS"] = 4
    usual, made = FolderStore.get_or_make, list[str]()

    def get_or_make(self: FolderStore, kind: str, key: str, make: Make) -> Entry:
        def counted(out: Path) -> Mapping[str, Any]:
            if kind == PART:
                made.append(key)
                print(f"batch {key}", flush=True)  # noqa: T201 - a program
            return make(out)

        entry = usual(self, kind, key, counted)
        if kept and kind == PART and len(made) == kept:
            os.kill(os.getpid(), signal.SIGKILL)
        return entry

    FolderStore.get_or_make = get_or_make  # type: ignore[method-assign]
    main(arguments)


if __name__ == "__main__":
    run(int(sys.argv[1]), sys.argv[2:])
