"""A file system that fails on demand: `shaky:///folder` keeps its objects in a folder and obeys the weather."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec import AbstractFileSystem

DOWN_MARKER = "SHAKY_DOWN"  # names a file; while it is there nothing answers, in any process


@dataclass
class Weather:
    """What the file system suffers from.

    Attributes:
        outage_seconds: from the next call on nothing answers for so long.
        down_until: moment (`time.monotonic`) until which nothing answers.
        troubles: raised by the next calls, one each.
        cut: called with the path of an upload after half of it arrived; what it raises ends the upload.
        refuses: whether a conditional put is refused where an object is there; else it overwrites.
        lose_answers: so many of the next small writes arrive, and their writers never hear of it.
        clock: whether it tells when an object was written.
        calls: operation and path of every call, answered or not.
    """

    outage_seconds: float = 0.0
    down_until: float = 0.0
    troubles: list[BaseException] = field(default_factory=list)
    cut: Callable[[str], None] | None = None
    refuses: bool = True
    lose_answers: int = 0
    clock: bool = True
    calls: list[tuple[str, str]] = field(default_factory=list)

    def strike(self, operation: str, path: str) -> None:
        self.calls.append((operation, path))
        if self.outage_seconds:
            self.down_until, self.outage_seconds = time.monotonic() + self.outage_seconds, 0.0
        marker = os.environ.get(DOWN_MARKER)
        if time.monotonic() < self.down_until or (marker and Path(marker).exists()):
            raise ConnectionError("no answer")
        if self.troubles:
            raise self.troubles.pop(0)


class ShakyFileSystem(AbstractFileSystem):
    protocol = "shaky"
    cachable = False
    weather = Weather()

    def ls(self, path: str, detail: bool = True, **_how: Any) -> list[Any]:
        self.weather.strike("ls", path)
        if not Path(path).is_dir():
            raise FileNotFoundError(path)
        return [_info(child) if detail else str(child) for child in sorted(Path(path).iterdir())]

    def info(self, path: str, **_how: Any) -> dict[str, Any]:
        self.weather.strike("info", path)
        return _info(Path(path))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_how: Any) -> bytes:
        self.weather.strike("cat_file", path)
        return Path(path).read_bytes()[start:end]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_how: Any) -> None:
        self.weather.strike("pipe_file", path)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("xb" if mode == "create" and self.weather.refuses else "wb") as stream:
            stream.write(value)
        if self.weather.lose_answers:
            self.weather.lose_answers -= 1
            raise TimeoutError("no answer")

    def put_file(self, lpath: str, rpath: str, **_how: Any) -> None:
        self.weather.strike("put_file", rpath)
        content = Path(lpath).read_bytes()
        Path(rpath).parent.mkdir(parents=True, exist_ok=True)
        if self.weather.cut:
            Path(rpath).write_bytes(content[: len(content) // 2])
            cut, self.weather.cut = self.weather.cut, None
            cut(rpath)
            return
        Path(rpath).write_bytes(content)

    def get_file(self, rpath: str, lpath: str, **_how: Any) -> None:
        self.weather.strike("get_file", rpath)
        shutil.copyfile(rpath, lpath)

    def rm_file(self, path: str) -> None:
        self.weather.strike("rm_file", path)
        Path(path).unlink()

    def modified(self, path: str) -> datetime:
        if not self.weather.clock:
            raise NotImplementedError
        self.weather.strike("modified", path)
        return datetime.fromtimestamp(Path(path).stat().st_mtime, UTC)

    def _open(self, path: str, mode: str = "rb", **_how: Any) -> Any:
        self.weather.strike("open", path)
        return Path(path).open(mode)


def register() -> None:
    """Make `shaky://` known to fsspec in this process."""
    fsspec.register_implementation("shaky", ShakyFileSystem, clobber=True)


def fair_weather() -> Weather:
    """A new weather for every `shaky://`, without any trouble."""
    ShakyFileSystem.weather = Weather()
    return ShakyFileSystem.weather


def _info(path: Path) -> dict[str, Any]:
    facts = path.stat()
    return {"name": str(path), "size": facts.st_size, "type": "directory" if path.is_dir() else "file"}
