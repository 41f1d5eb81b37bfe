"""A program that runs a study until a point, and waits there to be killed.

`python program.py FOLDER POINT STUDY.yaml OVERRIDE...` runs with store and results in FOLDER. At POINT
it writes `FOLDER/stopped` and waits for ever; POINT `start` waits for `FOLDER/go` instead and then runs
to the end and writes what became of each node to `FOLDER/outcome.json`.
"""

import json
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from chaintune.execution import engine
from chaintune.execution.events import Event
from chaintune.files import atomic
from chaintune.models import LoadedModel
from chaintune.runs.session import RunOptions, Session, prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study


def main() -> None:
    folder, point, study = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    session = prepare(Study.from_yaml(study, sys.argv[4:]), FolderStore(folder / "store"))
    if point == "start":
        (folder / "stopped").write_text("")
        while not (folder / "go").exists():
            time.sleep(0.01)
        write_outcome(session, folder)
        return
    patch_writes(point, folder)
    session.run(folder / "out", RunOptions(watch=lambda _plan: nullcontext(Stopper(folder, point))))


@dataclass(frozen=True)
class Stopper:
    """Watches a run and stops it at the point."""

    folder: Path
    point: str

    def note(self, event: Event) -> None:
        if is_at(event, self.point):
            stop(self.folder)


def write_outcome(session: Session, folder: Path) -> None:
    results = session.run(folder / "out").outcome.results
    (folder / "outcome.json").write_text(json.dumps({result.node.title: result.kind for result in results}))


def stop(folder: Path) -> None:
    (folder / "stopped").write_text("")
    while True:
        time.sleep(0.05)


def is_at(event: Event, point: str) -> bool:
    """In the middle of a stage that has a parent in the store, or in the scoring that follows it, before it is written.

    So few examples are scored all at once, so that their first progress is their last.
    """
    if event.progress is None or event.node.chain != ("balls", "boxes"):
        return False
    return event.node.kind == point and 0 < event.progress.done < event.progress.total + (point == "score")


def patch_writes(point: str, folder: Path) -> None:
    """Make the first store write of its kind stop: half-way through a checkpoint, or just before its name is given."""
    writers = vars(engine)
    publish, save = atomic.publish, writers["save"]

    def slow_publish(partial: Path, final: Path) -> None:
        if point == "publish" and final.parent.name == "stage":
            stop(folder)
        publish(partial, final)

    def half_save(loaded: LoadedModel, out: Path) -> None:
        save(loaded, out)
        if point == "save":
            weights = out / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
            stop(folder)

    atomic.publish, writers["save"] = slow_publish, half_save


if __name__ == "__main__":
    main()
