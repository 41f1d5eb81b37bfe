"""`file://`: a folder that several machines see, whose locks need not be trusted."""

import os
import shutil
from contextlib import suppress
from errno import EMLINK, ENOSYS, ENOTSUP, EOPNOTSUPP, EPERM
from pathlib import Path

from chaintune.files import atomic
from chaintune.store.remote.bucket import Bucket

_NO_LINKS = {EPERM, ENOSYS, ENOTSUP, EOPNOTSUPP, EMLINK}


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
            _link(partial, target)
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()

    def _put(self, path: Path, remote: str) -> None:
        Path(remote).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, remote)
        atomic.sync_file(Path(remote))


def _link(partial: Path, target: Path) -> None:
    """Give a file its name if nobody has it: at once also on NFS, where opening for creation was not always so."""
    try:
        os.link(partial, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(target) from error
        partial.replace(target)  # whole at least; of two, both may be told that they created it
