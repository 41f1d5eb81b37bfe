"""`file://`: a folder that several machines see, whose locks need not be trusted."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from chaintune.study import atomic
from chaintune.study.remote.bucket import Bucket


class Mount(Bucket):
    """Objects as files. Small ones appear whole, and of two that create one a single one is told that it did."""

    def remove_all(self, name: str) -> None:
        """Remove everything below a name, and the name."""
        shutil.rmtree(self._path(name), ignore_errors=True)

    def _write(self, path: str, content: bytes, **_how: str) -> None:
        atomic.write_bytes(Path(path), content)

    def _create(self, path: str, content: bytes) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = atomic.partial_path(target)
        try:
            partial.write_bytes(content)
            os.link(partial, target)  # atomic also on NFS, where opening for creation was not always
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()

    def _put(self, path: Path, remote: str) -> None:
        Path(remote).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, remote)
        atomic.sync_file(Path(remote))
