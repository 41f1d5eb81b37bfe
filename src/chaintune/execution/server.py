"""A server for one checkpoint: started by the user's command, waited for, and ended."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from chaintune.errors import ModelError, nearest
from chaintune.execution.commands import failure, last_lines, started
from chaintune.study.serve import SERVED_NAME, Serve

_HOST = "127.0.0.1"
_FIRST_LOOK_SECONDS, _SECONDS_BETWEEN_LOOKS = 0.05, 0.5
_SECONDS_TO_ANSWER = 10.0
_OK, _NOT_FOUND = 200, 404


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers.

    Attributes:
        url: up to `/v1`.
        name: of the model there.
        process: that was started.
        log: what it writes.
    """

    url: str
    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def ended(self) -> str:
        """How it has ended, with the end of its log; empty while it runs."""
        status = self.process.poll()
        return "" if status is None else f"the server {failure(status)}; {_told(self.log)}"


@contextmanager
def serving(serve: Serve, model: Path, adapter: Path | None, log: Path) -> Iterator[Server]:
    """A server for a checkpoint, on a free port of this machine; it ends with this context, or with this process.

    Raises:
        ModelError: it cannot be started, ends, or is not ready in time.
    """
    port = _free_port()
    command = serve.filled(model=model, port=port, adapter=adapter)
    with ExitStack() as stack:
        try:
            output = stack.enter_context(log.open("wb"))
            process = stack.enter_context(started(command, Path(serve.folder), output))
        except OSError as error:
            why = f"the server cannot be started ({error.strerror or error})"
            raise ModelError(f"serve: {why}: {serve.command}") from error
        _wait(process, port, serve.ready_seconds, log)
        yield Server(f"http://{_HOST}:{port}/v1", _name(port, log, is_adapter=adapter is not None), process, log)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind((_HOST, 0))
        port: int = listening.getsockname()[1]
        return port


def _wait(process: "subprocess.Popen[bytes]", port: int, seconds: float, log: Path) -> None:
    """Wait until the server answers that it is ready."""
    until, pause = time.monotonic() + seconds, _FIRST_LOOK_SECONDS
    while (status := process.poll()) is None:
        if _is_ready(port):
            return
        if time.monotonic() > until:
            raise ModelError(
                f"serve: the server is not ready after {seconds:g} seconds, 'ready' in serve gives it longer; "
                f"{_told(log)}"
            )
        time.sleep(pause)
        pause = min(1.5 * pause, _SECONDS_BETWEEN_LOOKS)
    raise ModelError(f"serve: the server {failure(status)} before it was ready; {_told(log)}")


def _is_ready(port: int) -> bool:
    status, _ = _get(port, "/health")
    if status == _NOT_FOUND:
        status, _ = _get(port, "/v1/models")
    return status == _OK


def _get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of an answer; 0 where there is none. Asked without a proxy, which could not reach this port."""
    connection = HTTPConnection(_HOST, port, timeout=_SECONDS_TO_ANSWER)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


def _name(port: int, log: Path, *, is_adapter: bool) -> str:
    """What the server calls the checkpoint."""
    names = _names(_get(port, "/v1/models")[1])
    if SERVED_NAME in names:
        return SERVED_NAME
    if is_adapter or not names:
        valid = nearest(SERVED_NAME, names) if names else "it lists no models under /v1/models"
        raise ModelError(f"serve: the server has no model '{SERVED_NAME}': {valid}; {_told(log)}")
    return names[0]


def _names(body: bytes) -> list[str]:
    try:
        listed: Any = json.loads(body)
        return [str(model["id"]) for model in listed["data"]]
    except (ValueError, TypeError, KeyError):
        return []


def _told(log: Path) -> str:
    return f"{last_lines(log)} (in {log})"
