"""Servers that are started and ended, as far as one that writes nonsense shows it."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from chaintune.errors import ModelError
from chaintune.execution.commands import started
from chaintune.execution.server import Server, serving
from chaintune.scoring.backends.server import KEY
from chaintune.study.serve import SERVED_NAME, Serve
from tests import stand_in_server

pytestmark = pytest.mark.skipif(os.name == "nt", reason="commands are run by a shell")

PROGRAM = f"{sys.executable} -IS {stand_in_server.__file__}"
STAND_IN = f"{PROGRAM} serve {{model}} --port {{port}}"
ADAPTERS = "--enable-lora --lora-modules {name}={adapter}"


def is_gone(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_until_gone(*pids: int) -> None:
    until = time.monotonic() + 60
    while not all(map(is_gone, pids)):
        assert time.monotonic() < until, "a server, or what it started, is still there"
        time.sleep(0.02)


def pids_of(log: Path) -> tuple[int, int]:
    """The server, and what it started."""
    words = log.read_text().split()
    return int(words[words.index("as") + 1]), int(words[words.index("with") + 1])


def run(tmp_path: Path, serve: Serve, *, adapter: Path | None = None) -> Server:
    with serving(serve, tmp_path / "model", adapter, tmp_path / "server.log") as server:
        return server


def test_a_server_answers_and_is_gone_afterwards_with_all_that_it_started(tmp_path: Path) -> None:
    server = run(tmp_path, Serve(STAND_IN))
    assert server.name == str(tmp_path / "model")
    assert server.url.startswith("http://127.0.0.1:")
    wait_until_gone(*pids_of(server.log))


def test_an_adapter_is_asked_by_its_name(tmp_path: Path) -> None:
    server = run(tmp_path, Serve(STAND_IN, adapters=ADAPTERS), adapter=tmp_path / "the adapter")
    assert server.name == SERVED_NAME
    assert f"{SERVED_NAME}={tmp_path}/the adapter" in server.log.read_text()


def test_a_server_that_hides_the_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the server has no model 'checkpoint'"):
        run(tmp_path, Serve(STAND_IN, adapters=": {adapter} {name}".replace(":", "#")), adapter=tmp_path)


def test_an_error_ends_the_server(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with pytest.raises(KeyboardInterrupt), serving(Serve(STAND_IN), tmp_path, None, log):
        raise KeyboardInterrupt
    wait_until_gone(*pids_of(log))


def test_a_server_that_ends_before_it_is_ready_is_told_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        run(tmp_path, Serve(f"{STAND_IN} --fail 'no room for keys'"))
    assert "ended with exit status 3 before it was ready; the last lines of its log: loading" in str(caught.value)
    assert f"no room for keys (in {tmp_path}/server.log)" in str(caught.value)


def test_the_key_for_servers_goes_to_none_that_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sk-very-secret")
    with pytest.raises(ModelError, match=r"its log: the key is '';"):
        run(tmp_path, Serve(f"echo \"the key is '${KEY}';\" {{model}} {{port}}; exit 3"))


def test_what_ends_it_with_chaintune_outlives_a_request_to_end(tmp_path: Path) -> None:
    stubborn = 'trap "" TERM; echo on; while :; do sleep 0.02; done'
    with (tmp_path / "log").open("wb") as log, started(stubborn, tmp_path, log) as process:
        while not (tmp_path / "log").read_text():
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdin is not None
        process.stdin.close()  # as where chaintune ends
        assert process.wait(60) == -signal.SIGKILL


def test_a_server_that_is_never_ready_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not ready after 0\.5 seconds, 'ready' in serve gives it longer; "):
        run(tmp_path, Serve(f"{STAND_IN} --never-ready", ready_seconds=0.5))


def test_a_command_in_a_folder_that_is_not_there_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the server cannot be started"):
        run(tmp_path, Serve(STAND_IN, folder=str(tmp_path / "nowhere")))
