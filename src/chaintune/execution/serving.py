"""The servers of an engine: one at a time, for the checkpoint that is measured through it."""

import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from chaintune.errors import ModelError
from chaintune.execution.server import Server, serving
from chaintune.models.loading import Reader
from chaintune.scoring.backends import AS_USUAL, Serving
from chaintune.scoring.backends.checkpoint_server import CheckpointServer
from chaintune.study.serve import Serve

_UNNAMED = re.compile(r"[^A-Za-z0-9._=-]+")


class CheckpointServers:
    """Starts and ends the server of a checkpoint; what could not be started once is not tried again."""

    def __init__(self, serve: Serve, logs: Path | None, serving: Serving = AS_USUAL) -> None:
        """Nothing runs yet.

        Args:
            serve: how a server is started.
            logs: folder of their logs; None keeps those of servers that failed.
            serving: how they are asked.
        """
        self._serve, self._logs = serve, logs
        self._serving = serving
        self._running = ExitStack()
        self._server: tuple[str, Server] | None = None
        self._failed: dict[str, str] = {}

    @property
    def command(self) -> str:
        """That starts them, its places not filled."""
        return f"{self._serve.command} {self._serve.adapters}".strip()

    def holds(self, key: str) -> bool:
        """Whether the server of a checkpoint runs."""
        return self._server is not None and self._server[0] == key and not self._server[1].ended()

    def open(
        self, key: str, title: str, folders: tuple[Path, Path | None], reader: Reader, merge: Callable[[Path], None]
    ) -> CheckpointServer:
        """The backend of a checkpoint's server, in place of any other; `merge` writes the whole model for it.

        Raises:
            ModelError: no server could be started.
        """
        if not self.holds(key):
            self.stop()
            if key in self._failed:
                raise ModelError(self._failed[key])
            try:
                self._server = key, self._start(key, title, folders, merge)
            except ModelError as error:
                self._failed[key] = str(error)
                raise
        assert self._server is not None  # noqa: S101 - it was started
        return CheckpointServer(self._server[1].url, self._server[1].name, self._serving, reader=reader)

    def ended(self) -> str:
        """How the server that was started has ended by itself, with the end of its log; empty where it has not."""
        return self._server[1].ended() if self._server else ""

    def stop(self) -> None:
        """End the server that runs, if one does."""
        self._server = None
        self._running.close()

    def _start(self, key: str, title: str, folders: tuple[Path, Path | None], merge: Callable[[Path], None]) -> Server:
        weights, adapter = folders
        if adapter is not None and not self._serve.adapters:
            scratch = tempfile.TemporaryDirectory(prefix="chaintune-")
            weights, adapter = Path(scratch.name) / "model", None
            merge(weights)
            self._running.enter_context(scratch)
        log = self._log(key, title)
        try:
            server = self._running.enter_context(serving(self._serve, weights, adapter, log))
        except ModelError:
            self._running.close()
            raise
        if self._logs is None:
            self._running.callback(shutil.rmtree, log.parent, ignore_errors=True)
        return server

    def _log(self, key: str, title: str) -> Path:
        name = f"{_UNNAMED.sub('-', title).strip('-')}-{key[:8]}.log"
        if self._logs is not None:
            self._logs.mkdir(parents=True, exist_ok=True)
            return self._logs / name
        return Path(tempfile.mkdtemp(prefix="chaintune-server-")) / name
