"""Where a run stands: a journal that the run writes and that any other process can read."""

import math
import os
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from chaintune.errors import ConfigError
from chaintune.files import atomic
from chaintune.files.disk import os_errors_as_store_error
from chaintune.files.reading import as_written, check_shape, read_json

if TYPE_CHECKING:
    from chaintune.execution.events import Event, Progress
    from chaintune.plan.nodes import Node
    from chaintune.plan.plan import Plan

JOURNAL = "status.json"
State = Literal["running", "done", "failed", "interrupted", "dead"]

_SECONDS_BETWEEN_WRITES = 0.5
_NUMBER, _OR_NONE = (int, float), (int, float, type(None))
_TROUBLE = {"kind": str, "title": str, "cause": str}
_JOURNAL = {
    "study": str,
    "state": str,
    "cause": str,
    "process": {"host": str, "pid": int},
    "nodes": dict.fromkeys(("total", "made", "reused", "failed", "skipped"), int),
    "running": [{"kind": str, "title": str}],
    "seconds_left": _OR_NONE,
    "failed": [_TROUBLE],
    "skipped": [_TROUBLE],
}
_RUNNING = {"unit": str, "done": _NUMBER, "total": _NUMBER}


class Journal:
    """Writes `status.json` while a run lasts: at once when a node begins or ends, else twice a second."""

    def __init__(self, out: Path, plan: "Plan") -> None:
        from chaintune.execution.eta import Eta  # loads what plans are made of, which reading a journal does not need

        self._path = out / JOURNAL
        self._plan = plan
        self._started = time.monotonic()
        self._started_at = _now()
        self._written = -math.inf
        self._ends: dict[str, Event] = {}
        self._running: dict[str, dict[str, Any]] = {}
        self._eta = Eta(plan.nodes)

    def __enter__(self) -> Self:
        self._write("running")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = {}
        if error is not None:
            with suppress(OSError):  # the error on its way says more than that the disk is full here too
                ended = isinstance(error, KeyboardInterrupt | SystemExit)  # by the user, or as nobody reads its stderr
                self._write("interrupted" if ended else "failed", cause="" if ended else str(error))
            return
        self._write("failed" if any(event.kind == "failed" for event in self._ends.values()) else "done")

    def note(self, event: "Event") -> None:
        """Take up one event of the run."""
        self._eta.note(event)
        if event.kind == "progress" and event.progress:
            self._running[event.node.key] = _about(event.node) | _progress(event.progress)
        elif event.kind == "start":
            self._running[event.node.key] = _about(event.node)
        elif event.kind != "dropped":
            self._running.pop(event.node.key, None)
            self._ends[event.node.key] = event
        often = event.kind in {"progress", "reused", "dropped"}
        if not often or time.monotonic() - self._written >= _SECONDS_BETWEEN_WRITES:
            self._write("running")

    def _write(self, state: State, cause: str = "") -> None:
        self._written = time.monotonic()
        counts = Counter(event.kind for event in self._ends.values())
        value = {
            "study": self._plan.study,
            "state": state,
            "cause": cause,
            "process": {"host": socket.gethostname(), "pid": os.getpid()},
            "started_at": self._started_at,
            "updated_at": _now(),
            "nodes": {"total": len(self._plan.nodes)}
            | {kind: counts[kind] for kind in ("made", "reused", "failed", "skipped")},
            "running": list(self._running.values()),
            "seconds_left": self._eta.seconds_left(),
            "failed": self._troubles("failed"),
            "skipped": self._troubles("skipped"),
        }
        with os_errors_as_store_error(self._path.parent, f"{JOURNAL} cannot be written"):
            atomic.write_json(self._path, value, durable=False)

    def _troubles(self, kind: str) -> list[dict[str, str]]:
        ends = [event for event in self._ends.values() if event.kind == kind]
        return [{"kind": event.node.kind, "title": event.node.title, "cause": event.cause} for event in ends]


@dataclass(frozen=True, slots=True)
class Status:
    """What `status.json` says, and whether the process that wrote it lives.

    Attributes:
        state: `dead` when the journal says `running` and its process is gone; running the study again
            goes on where it was.
        journal: the file's content.
    """

    state: State
    journal: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The journal with the state as it is now."""
        return self.journal | {"state": self.state}


def read_status(out: Path) -> Status:
    """Where the run that writes into a folder stands.

    Raises:
        ConfigError: no run has written there.
        DataError: the journal is damaged.
    """
    path = out / JOURNAL
    if not path.is_file():
        raise ConfigError(f"{out}: no {JOURNAL} there; expected the --out folder of a run")
    with as_written(path):
        journal = read_json(path)
        check_shape(journal, _JOURNAL)
        check_shape([node for node in journal["running"] if node.get("total")], [_RUNNING], "'running'")
    state: State = journal["state"]
    if state == "running" and not _is_alive(journal["process"]):
        state = "dead"
    return Status(state, journal)


def process_exists(pid: int) -> bool:
    """Whether a process of this host lives. Windows has no harmless way to ask; there it is taken to live."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        pass
    return True


def _is_alive(process: dict[str, Any]) -> bool:
    """Whether a process of this host lives; one of another host is believed."""
    return process["host"] != socket.gethostname() or process_exists(process["pid"])


def _about(node: "Node") -> dict[str, Any]:
    return {"kind": node.kind, "title": node.title, "base": node.base}


def _progress(progress: "Progress") -> dict[str, Any]:
    numbers = {
        "done": progress.done,
        "total": progress.total,
        "rate": progress.rate,
        "seconds_left": progress.seconds_left,
    }
    return {"unit": progress.unit} | {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
