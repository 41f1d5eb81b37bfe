"""A checkpoint of a finished run as a folder that can be handed on: weights, tokenizer, card, and no path of here."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError
from chaintune.files import atomic
from chaintune.files.disk import os_errors_as_store_error
from chaintune.files.reading import read_json
from chaintune.records.checkpoint import BASE
from chaintune.report.card import checkpoint_card
from chaintune.report.folder import read_results
from chaintune.results import ADAPTER_CONFIG, StudyCheckpoint, StudyResults
from chaintune.store.manifest import MANIFEST

_CARD = "README.md"


def export(
    results: StudyResults,
    checkpoint: StudyCheckpoint,
    folder: Path,
    *,
    whole: bool = False,
    trust_remote_code: bool = False,
) -> str:
    """Write a checkpoint with a card into a folder of its own; what was written, as a sentence.

    An adapter is written alone where others can find its base: by its Hub id, or by its path seen from the folder. Else
    it is folded into its base, and the whole model is written.

    Args:
        results: of the run.
        checkpoint: of it.
        folder: that is made, or is empty.
        whole: fold an adapter into its base in any case.
        trust_remote_code: run Python code that comes with the model.

    Raises:
        ConfigError: the folder holds something; the checkpoint is the base.
        ModelError: the base cannot be loaded, to fold the adapter in.
        StoreError: the weights are not in the store, or the folder cannot be written.
    """
    if checkpoint.chain == BASE:
        raise ConfigError(f"checkpoint '{BASE}': it is the model that the run began with; name one that was trained")
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: holds files already; name a new folder by --to")
    weights = checkpoint.path
    adapter = (weights / ADAPTER_CONFIG).is_file()
    base = _base_name(checkpoint, folder) if adapter else ""
    alone = bool(base) and not whole
    read, named = read_results(results.folder, results.rows), base if alone else ""
    card = checkpoint_card(read, checkpoint, name=folder.resolve().name, base=named, adapter=alone)
    with (
        os_errors_as_store_error(folder.parent, f"the checkpoint {folder.name} cannot be written"),
        atomic.replacing_files(folder) as new,
    ):
        if adapter and not alone:
            _write_folded(checkpoint, new, trust_remote_code=trust_remote_code)
        else:
            _copy(weights, new)
        if alone:
            _name_base(new / ADAPTER_CONFIG, base)
        (new / _CARD).write_text(card, encoding="utf-8")
    if alone:
        return f"wrote the adapter of {checkpoint.title} to {folder}; its base is {base}"
    folded = ", its adapter folded into its base" if adapter else ""
    return f"wrote the whole model of {checkpoint.title} to {folder}{folded}"


def _copy(weights: Path, folder: Path) -> None:
    """Copy what a model is loaded from, and nothing that a run or a user's command left beside it."""
    from chaintune.models.names import MODEL_FILES

    for pattern in (*MODEL_FILES, "*/*.jinja"):  # of several chat templates all but the first lie in a folder
        for path in weights.glob(pattern):
            if path.is_file() and path.name != MANIFEST:
                place = folder / path.relative_to(weights)
                place.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, place)


def _write_folded(checkpoint: StudyCheckpoint, folder: Path, *, trust_remote_code: bool) -> None:
    from chaintune import models

    weights, adapter = checkpoint.files(trust_remote_code=trust_remote_code)
    precision = models.resolve_precision(read_json(checkpoint.folder / "provenance.json")["precision"][0])
    how: dict[str, Any] = {"trust_remote_code": trust_remote_code, "allow_unused": checkpoint.study.allow_unused}
    loaded = models.load(weights, adapter=adapter, precision=precision, trainable=False, **how)
    models.save(models.merge_adapter(loaded), folder)


def _base_name(checkpoint: StudyCheckpoint, folder: Path) -> str:
    """What an adapter in a folder calls its base; empty where nothing that leaves this machine names it."""
    from chaintune.models import ALIASES, locate

    located = checkpoint.study.located(checkpoint.base)
    name = located.rpartition("+")[0] if "+" in located and not Path(located).exists() else located
    if name in ALIASES and not Path(name).exists():
        return "" if locate(name).is_gguf else ALIASES[name].hub_id
    if not Path(name).exists():
        return name
    here, there = os.path.realpath(folder), os.path.realpath(name)
    # A path through a folder above one's home would tell whose it is.
    common, seen = Path(os.path.commonpath([here, there])), Path(os.path.relpath(there, here))
    told = (Path.home().is_relative_to(common) and common != Path.home()) or Path.home().name in seen.parts
    return "" if told or not Path(there).is_dir() else seen.as_posix()


def _name_base(config: Path, base: str) -> None:
    content: dict[str, Any] = json.loads(config.read_bytes())
    hub_id, _, revision = (base, "", "") if base.startswith(".") else base.partition("@")
    named: dict[str, Any] = {"base_model_name_or_path": hub_id} | ({"revision": revision} if revision else {})
    config.write_text(json.dumps(content | named, indent=2, sort_keys=True), encoding="utf-8")
