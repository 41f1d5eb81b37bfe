"""Builds the engine of a run on whichever machine computes, from the bases as that machine has them."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaintune.errors import ModelError, require
from chaintune.execution.bases import BaseModel, open_base, open_classifier
from chaintune.execution.engine import LocalEngine
from chaintune.execution.serving import CheckpointServers
from chaintune.models import Precision, whole_name
from chaintune.scoring.backends import AS_USUAL, Serving
from chaintune.store.store import Store
from chaintune.study.serve import Serve

Files = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class EngineFactory:
    """Called with a store, gives a local engine.

    Attributes:
        bases: name in the study -> base model, as the process that planned the run has it.
        names: name in the study -> a name that means the same in every folder.
        precision: of every checkpoint.
        files: name in the study -> path, size and time of every file of the base.
        serve: how a server is started for a checkpoint that is measured through one; None starts none.
        server_logs: folder of their logs; None keeps those of servers that failed.
        serving: how servers are asked.
    """

    bases: Mapping[str, BaseModel]
    names: Mapping[str, str]
    precision: Precision
    files: Mapping[str, Files]
    serve: Serve | None = None
    server_logs: Path | None = None
    serving: Serving = AS_USUAL

    @classmethod
    def of(
        cls,
        bases: Mapping[str, BaseModel],
        precision: Precision,
        *,
        trust_remote_code: bool = False,
        serve: Serve | None = None,
        server_logs: Path | None = None,
        serving: Serving = AS_USUAL,
    ) -> "EngineFactory":
        """For the bases as this process has them.

        Raises:
            ConfigError: servers are started by a command, and nobody said that it may run.
            MissingPackageError: what asks them is not installed.
        """
        if serve is not None:
            serve.check_trusted(trust_remote_code=trust_remote_code)
            require("models behind a server", "openai", extra="openai")
        names = {name: whole_name(base.name) for name, base in bases.items()}
        files = {name: _files(base) for name, base in bases.items()}
        return cls(bases, names, precision, files, serve, server_logs, serving)

    def __call__(self, store: Store) -> LocalEngine:
        """An engine on this machine. Bases whose files are those of the planning process are not read through again.

        Raises:
            ModelError: this machine has not the same base under a base's name.
        """
        bases = {
            name: base if self.files[name] == _files(base) else self._same(name, base, store)
            for name, base in self.bases.items()
        }
        servers = CheckpointServers(self.serve, self.server_logs, self.serving) if self.serve else None
        return LocalEngine(bases, precision=self.precision, servers=servers, serving=self.serving)

    def _same(self, called: str, base: BaseModel, store: Store) -> BaseModel:
        """A base as this machine has it; its content is looked at, for a name says nothing about it."""
        host, name = socket.gethostname(), self.names[called]
        try:
            if base.is_classifier:
                here = open_classifier(name)
            else:
                how: dict[str, Any] = {"trust_remote_code": base.trust_remote_code, "allow_unused": base.allow_unused}
                here = open_base(name, store, base.backend, **how)
        except ModelError as error:
            raise ModelError(f"on {host}: {error}") from error
        if here.key != base.key:
            raise ModelError(
                f"'{name}' on {host} is not the model that the study was planned with; "
                "name a Hub id, or a folder that every machine sees"
            )
        return here


def _files(base: BaseModel) -> Files:
    """What a base's folders hold on this machine; nothing where they are not there."""
    folders = (folder for folder in (base.weights, base.adapter) if folder)
    stats = [(path, path.stat()) for folder in folders for path in sorted(folder.glob("*"))]
    return tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats)
