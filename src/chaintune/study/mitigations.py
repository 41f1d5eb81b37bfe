"""Which mitigations a study file asks for, and what it says about each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chaintune.config.source import KeyPath, Source
from chaintune.config.validation import check, check_distinct
from chaintune.errors import ConfigError, nearest
from chaintune.records.mitigations import BY_GROUPS
from chaintune.study.chains import Chain
from chaintune.study.external import ExternalStage, label_of, task_of
from chaintune.study.schema import check_recipe
from chaintune.tuning.mitigations import MITIGATIONS, AnswersSpec, BetweenSpec, DoseSpec, Mitigation, MitigationSpec
from chaintune.tuning.mitigations.specs import as_text


@dataclass(frozen=True, slots=True)
class MitigationItem:
    """One item of `mitigations`: the mitigation's name and what the file says, recipe fields checked."""

    kind: str
    spec: MitigationSpec

    @property
    def mitigation(self) -> Mitigation:
        """Everything that is known about the mitigation."""
        return MITIGATIONS.get(self.kind)

    @property
    def task(self) -> str:
        """The task that is learned, lost later, and should come back."""
        return self.spec.task

    @property
    def dose_curve(self) -> str:
        """The name that it shares with items of other doses or strengths: `replay balanced by category`."""
        return f"{self.kind}{self.spec.suffix}"


def read_mitigations(source: Source, tasks: Sequence[str], chains: Sequence[Chain]) -> list[MitigationItem]:
    """The mitigations of a study file; problems are noted. There are no chains when something is wrong with them."""
    written = source.data.get("mitigations")
    items: list[MitigationItem] = []
    for index, value in enumerate(written if isinstance(written, list) else []):
        at: KeyPath = ("mitigations", index)
        if (item := _read_item(value, at, tasks, source)) is None:
            continue
        spec = _checked(item.spec, (*at, item.kind), tasks, chains, source)
        item = MitigationItem(item.kind, spec)
        _check_acts(item, (*at, item.kind), chains, source)
        _check_new(item, items, at, source)
        items.append(item)
    return items


def _read_item(value: Any, at: KeyPath, tasks: Sequence[str], source: Source) -> MitigationItem | None:
    """The item `{name: what is said about it}`, whose name decides what may be said."""
    such = f"such as {{replay: {{task: {next(iter(tasks), 'TASK')}}}}}"
    if not isinstance(value, dict):
        source.report(at, f"expected a mapping {such}, got {value!r}")
        return None
    known = MITIGATIONS.names
    unknown = [kind for kind in value if kind not in known]
    for kind in unknown:
        source.report((*at, str(kind)), f"unknown key '{kind}'; {nearest(str(kind), known)}")
    if not unknown and len(value) != 1:
        several = f"{', '.join(value)}; write each as its own item" if value else "none"
        source.report(at, f"expected one mitigation {such}, got {several}")
    if unknown or len(value) != 1:
        return None
    ((kind, fields),) = value.items()
    try:
        spec = check(MITIGATIONS.get(kind).spec, fields, (*at, kind), source)
    except ConfigError as error:  # of a package that offers it
        source.report((*at, kind), str(error))
        return None
    return MitigationItem(kind, spec) if spec else None


def acts_on(spec: MitigationSpec, chain: Chain) -> bool:
    """Whether a chain learns a mitigation's task and ends with another, or never teaches it and need not."""
    teaches = spec.task in map(task_of, chain)
    return task_of(chain[-1]) != spec.task if teaches else spec.untaught


def _checked(
    spec: MitigationSpec, at: KeyPath, tasks: Sequence[str], chains: Sequence[Chain], source: Source
) -> MitigationSpec:
    """A mitigation of a task that some chain learns and then trains away from."""
    if spec.task not in tasks:
        source.report((*at, "task"), f"no task is named '{spec.task}'; {nearest(spec.task, tasks)}")
    elif chains and not any(acts_on(spec, chain) for chain in chains):
        never = any(spec.task not in map(task_of, chain) for chain in chains)
        way_out = "; 'untaught: true' has it act on chains that never teach it" if never else ""
        source.report(
            (*at, "task"),
            f"no chain learns '{spec.task}' and then another task, so there is nothing to bring back{way_out}",
        )
    check_distinct([value for _, value in spec.settings], (*at, spec.varied), source)
    if isinstance(spec, DoseSpec) and spec.who not in BY_GROUPS and spec.by is not None:
        source.report((*at, "by"), "changes nothing without 'who: balanced' or 'who: targeted'")
    if isinstance(spec, AnswersSpec):
        _check_prompts(spec, at, tasks, source)
    return spec.model_copy(update={"recipe": check_recipe(spec.recipe, (*at, "recipe"), source)})


def _check_prompts(spec: AnswersSpec, at: KeyPath, tasks: Sequence[str], source: Source) -> None:
    """Note prompts of no task, and a dose drawn by what is known of the lost task's own examples only."""
    if spec.prompts is None:
        return
    if spec.prompts not in tasks:
        source.report((*at, "prompts"), f"no task is named '{spec.prompts}'; {nearest(spec.prompts, tasks)}")
    if isinstance(spec, DoseSpec) and spec.who != "uniform":
        source.report(
            (*at, "who"),
            f"'{spec.who}' chooses among examples of '{spec.task}', and the prompts are those of '{spec.prompts}'; "
            "leave one of the two out",
        )


def _check_acts(item: MitigationItem, at: KeyPath, chains: Sequence[Chain], source: Source) -> None:
    """Note a mitigation that would act where a task was never taught, or while another program trains a stage."""
    if item.spec.untaught and item.mitigation.place == "instead of the chain":
        source.report(
            (*at, "untaught"),
            f"{item.kind} teaches the tasks of a chain at once, and this one is none of them; add it to the chain, or "
            "take rehearse",
        )
    if item.spec.untaught and isinstance(item.spec, BetweenSpec) and item.spec.toward == "trained":
        source.report(
            (*at, "toward"),
            f"no checkpoint of a chain that never teaches '{item.task}' learned it; write 'toward: base'",
        )
    for chain in chains:
        if not acts_on(item.spec, chain):
            continue
        elsewhere = [step for step in trained_with(item, chain) if isinstance(step, ExternalStage)]
        if elsewhere:
            source.report(
                at,
                f"acts while a stage is trained, and '{elsewhere[0].label}' of {'>'.join(map(label_of, chain))} is "
                "trained elsewhere; take one that comes after the loss, such as replay, or leave that chain to a study "
                "of its own",
            )
            return


def trained_with(item: MitigationItem, chain: Chain) -> Chain:
    """The steps of a chain that a mitigation trains in another way than the plain chain."""
    learned = max((stage for stage, step in enumerate(chain, start=1) if task_of(step) == item.task), default=0)
    match item.mitigation.place:
        case "instead of the chain":
            return chain
        case "later stages":
            return chain[learned:]
        case "from the learning stage":
            return chain[max(learned - 1, 0) :]
        case _:
            return ()


def _check_new(item: MitigationItem, before: Sequence[MitigationItem], at: KeyPath, source: Source) -> None:
    """Two items must not give one name to two checkpoints."""
    kin = [one for one in before if (one.dose_curve, one.task) == (item.dose_curve, item.task)]
    for name, value in item.spec.settings:
        if any((name, value) in one.spec.settings for one in kin):
            what = f"{name} {as_text(value)} of '{item.task}'" if name else f"'{item.task}'"
            source.report(at, f"{item.kind}: {what} is in an earlier item too")
            return
