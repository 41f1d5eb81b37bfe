"""A mitigation of two checkpoints that exist already: planned, run and stored as a study is."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, ModelError
from chaintune.execution.bases import BaseModel
from chaintune.files import atomic
from chaintune.files.disk import os_errors_as_store_error
from chaintune.files.reading import read_json
from chaintune.models import merge_adapter, save
from chaintune.models.folders import weight_shapes
from chaintune.plan.branches import Branch, added_stage, compared, merged_step, resolved
from chaintune.plan.graph import Family
from chaintune.records import Chain, ChainStep, Recommendation, Task, chain_label, variant_label
from chaintune.records.mitigations import LATER
from chaintune.runs.session import Session, prepare
from chaintune.scoring.backends import AS_USUAL, Serving
from chaintune.store.store import Store
from chaintune.study.mitigations import MitigationItem
from chaintune.study.study import Study
from chaintune.tuning.mitigations import MITIGATIONS, BetweenSpec, MitigationSpec

_AFTERWARDS = ("after the loss", "between checkpoints")


def mitigation_study(
    model: str,
    before: str,
    *,
    forgotten: str,
    keep: Sequence[str],
    fields: Mapping[str, Any],
    settings: Mapping[str, Any],
    overrides: Sequence[str] = (),
    kind: str = "replay",
    base: str = "",
) -> Study:
    """The study that a mitigation of two checkpoints is.

    Args:
        model: the checkpoint after the loss.
        before: the checkpoint that still knew the task.
        forgotten: task that was lost.
        keep: tasks that should not pay, at least one.
        fields: of the mitigation, as in a study file: `dose`, `fraction`, `who`, `by`, `recipe` and its own.
        settings: other keys of a study file, such as `recipe`, `vary`, `seed`, `precision` or `tasks`.
        overrides: `key=value` with dotted keys.
        kind: name of the mitigation, one that acts after the loss.
        base: from which both come, where the mitigation reads it.

    Raises:
        ConfigError: an invalid value.
    """
    _check_kind(kind, before, forgotten, keep)
    if model == before:
        raise ConfigError(f"'{model}' is named as the model before and after, so nothing was lost between them")
    if forgotten in keep:
        raise ConfigError(f"task '{forgotten}' is named as forgotten and as one to keep; name it once")
    if not keep:
        raise ConfigError("name at least one task to keep, whose price is measured")
    described = dict(settings.get("tasks") or {})
    prompts = [fields["prompts"]] if fields.get("prompts") else []
    mapping = dict(settings) | {
        "base": [model, before, *([base] if base else [])],
        "tasks": {name: described.get(name) for name in (forgotten, *keep, *prompts)},
        "chains": [[forgotten, keep[0]]],
        "mitigations": [{kind: {"task": forgotten, **fields}}],
    }
    study = Study.from_mapping(mapping, overrides, name="mitigate")
    if len(study.bases) < len(mapping["base"]):
        raise ConfigError(f"{', '.join(mapping['base'])}: two of these are one model; name another one in one's place")
    spec = study.mitigations[0].spec
    if (reads := _why_base(spec)) and not base:
        raise ConfigError(f"mitigation '{kind}' reads the base, as {reads}; name the model from which both come")
    if base and not reads:
        raise ConfigError(f"base '{base}': mitigation '{kind}' does not read it; leave it out")
    if dict(study.vary).get("seed"):
        raise ConfigError("vary.seed: one model is written, so name one seed")
    return study


def _why_base(spec: MitigationSpec) -> str:
    """Why a mitigation reads the base; empty where it does not."""
    if not isinstance(spec, BetweenSpec):
        return ""
    if spec.reads_base:
        return "task vectors begin at it"
    return "its weights are mixed in" if spec.toward == "base" else ""


def _check_kind(kind: str, before: str, forgotten: str, keep: Sequence[str]) -> None:
    """Refuse mitigations that act before the loss has happened."""
    place = MITIGATIONS.get(kind).place
    if place in _AFTERWARDS:
        return
    kinds = [name for name in MITIGATIONS.names if MITIGATIONS.get(name).place in _AFTERWARDS]
    if place == "instead of the chain":
        why = "teaches the tasks at once in the place of two stages, and both were trained"
        chain, item = f"[[{', '.join((forgotten, *keep[:1]))}]]", f"{{task: {forgotten}}}"
        instead = f"a study of the model before '{forgotten}' was learned with 'chains: {chain}'"
    else:
        why = "acts while the stage that causes the loss is trained, and that has happened already"
        chain, item = f"[[{', '.join(keep[:1])}]]", f"{{task: {forgotten}, untaught: true}}"
        instead = f"a study with 'base: {before}', 'chains: {chain}'"
    raise ConfigError(
        f"mitigation '{kind}' {why}; name {', '.join(kinds[:-1])} or {kinds[-1]}, or train it again under the "
        f"mitigation: {instead} and 'mitigations: [{{{kind}: {item}}}]'"
    )


def prepare_mitigation(
    study: Study,
    store: Store,
    *,
    keep: Sequence[str],
    trust_remote_code: bool = False,
    serving: Serving = AS_USUAL,
) -> Session:
    """Everything that a mitigation needs, read once; its plan makes nothing but what comes after the loss.

    Args:
        study: from `mitigation_study`.
        store: where finished work lies.
        keep: tasks that should not pay; whatever else is measured has no price.
        trust_remote_code: run Python code that comes with a model, or that the study names.
        serving: how servers are asked.

    Raises:
        ConfigError: the two checkpoints are one.
        DataError: a task's data cannot be loaded.
        ModelError: a model cannot be loaded, or the two are of different shapes.
    """
    how: dict[str, Any] = {"trust_remote_code": trust_remote_code, "serving": serving}
    session = prepare(study, store, **how, families=partial(_families, keep))
    after, before, *base = (session.bases[name] for name in study.bases)
    _check_pair(before, after)
    for one in base:
        _check_pair(one, before)
    return session


def recipe_of(session: Session, choice: Recommendation) -> dict[str, Any]:
    """The fields of the recipe by which the lost task was taught again; none of a merge."""
    study = session.study
    if isinstance(study.mitigations[0].spec, BetweenSpec):
        return {}
    variant = next(one for one in study.variants() if variant_label(one.labels) == choice.variant)
    recipe = study.recipe_of(choice.task, variant, study.mitigations[0].spec.recipe)
    return {name: value for name, value in recipe.content().items() if value is not None}


def write_model(session: Session, chain: str, folder: Path, *, variant: str = "", card: str) -> None:
    """Write the model at the end of a chain, as results name it, into a folder, whole, an adapter folded in.

    Raises:
        ModelError: the checkpoint is not in the store.
        StoreError: the disk is full, or the folder cannot be written; what was there before is still there.
    """
    nodes = [node for node in session.plan.stages if chain_label(node.chain) == chain]
    node = next((node for node in nodes if variant_label(node.variant) == variant), nodes[0])
    entry = session.store.get(node.kind, node.key)
    if entry is None:
        raise ModelError(
            f"the checkpoint of {chain} is not in the store {session.store.address}; run the command again"
        )
    base = session.bases[node.base]
    loaded = base.load(*base.folders(entry.path), precision=session.precision, trainable=False)
    with (
        os_errors_as_store_error(folder.parent, f"the model {folder.name} cannot be written"),
        atomic.replacing_files(folder) as new,
    ):
        save(merge_adapter(loaded), new)
        (new / "README.md").write_text(card, encoding="utf-8")


def note_written(folder: Path, chain: str) -> None:
    """Have a run's results name the chain whose model lies beside them, or none: an earlier run's is not theirs.

    Raises:
        StoreError: it cannot be written.
    """
    with os_errors_as_store_error(folder, "the results cannot be written"):
        atomic.write_json(folder / "results.json", read_json(folder / "results.json") | {"written": chain})


def _families(
    keep: Sequence[str], study: Study, tasks: Mapping[str, Task], base_keys: Mapping[str, str]
) -> list[Family]:
    """The checkpoints that exist, and every dose taught to the later one or fraction merged into it."""
    item = resolved(study.mitigations[0], tasks)
    after, before, *base = study.bases
    existing: dict[Chain, str] = {(): base_keys[base[0]]} if base else {}
    existing |= {_chain(item)[:1]: base_keys[before], _chain(item): base_keys[after]}
    priced = tuple(task for task in dict.fromkeys(keep) if tasks[task].test)
    # A step looks back to the checkpoints that exist: the base where it does, and the one that had learned the task.
    branches = list(_branches(item, priced, tasks, learned=len(base)))
    return [Family(after, variant, existing, branches) for variant in study.variants()]


def _branches(
    item: MitigationItem, keep: tuple[str, ...], tasks: Mapping[str, Task], *, learned: int
) -> Iterator[Branch]:
    for _, value in item.spec.settings:
        if item.spec.is_nothing(value):
            continue
        merges = isinstance(item.spec, BetweenSpec)
        step = merged_step(item, value, learned) if merges else added_stage(item, value, tasks)
        yield Branch((step,), compared(item, _chain(item), keep, value), start=_chain(item))


def _chain(item: MitigationItem) -> Chain:
    """The later checkpoint's chain as far as it is known: the lost task was trained on, then something else."""
    return (ChainStep.plain(item.task), ChainStep(LATER))


def _check_pair(before: BaseModel, after: BaseModel) -> None:
    """Refuse two names of one model, and two models that cannot be checkpoints of one."""
    if before.key == after.key:
        raise ConfigError(f"'{before.name}' and '{after.name}' are the same model, so nothing was lost between them")
    one, other = weight_shapes(before.folder), weight_shapes(after.folder)
    for name in sorted(one.keys() & other.keys()):
        if one[name] != other[name]:
            raise ModelError(
                f"'{before.name}' and '{after.name}' are of different shapes: {name} is {one[name]} and {other[name]}; "
                "both have to be checkpoints of one model"
            )
    if not one.keys() & other.keys():
        raise ModelError(
            f"'{before.name}' and '{after.name}' have no weight in common; both have to be checkpoints of one model"
        )
