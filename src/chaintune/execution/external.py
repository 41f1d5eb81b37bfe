"""Checkpoints that other programs make: looked at before anything runs, then brought into the store's form."""

import json
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, ModelError, StageError
from chaintune.execution.bases import BaseModel, open_base
from chaintune.execution.command import COMMAND_LOG, run_command
from chaintune.files.reading import sha256_of
from chaintune.models import (
    LoadedModel,
    Precision,
    dequantise,
    load,
    load_reader,
    locate,
    merge_adapter,
    model_digest,
    save,
)
from chaintune.models.digest import adapter_digest
from chaintune.models.folders import ADAPTER_CONFIG, CONFIG, brings_tokenizer, check_folder, json_object
from chaintune.models.names import locate_adapter
from chaintune.models.wholeness import check_checkpoint_of, check_same_tokens
from chaintune.plan.nodes import External
from chaintune.records import Choices, Example, Preference, Reference
from chaintune.records.examples import Text
from chaintune.store.store import Store
from chaintune.study.external import ExternalStage

_CHECKPOINT = "checkpoint"


def contents_of(
    stages: Iterable[ExternalStage], bases: Iterable[BaseModel], store: Store, *, trust_remote_code: bool = False
) -> dict[ExternalStage, tuple[tuple[str, str], ...]]:
    """What determines each stage beside its parent, data and seed, after a look at what is there; nothing is run.

    Args:
        stages: that other programs train.
        bases: of the study; each stage follows each.
        store: where a GGUF file is unpacked to.
        trust_remote_code: run Python code that comes with a model.

    Raises:
        ConfigError: a file that a command reads is not there, or not among those that it declares.
        ModelError: a checkpoint cannot be loaded, or has another vocabulary than a base, or other weights.
    """
    several = list(bases)
    return {
        stage: _declared(stage) if stage.command else _checkpoint(stage, several, store, trust_remote_code)
        for stage in stages
    }


def _declared(stage: ExternalStage) -> tuple[tuple[str, str], ...]:
    """Names and digests of the files that a command declares."""
    folder, what = Path(stage.folder), f"stage '{stage.label}'"
    for name in stage.files:
        if not (folder / name).is_file():
            raise ConfigError(f"{what}: files names {name!r}, and there is no such file in {folder}")
    with suppress(ValueError):  # an open quote is the shell's to refuse
        for word in shlex.split(stage.command):
            inside = not Path(word).is_absolute() and ".." not in Path(word).parts
            if inside and word not in stage.files and (folder / word).is_file():
                raise ConfigError(
                    f"{what}: its command names {word!r}, which it does not declare and so would not find; add it to "
                    f"its files, 'files: [{', '.join([*stage.files, word])}]', so that a change of it is another stage"
                )
    return tuple(sorted((name, sha256_of(folder / name)) for name in stage.files))


def _checkpoint(
    stage: ExternalStage, bases: Sequence[BaseModel], store: Store, trust_remote_code: bool
) -> tuple[tuple[str, str]]:
    """The digest of a checkpoint that is there, once it was held against every base."""
    adapter = locate_adapter(stage.path)
    if adapter is not None:
        for base in bases:
            _check_adapter(stage.label, adapter, base, trust_remote_code)
        return ((_CHECKPOINT, adapter_digest(adapter)),)
    allowed = tuple(dict.fromkeys(pattern for base in bases for pattern in base.allow_unused))
    whole = open_base(stage.path, store, allow_unused=allowed, trust_remote_code=trust_remote_code)
    for base in bases:
        _check_whole(stage.label, whole.folder, whole.adapter, base, trust_remote_code)
    return ((_CHECKPOINT, whole.key),)


def _check_adapter(label: str, adapter: Path, base: BaseModel, trust_remote_code: bool) -> None:
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "allow_unused": base.allow_unused}
    if not _is_quantised(base.folder):
        load(base.folder, adapter=adapter, precision="fp32", trainable=False, on_meta=True, **options)
    if brings_tokenizer(adapter):
        _check_tokens(label, base.folder, adapter, base, trust_remote_code)


def _check_whole(label: str, folder: Path, adapter: Path | None, base: BaseModel, trust_remote_code: bool) -> None:
    """Refuse a model that is no checkpoint of a base: another vocabulary, or other weights.

    Raises:
        ModelError: it is none.
    """
    _check_tokens(label, folder, adapter, base, trust_remote_code)
    if _is_quantised(folder) or _is_quantised(base.folder):  # needs its device; whoever loads it looks
        return
    options: dict[str, Any] = {"precision": "fp32", "trainable": False, "on_meta": True}
    options |= {"trust_remote_code": trust_remote_code, "allow_unused": base.allow_unused}
    models = [load(one, **options).model for one in (folder, base.folder)]
    check_checkpoint_of(*models, what=f"stage '{label}'", name=base.name)


def _check_tokens(label: str, folder: Path, adapter: Path | None, base: BaseModel, trust_remote_code: bool) -> None:
    own = load_reader(folder, adapter, trust_remote_code=trust_remote_code).tokenizer
    usual = load_reader(base.folder, base.adapter, trust_remote_code=trust_remote_code).tokenizer
    check_same_tokens(own, usual, what=f"stage '{label}'", name=base.name)


def _is_quantised(folder: Path) -> bool:
    return "quantization_config" in json_object(folder / CONFIG)


