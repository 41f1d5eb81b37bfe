"""Two machines at one store behind a URL: processes with caches of their own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chaintune.store.address import open_store
from chaintune.store.remote import claim

KEY = "ab12"


def main() -> None:
    """Ask for one entry of the store at `URL`; its making takes `SECONDS`, and is noted in `FOLDER`."""
    url, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    claim.EXPIRY_SECONDS, claim.BEAT_SECONDS = 2.0, 0.1

    def make(out: Path) -> dict[str, Any]:
        (folder / f"making-{os.getpid()}").write_text("")
        time.sleep(seconds)
        (out / "weights").write_text("made")
        return {}

    entry = open_store(url).get_or_make("stage", KEY, make)
    sys.stdout.write(json.dumps({"made": entry.made, "text": (entry.path / "weights").read_text()}))


@contextmanager
def machine(name: str, tmp_path: Path, *, seconds: float) -> "Iterator[subprocess.Popen[str]]":
    """A process with a cache of its own that asks for the entry; ended with the block."""
    process = subprocess.Popen(  # noqa: S603 - this file, by this interpreter
        [sys.executable, __file__, url(tmp_path), str(tmp_path), str(seconds)],
        env=os.environ | {"CHAINTUNE_CACHE": str(tmp_path / "caches" / name)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def url(tmp_path: Path) -> str:
    return f"file://{(tmp_path / 'there').as_posix()}"


def wait_for_a_making(tmp_path: Path, process: "subprocess.Popen[str]") -> None:
    while not (tmp_path / f"making-{process.pid}").exists():
        assert process.poll() is None
        time.sleep(0.02)


def told(process: "subprocess.Popen[str]") -> Any:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(out)


def test_of_two_machines_one_makes_it(tmp_path: Path) -> None:
    with machine("one", tmp_path, seconds=0.5) as one, machine("two", tmp_path, seconds=0.5) as two:
        found = [told(one), told(two)]
    assert sorted(one["made"] for one in found) == [False, True]
    assert {one["text"] for one in found} == {"made"}
    assert len(list(tmp_path.glob("making-*"))) == 1


def test_the_work_of_a_machine_that_dies_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with machine("one", tmp_path, seconds=600) as dying:
        wait_for_a_making(tmp_path, dying)
        with machine("two", tmp_path, seconds=0) as waiting:
            time.sleep(0.5)
            assert not (tmp_path / f"making-{waiting.pid}").exists()
            dying.kill()
            assert told(waiting) == {"made": True, "text": "made"}
    monkeypatch.setenv("CHAINTUNE_CACHE", str(tmp_path / "caches" / "three"))
    assert open_store(url(tmp_path)).damage("stage", KEY) == ""


if __name__ == "__main__":
    main()
