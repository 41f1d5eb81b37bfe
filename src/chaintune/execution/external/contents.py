"""What determines a stage that another program trains, and whether it can be one; nothing is run here."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError
from chaintune.execution.bases import BaseModel, open_base
from chaintune.files.reading import sha256_of
from chaintune.models import load_reader
from chaintune.models.digest import adapter_digest
from chaintune.models.folders import brings_tokenizer
from chaintune.models.names import locate_adapter
from chaintune.models.quantised import quantisation_of
from chaintune.models.wholeness import check_checkpoint_of, check_same_tokens
from chaintune.store.manifest import is_plain
from chaintune.store.store import Store
from chaintune.study.external import ExternalStage

_CHECKPOINT = "checkpoint"


def contents_of(
    stages: Iterable[ExternalStage], bases: Mapping[str, BaseModel], store: Store
) -> dict[ExternalStage, tuple[tuple[str, str], ...]]:
    """What determines each stage beside its parent, data and seed, after a look at what is there; nothing is run.

    Raises:
        ConfigError: a file that a command reads is not there, or not among those that it declares.
        ModelError: a checkpoint cannot be loaded, or has another vocabulary than a base, or other weights.
    """
    return {stage: _declared(stage) if stage.command else _checkpoint(stage, bases, store) for stage in stages}


def _declared(stage: ExternalStage) -> tuple[tuple[str, str], ...]:
    """Names and digests of the files that a command declares."""
    folder, what = Path(stage.folder), f"stage '{stage.label}'"
    for name in stage.files:
        if not (folder / name).is_file():
            raise ConfigError(f"{what}: files names {name!r}, and there is no such file in {folder}")
    for word in _words(stage.command):
        if is_plain(word) and word not in stage.files and (folder / word).is_file():
            raise ConfigError(
                f"{what}: its command names {word!r}, which it does not declare and so would not find; add it to its "
                f"files, 'files: [{', '.join([*stage.files, word])}]', so that a change of it is another stage"
            )
    return tuple(sorted((name, sha256_of(folder / name)) for name in stage.files))


def _words(command: str) -> list[str]:
    """The words of a command, paths without the `./` before them; none where a quote stays open."""
    try:
        return [word.removeprefix("./") for word in shlex.split(command)]
    except ValueError:
        return []


def _checkpoint(stage: ExternalStage, bases: Mapping[str, BaseModel], store: Store) -> tuple[tuple[str, str]]:
    """The digest of a checkpoint that is there, once it was held against every base."""
    adapter = locate_adapter(stage.path)
    if adapter is not None:
        for name, base in bases.items():
            _check_adapter(Held(stage.label, name, base), adapter)
        return ((_CHECKPOINT, adapter_digest(adapter)),)
    allowed = tuple(dict.fromkeys(pattern for base in bases.values() for pattern in base.allow_unused))
    trusted = any(base.trust_remote_code for base in bases.values())
    whole = open_base(stage.path, store, allow_unused=allowed, trust_remote_code=trusted)
    for name, base in bases.items():
        check_whole(Held(stage.label, name, base), whole.folder, whole.adapter)
    return ((_CHECKPOINT, whole.key),)


@dataclass(frozen=True, slots=True)
class Held:
    """A stage that is held against a base.

    Attributes:
        stage, name: what the two are called.
        base: the base.
    """

    stage: str
    name: str
    base: BaseModel

    def on_meta(self, folder: Path, adapter: Path | None = None) -> Any:
        """A model without its weights."""
        return self.base.load(folder, adapter, precision="fp32", trainable=False, on_meta=True).model


def _check_adapter(held: Held, adapter: Path) -> None:
    """Refuse an adapter that does not fit a base."""
    held.on_meta(held.base.folder, adapter)
    if brings_tokenizer(adapter):
        check_tokens(held, held.base.folder, adapter)


def check_whole(held: Held, folder: Path, adapter: Path | None = None) -> None:
    """Refuse a model that is no checkpoint of a base: another vocabulary, or other weights.

    Raises:
        ModelError: it is none.
    """
    check_tokens(held, folder, adapter)
    if quantisation_of(folder):  # needs its device; whoever loads it looks
        return
    own, usual = held.on_meta(folder), held.on_meta(held.base.folder)
    check_checkpoint_of(own, usual, what=f"stage '{held.stage}'", name=held.name)


def check_tokens(held: Held, folder: Path, adapter: Path | None) -> None:
    """Refuse a tokenizer that reads text as other tokens than the base's.

    Raises:
        ModelError: it does, or cannot be loaded.
    """
    own = load_reader(folder, adapter, trust_remote_code=held.base.trust_remote_code).tokenizer
    usual = held.base.reader().tokenizer
    check_same_tokens(own, usual, what=f"stage '{held.stage}'", name=held.name)


def check_commands(stages: Iterable[ExternalStage], *, trust_remote_code: bool) -> None:
    """Refuse to run a study with a command of which nobody said that it may run.

    Raises:
        ConfigError: it has one.
    """
    for stage in stages:
        if stage.command:
            check_trusted(stage, trust_remote_code=trust_remote_code)


def check_trusted(stage: ExternalStage, *, trust_remote_code: bool) -> None:
    """Refuse to run a command of which nobody said that it may run.

    Raises:
        ConfigError: nobody did.
    """
    if not trust_remote_code:
        raise ConfigError(
            f"stage '{stage.label}': it is made by a command, {stage.command!r}, which may do anything; where you "
            "trust it, --trust-remote-code lets run start it; nothing else does"
        )
