"""Servers that chaintune starts: one for each checkpoint that is measured through it, in place of our own scorer."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from chaintune.config.source import Source, plain_mapping
from chaintune.config.validation import Real, Spec, as_names, check
from chaintune.errors import ConfigError, nearest
from chaintune.records.generation import GENERATION
from chaintune.scoring.backends.backend import Ability
from chaintune.scoring.measures import MEASURES

SERVED_BY = "openai"
# What a server may be asked for, and how; the version is raised when its numbers change.
ABILITIES: frozenset[Ability] = frozenset({"log-probabilities", "text"})
_VERSION = "tokens 1"
SERVER_LOGS = "servers"  # a folder beside the results of a run
# What an adapter is called on its server, and a model where the command says so.
SERVED_NAME = "checkpoint"
_USUAL_READY_SECONDS = 600.0
# `${HOME}` is the shell's.
_PLACEHOLDER = re.compile(r"(?<!\$)\{(\w+)\}")


def _holding(*needed: str, known: tuple[str, ...]) -> AfterValidator:
    def check_placeholders(text: str | None) -> str | None:
        if text is None:
            return None
        for name in needed:
            if f"{{{name}}}" not in text:
                raise ValueError(f"expected a command with {{{name}}}, got {text!r}")
        for name in _PLACEHOLDER.findall(text):
            if name not in known:
                raise ValueError(f"{{{name}}} is none of its places; {nearest(name, known)}")
        return text

    return AfterValidator(check_placeholders)


def _measures(names: list[str]) -> list[str]:
    served = [name for name in MEASURES.names if MEASURES.get(name).needs <= ABILITIES]
    for name in names:
        if name not in served:
            raise ValueError(f"{name!r} is measured by our own scorer alone; {nearest(name, served)}")
    return names


class ServeSpec(Spec):
    """The keys of `serve`.

    Attributes:
        command: for a shell, with `{model}` and `{port}` in it, and `{name}` where it likes.
        measures: that are asked of the server.
        ready: seconds after which it has to answer.
        adapters: what is added for an adapter, with `{adapter}` and `{name}`; left out, adapters are merged first.
        folder: where it runs; left out, the study file's.
    """

    command: Annotated[str, _holding("model", "port", known=("model", "port", "name"))]
    measures: Annotated[list[str], BeforeValidator(as_names), Field(min_length=1), AfterValidator(_measures)] = Field(
        default_factory=lambda: [GENERATION]
    )
    ready: Annotated[Real, Field(gt=0, le=86_400)] = _USUAL_READY_SECONDS
    adapters: Annotated[str, _holding("adapter", "name", known=("adapter", "name"))] | None = None
    folder: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("adapters")
    @classmethod
    def _one_name(cls, adapters: str | None, known: ValidationInfo) -> str | None:
        if adapters and "{name}" in str(known.data.get("command")):
            raise ValueError(
                "the command names the model {name} too, and so would answer for it; leave {name} out there"
            )
        return adapters


@dataclass(frozen=True, slots=True)
class Serve:
    """How a server is started for a checkpoint.

    Attributes:
        command: for a shell, with places for the model's folder, the port and the name.
        measures: that it is asked for.
        ready_seconds: after which it has to answer.
        adapters: what is added to the command for an adapter on the model, with places for its folder and its name;
            empty where adapters are merged into the model first.
        folder: where it runs.
    """

    command: str
    measures: tuple[str, ...] = (GENERATION,)
    ready_seconds: float = _USUAL_READY_SECONDS
    adapters: str = ""
    folder: str = field(default=".", compare=False)

    def takes(self, measure: str) -> bool:
        """Whether a measure is asked of the server, and not of our own scorer."""
        return measure in self.measures

    def content(self) -> list[Any]:
        """What of it determines numbers: the command's text, and how adapters are passed; neither port nor place."""
        return [SERVED_BY, _VERSION, self.command, self.adapters]

    def filled(self, *, model: Path, port: int, adapter: Path | None = None) -> str:
        """The command for a checkpoint.

        Args:
            model: folder of the whole model, or of what lies under the adapter.
            port: that it shall listen at.
            adapter: folder of the adapter on top, where the server puts it there.

        Example:
            >>> Serve("vllm serve {model} --port {port}").filled(model=Path("my model"), port=8000)
            "vllm serve 'my model' --port 8000"
        """
        text = f"{self.command} {self.adapters}" if adapter else self.command
        values = {"model": str(model), "port": str(port), "adapter": str(adapter), "name": SERVED_NAME}
        return _PLACEHOLDER.sub(lambda place: shlex.quote(values[place[1]]), text)

    def check_trusted(self, *, trust_remote_code: bool) -> None:
        """Refuse to start a server of which nobody said that it may run.

        Raises:
            ConfigError: nobody did.
        """
        if not trust_remote_code:
            raise ConfigError(
                f"serve: a server is started by a command, {self.command!r}, which may do anything; where you trust "
                "it, --trust-remote-code lets run, score and audit start it; nothing else does"
            )

    def to_mapping(self, folder: str) -> dict[str, Any]:
        """As a study file writes it, from which its folder is seen so."""
        adapters = {"adapters": self.adapters} if self.adapters else {}
        ready = {"ready": self.ready_seconds} if self.ready_seconds != _USUAL_READY_SECONDS else {}
        return {"command": self.command, "measures": list(self.measures), **ready, **adapters, "folder": folder}


def as_serve(value: Any) -> Any:
    """A command alone as the mapping that it stands for; text that is a mapping, as an option has it, as that."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("{command:"):
        return {"command": value}
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise ValueError(f"expected a command, or {{command: ..., measures: [choice]}}, got {value!r}") from None


class _ServeFile(Spec):
    """What holds nothing but `serve`."""

    serve: Annotated[ServeSpec, BeforeValidator(as_serve)]


def serve_of(spec: ServeSpec, folder: Path) -> Serve:
    """The value of its keys, which stand in a file of a folder."""
    where = str((folder / spec.folder).absolute() if spec.folder else folder.absolute())
    return Serve(spec.command, tuple(spec.measures), spec.ready, spec.adapters or "", where)


ServeArgument = str | Mapping[str, Any] | Serve | None


def read_serve(value: ServeArgument) -> Serve | None:
    """What says how servers are started: a command, or a mapping with the keys of `serve`; None where nothing does.

    Raises:
        ConfigError: an invalid value; the message names each.
    """
    if value is None or isinstance(value, Serve):
        return value
    source: Source = plain_mapping({"serve": value}, "serve")
    file = check(_ServeFile, source.data, (), source)
    source.stop_if_wrong()
    assert file is not None  # noqa: S101 - a problem was noted otherwise
    return serve_of(file.serve, Path.cwd())
