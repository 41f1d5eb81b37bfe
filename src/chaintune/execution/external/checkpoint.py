"""The checkpoint that another program makes of a parent, or has made, in the store's form."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaintune.errors import ModelError, StageError
from chaintune.execution.bases import BaseModel
from chaintune.execution.external.command import COMMAND_LOG, run_command
from chaintune.execution.external.contents import Held, check_tokens, check_trusted, check_whole
from chaintune.execution.external.rows import write_examples
from chaintune.models import (
    LoadedModel,
    Precision,
    dequantise,
    locate,
    merge_adapter,
    model_digest,
    save,
)
from chaintune.models.digest import adapter_digest
from chaintune.models.folders import ADAPTER_CONFIG, CONFIG, brings_tokenizer, check_folder
from chaintune.models.names import locate_adapter
from chaintune.plan.nodes import External
from chaintune.records import Example
from chaintune.study.external import ExternalStage


@dataclass(frozen=True, slots=True)
class ParentFiles:
    """The checkpoint that a stage follows, as its files lie.

    Attributes:
        weights, adapter: its folders.
        base, name: the base of the chain, and what the study calls it.
        precision: in which checkpoints are stored.
    """

    weights: Path
    adapter: Path | None
    base: BaseModel
    name: str
    precision: Precision

    def load(self, folder: Path, adapter: Path | None = None) -> LoadedModel:
        """A model as the chain's checkpoints are loaded."""
        return self.base.load(folder, adapter, precision=self.precision)

    def whole(self, scratch: Path) -> Path:
        """The folder of the whole model; of an adapter on a base it is written first, where nothing stays."""
        if self.adapter is None:
            return self.weights
        save(merge_adapter(self.load(self.weights, self.adapter)), scratch / "parent")
        return scratch / "parent"

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the base, and so of every checkpoint of its chains."""
        return self.base.reader().tokenizer


def make_checkpoint(
    external: External, parent: ParentFiles, examples: Sequence[Example], *, seed: int, scratch: Path, out: Path
) -> dict[str, Any]:
    """Write the checkpoint that another program makes, or has made, of a parent into `out`; what is noted of it.

    The tokenizer stays that of the base, so that every checkpoint of a chain is asked alike.

    Raises:
        ConfigError: a command, and nobody said that it may run.
        ModelError: the checkpoint that is there cannot be loaded.
        StageError: the command failed, or left no checkpoint of the base; the checkpoint that is there has changed.
    """
    if external.stage.command:
        loaded, notes = _run(external, parent, examples, seed, scratch, out / COMMAND_LOG)
    else:
        loaded, notes = _read(external, parent, scratch), {"content": external.content[0][1]}
    save(replace(merge_adapter(loaded), tokenizer=parent.tokenizer), out)
    return notes


def _read(external: External, parent: ParentFiles, scratch: Path) -> LoadedModel:
    """The checkpoint that is there, if it is still the one that the study was planned with."""
    stage, digest = external.stage, external.content[0][1]
    if (adapter := locate_adapter(stage.path)) is not None:
        _check_same(stage, adapter_digest(adapter), digest)
        return parent.load(parent.whole(scratch), adapter)
    files = locate(stage.path)
    _check_same(stage, model_digest(files), digest)
    if files.is_gguf:
        dequantise(files.weights, scratch / "unpacked")
    return parent.load(scratch / "unpacked" if files.is_gguf else files.weights, files.adapter)


def _check_same(stage: ExternalStage, digest: str, planned: str) -> None:
    if digest != planned:
        raise StageError(
            f"stage '{stage.label}': '{stage.path}' is not the checkpoint that the study was planned with; run the "
            "study again, on machines that see the same one"
        )


def _run(
    external: External, parent: ParentFiles, examples: Sequence[Example], seed: int, scratch: Path, log: Path
) -> tuple[LoadedModel, dict[str, Any]]:
    """The checkpoint that a command makes of a parent, and what is noted of it."""
    stage, made = external.stage, scratch / "out"
    check_trusted(stage, trust_remote_code=parent.base.trust_remote_code)
    whole = parent.whole(scratch)
    made.mkdir()
    environment = {
        "CHAINTUNE_PARENT": str(whole),
        "CHAINTUNE_OUT": str(made),
        "CHAINTUNE_SEED": str(seed),
        "CHAINTUNE_PYTHON": sys.executable,
    }
    if external.reads_data:
        environment["CHAINTUNE_DATA"] = str(write_examples(examples, scratch / "data"))
    notes = run_command(external, environment=environment, scratch=scratch, log=log)
    try:
        loaded, digest = _made(made, stage.label, parent, whole)
    except ModelError as error:
        raise StageError(
            f"stage '{stage.label}': what its command left in CHAINTUNE_OUT is no checkpoint of the base: "
            f"{str(error).replace(str(made), 'CHAINTUNE_OUT')}"
        ) from error
    return loaded, notes | {"output": digest}


def _made(folder: Path, label: str, parent: ParentFiles, whole: Path) -> tuple[LoadedModel, str]:
    """The checkpoint that a command left, and the digest of what it computes."""
    held = Held(label, parent.name, parent.base)
    if (folder / ADAPTER_CONFIG).is_file() and not (folder / CONFIG).is_file():
        check_folder(folder, ADAPTER_CONFIG)
        if brings_tokenizer(folder):
            check_tokens(held, whole, folder)
        return parent.load(whole, folder), adapter_digest(folder)
    if (folder / CONFIG).is_file() and not brings_tokenizer(folder):
        parent.tokenizer.save_pretrained(folder)
    files = locate(str(folder))
    check_whole(held, files.weights)
    return parent.load(files.weights), model_digest(files)
