"""Processes at one store behind a URL, each a machine with a cache of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from chaintune.store.address import open_store

if TYPE_CHECKING:  # as a program this file does not see the tests
    from tests.unit.store.conftest import Open
    from tests.unit.store.s3_server import S3Server

KEY = "ab12"
URL = "s3://my-bucket/some/prefix"


def main() -> None:
    """Ask for one entry; that it is being made is noted in `FOLDER`, and `GO` there is waited for if `WAITS`."""
    folder, waits = Path(sys.argv[1]), sys.argv[2] == "waits"

    def make(out: Path) -> dict[str, Any]:
        (folder / f"making-{os.getpid()}").write_text("")
        while waits and not (folder / "go").exists():
            time.sleep(0.01)
        (out / "weights").write_text("made")
        return {}

    entry = open_store(URL).get_or_make("stage", KEY, make)
    sys.stdout.write(json.dumps([entry.made, entry.duplicate, (entry.path / "weights").read_text()]))


@contextmanager
def process(name: str, tmp_path: Path, *, waits: bool) -> "Iterator[subprocess.Popen[str]]":
    """A machine that asks for the entry; ended with the block."""
    running = subprocess.Popen(  # noqa: S603 - this file, by this interpreter
        [sys.executable, __file__, str(tmp_path), "waits" if waits else "goes on"],
        env=os.environ | {"CHAINTUNE_CACHE": str(tmp_path / "caches" / name)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def makings(tmp_path: Path) -> int:
    return len(list(tmp_path.glob("making-*")))


def answer(running: "subprocess.Popen[str]") -> Any:
    out, _ = running.communicate(timeout=300)
    assert running.returncode == 0
    return json.loads(out)


def test_two_machines_at_once_make_it_twice_and_one_is_kept(
    server: "S3Server", tmp_path: Path, machine: "Open"
) -> None:
    with process("one", tmp_path, waits=True) as one, process("two", tmp_path, waits=True) as two:
        while makings(tmp_path) < 2:
            assert (one.poll(), two.poll()) == (None, None)
            time.sleep(0.02)
        (tmp_path / "go").write_text("")
        answers = sorted([answer(one), answer(two)])
    assert answers == [[True, False, "made"], [True, True, "made"]]
    assert machine("three").damage("stage", KEY) == ""
    with process("four", tmp_path, waits=False) as later:
        assert answer(later) == [False, False, "made"]
    assert makings(tmp_path) == 2


def test_processes_of_one_machine_make_it_once(server: "S3Server", tmp_path: Path) -> None:
    with process("one", tmp_path, waits=False) as first, process("one", tmp_path, waits=False) as second:
        answers = sorted([answer(first), answer(second)])
    assert answers == [[False, False, "made"], [True, False, "made"]]
    assert makings(tmp_path) == 1


def test_a_machine_killed_in_its_upload_leaves_no_entry_and_goes_on_later(
    server: "S3Server", tmp_path: Path, machine: "Open"
) -> None:
    arrived, over = Event(), Event()

    def hold(request: str) -> None:
        if request.endswith("/weights"):
            arrived.set()
            over.wait(timeout=600)

    server.trouble = hold
    with process("one", tmp_path, waits=False) as dying:
        assert arrived.wait(timeout=600)
        dying.kill()
        dying.wait()
    server.trouble = lambda _request: None
    over.set()
    assert not machine("two").has("stage", KEY)
    with process("one", tmp_path, waits=False) as again:
        assert answer(again) == [False, False, "made"]
    assert makings(tmp_path) == 1
    assert machine("two").damage("stage", KEY) == ""


if __name__ == "__main__":
    main()