@dataclass(frozen=True, slots=True)
class ParentFiles:
    """The checkpoint that a stage follows, as its files lie.

    Attributes:
        weights, adapter: its folders.
        base: the base of the chain.
        precision: in which checkpoints are stored.
        trust_remote_code: run the stage's command, and Python code that comes with a model.
    """

    weights: Path
    adapter: Path | None
    base: BaseModel
    precision: Precision
    trust_remote_code: bool

    def load(self, folder: Path, adapter: Path | None = None) -> LoadedModel:
        """A model as the chain's checkpoints are loaded."""
        return load(
            folder,
            adapter=adapter,
            precision=self.precision,
            trust_remote_code=self.trust_remote_code,
            allow_unused=self.base.allow_unused,
        )

    def whole(self, scratch: Path) -> Path:
        """The folder of the whole model; of an adapter on a base it is written first, where nothing stays."""
        if self.adapter is None:
            return self.weights
        save(merge_adapter(self.load(self.weights, self.adapter)), scratch / "parent")
        return scratch / "parent"

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the base, and so of every checkpoint of its chains."""
        trusted = self.trust_remote_code
        return load_reader(self.base.folder, self.base.adapter, trust_remote_code=trusted).tokenizer


def make_checkpoint(
    external: External, parent: ParentFiles, examples: Sequence[Example], *, seed: int, scratch: Path, out: Path
) -> dict[str, Any]:
    """Write the checkpoint that another program makes, or has made, of a parent into `out`; what is noted of it.

    The tokenizer stays that of the base, so that every checkpoint of a chain is asked alike.

    Args:
        external: what makes it.
        parent: that it follows.
        examples: that a command is handed.
        seed: of the chain.
        scratch: an empty folder, removed afterwards.
        out: of the checkpoint and the command's log.

    Raises:
        ConfigError: a command, and nobody said that it may run.
        ModelError: the checkpoint that is there cannot be loaded.
        StageError: the command failed, or left no checkpoint of the base; the checkpoint that is there has changed.
    """
    if external.stage.command:
        loaded, notes = _run(external, parent, examples, seed, scratch, out / COMMAND_LOG)
    else:
        loaded, notes = _read(external, parent, scratch), {"content": external.content[0][1]}
    alone = parent.adapter is None and parent.weights == parent.base.folder
    loaded = loaded if alone else merge_adapter(loaded)
    save(replace(loaded, tokenizer=parent.tokenizer), out)
    return notes


def check_commands(stages: Iterable[ExternalStage], *, trust_remote_code: bool) -> None:
    """Refuse to run a study with commands of which nobody said that they may run.

    Raises:
        ConfigError: one has them.
    """
    for stage in stages:
        if stage.command:
            _check_trusted(stage, trust_remote_code=trust_remote_code)


def _check_trusted(stage: ExternalStage, *, trust_remote_code: bool) -> None:
    if not trust_remote_code:
        raise ConfigError(
            f"stage '{stage.label}': it is made by a command, {stage.command!r}, which may do anything; where you "
            "trust it, --trust-remote-code lets run start it; nothing else does"
        )


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
    return merge_adapter(parent.load(scratch / "unpacked" if files.is_gguf else files.weights, files.adapter))


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
    _check_trusted(stage, trust_remote_code=parent.trust_remote_code)
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
    if (folder / ADAPTER_CONFIG).is_file() and not (folder / CONFIG).is_file():
        check_folder(folder, ADAPTER_CONFIG)
        if brings_tokenizer(folder):
            _check_tokens(label, whole, folder, parent.base, parent.trust_remote_code)
        return parent.load(whole, folder), adapter_digest(folder)
    if (folder / CONFIG).is_file() and not brings_tokenizer(folder):
        parent.tokenizer.save_pretrained(folder)
    files = locate(str(folder))
    _check_whole(label, files.weights, None, parent.base, parent.trust_remote_code)
    return parent.load(files.weights), model_digest(files)


def write_examples(examples: Sequence[Example], folder: Path) -> Path:
    """A folder with `train.jsonl`, a row for each example.

    Args:
        examples: as they are taught.
        folder: made.
    """
    folder.mkdir()
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(plain_row(example), ensure_ascii=False) + os.linesep for example in examples)
    return folder


def plain_row(example: Example) -> dict[str, Any]:
    """An example with all its fields, its prompt and answers in the columns that TRL's trainers read.

    Of a choice or a reference `prompt` and `completion`, of a preference `prompt`, `chosen` and `rejected`: text after
    text, turns after turns. `answer` is the text of what is right, without the blank before it.
    """
    row = example.content() | {"prompt": _turns(example.prompt)}
    match example.target:
        case Choices() as choices if choices.has_right_answer:
            return row | _completion(example, choices.gold_text)
        case Reference(text):
            return row | _completion(example, text)
        case Preference(chosen, rejected):
            return row | {"chosen": _answer(example, chosen), "rejected": _answer(example, rejected)}
        case _:
            return row


def _completion(example: Example, text: Text) -> dict[str, Any]:
    plain = text if isinstance(text, str) else text[-1].content
    return {"completion": _answer(example, text), "answer": plain.strip()}


def _answer(example: Example, text: Text) -> Any:
    """An answer as it follows the prompt: text after text, turns after turns."""
    if isinstance(text, str) and not isinstance(example.prompt, str):
        return [{"role": "assistant", "content": text}]
    return _turns(text)


def _turns(text: Text) -> Any:
    if isinstance(text, str):
        return text
    return [{"role": turn.role, "content": turn.content, **turn.extra} for turn in text]
