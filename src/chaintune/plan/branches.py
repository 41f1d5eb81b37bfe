"""The chains of a study, and the branches that its mitigations add to them, before anything has a key."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.plan.nodes import Portion
from chaintune.records import Chain, ChainStep, MitigationRef, Regulariser, Task
from chaintune.study.mitigations import DoseSpec, EwcSpec, InterpolateSpec, Mitigation, was_lost
from chaintune.study.study import Study
from chaintune.tasks.doses import dose_size


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chain.

    Attributes:
        place: what it is in a chain.
        task: whose recipe it follows; empty where nothing is trained.
        portions, mixing: what is taught; keys of scores are not known yet.
        recipe: fields in which it differs from the task's recipe.
        regulariser: what holds the weights back.
        protected: task that the regulariser looks at.
        back_to: how many steps the other checkpoint of a blend has done; None where nothing is blended.
        fraction: of the blend.
    """

    place: ChainStep
    task: str
    portions: tuple[Portion, ...] = ()
    mixing: Literal["alone", "swapped", "shuffled"] = "alone"
    recipe: tuple[tuple[str, Any], ...] = ()
    regulariser: Regulariser | None = None
    protected: str = ""
    back_to: int | None = None
    fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class Branch:
    """A chain to be trained, and the plain chain that it is compared with, if it is mitigated."""

    steps: tuple[Step, ...]
    mitigated: MitigationRef | None = None

    @property
    def trained(self) -> Chain:
        """The plain chain's part that ends with the last training on the lost task."""
        if self.mitigated is None:
            return ()
        return self.mitigated.chain[: _learned_at(self.mitigated.task, self.mitigated.chain)]


def branches_of(study: Study, tasks: Mapping[str, Task]) -> list[Branch]:
    """The chains of a study, each followed by its mitigations.

    Raises:
        ConfigError: a dose holds no example, or more than there is room for; a dimension that a task has not.
        DataError: a chain trains on a task that has nothing to train on.
    """
    for name in {name for chain in study.chains for name in chain}:
        if not tasks[name].train:
            raise DataError(f"task '{name}' is trained on in a chain, and its train split is empty")
    mitigations = [resolved(item, tasks[item.task]) for item in study.mitigations]
    found: list[Branch] = []
    for chain in study.chains:
        plain = tuple(Step(ChainStep.plain(task), task, (Portion(task),)) for task in chain)
        found.append(Branch(plain))
        for item in mitigations:
            if was_lost(item.task, chain):
                found += [_branch(item, plain, setting, tasks) for setting in item.spec.settings]
    return found


def _branch(item: Mitigation, plain: tuple[Step, ...], setting: tuple[str, Any], tasks: Mapping[str, Task]) -> Branch:
    chain = tuple(step.place for step in plain)
    named = tuple(dict.fromkeys(step.task for step in plain))
    keep = tuple(task for task in named if task != item.task)
    dose = setting[1] if setting[0] == "dose" else None
    mitigated = MitigationRef(item.kind, item.ladder, item.task, chain, keep, dose)
    recipe = tuple(item.spec.recipe.items())
    if item.kind == "replay":
        return Branch((*plain, replay_step(item, setting[1])), mitigated)
    if item.kind == "joint":
        # Sorted, because what is shuffled has no order: both orders of two tasks have one upper reference.
        portions = tuple(Portion(task) for task in sorted(named))
        place = ChainStep("+".join(named), named, item.kind)
        return Branch((Step(place, plain[-1].task, portions, "shuffled", recipe),), mitigated)
    if isinstance(item.spec, InterpolateSpec):
        return Branch((*plain, _blend(item.spec, chain, setting[1])), mitigated)
    # Flatness helps where it is to be left, so SAM begins with the stage that learns the task.
    first = _learned_at(item.task, chain) - (item.kind == "sam")
    later = (_changed(item, step, setting, recipe, tasks) for step in plain[first:])
    return Branch((*plain[:first], *later), mitigated)


def _changed(
    item: Mitigation,
    step: Step,
    setting: tuple[str, Any],
    recipe: tuple[tuple[str, Any], ...],
    tasks: Mapping[str, Task],
) -> Step:
    """A stage after the task was learned, with the mitigation in it."""
    if isinstance(item.spec, DoseSpec):
        portion = _portion(item, setting[1])
        _check_room(tasks[step.task], tasks[item.task], setting[1])
        label = f"{step.place.label} with {dose_label(item.task, setting[1])}{item.who}"
        place = ChainStep(label, step.place.tasks, item.kind, setting[1])
        return replace(step, place=place, portions=(*step.portions, portion), mixing="swapped", recipe=recipe)
    name, value = setting
    options = {name: value} | ({"examples": item.spec.examples} if isinstance(item.spec, EwcSpec) else {})
    shown = "+".join(value) if isinstance(value, tuple) else f"{value:g}"
    return replace(
        step,
        place=ChainStep(f"{step.place.label} with {item.kind} {shown}", step.place.tasks, item.kind),
        recipe=recipe,
        regulariser=Regulariser(item.kind, tuple(sorted(options.items()))),
        protected=item.task if item.kind == "ewc" else "",
    )


def replay_step(item: Mitigation, dose: float) -> Step:
    """A stage on a dose of a task's data."""
    label = dose_label(item.task, dose) + item.who
    place = ChainStep(label, (), item.kind, dose)
    return Step(place, item.task, (_portion(item, dose),), recipe=tuple(item.spec.recipe.items()))


def dose_label(task: str, dose: float) -> str:
    """How a replay stands in a chain's name.

    Example:
        >>> dose_label("bbq", 0.05), dose_label("bbq", 0.125)
        ('bbq@5%', 'bbq@12.5%')
    """
    return f"{task}@{dose * 100:.6g}%"


def _blend(spec: InterpolateSpec, chain: Chain, fraction: float) -> Step:
    back_to = _learned_at(spec.task, chain) if spec.toward == "trained" else 0
    name = spec.task if spec.toward == "trained" else "base"
    place = ChainStep(f"{fraction * 100:.6g}% back to {name}", (), "interpolate")
    return Step(place, "", back_to=back_to, fraction=fraction)


def _portion(item: Mitigation, dose: float) -> Portion:
    spec = item.spec
    if not isinstance(spec, DoseSpec) or dose == 1 or spec.who == "uniform":
        return Portion(item.task, dose)  # the whole of the data is the same whoever is drawn first
    return Portion(item.task, dose, spec.who, spec.by or "")


def _learned_at(task: str, chain: Chain) -> int:
    """Steps done when a chain has learned a task for the last time."""
    return max(stage for stage, step in enumerate(chain, start=1) if task in step.tasks)


def resolved(item: Mitigation, task: Task) -> Mitigation:
    """The mitigation with its dimension named and its doses checked."""
    spec = item.spec
    if not isinstance(spec, DoseSpec):
        return item
    dose_size(min(spec.dose), len(task.train), task=task.name)
    if spec.who == "uniform":
        return item
    return replace(item, spec=spec.model_copy(update={"by": _dimension(spec, item.kind, task)}))


def _dimension(spec: DoseSpec, kind: str, task: Task) -> str:
    where = f"mitigation {kind} of '{task.name}', who: {spec.who}"
    if spec.by is None and len(task.dimensions) == 1:
        return task.dimensions[0]
    if not task.dimensions:
        raise ConfigError(f"{where}: the task's examples bear no groups, so only 'who: uniform' can be meant")
    if spec.by is None:
        raise ConfigError(f"{where}: 'by' is missing; it names one of its dimensions {', '.join(task.dimensions)}")
    if spec.by not in task.dimensions:
        raise ConfigError(f"{where}: it has no dimension '{spec.by}'; {nearest(spec.by, task.dimensions)}")
    return spec.by


def _check_room(stage: Task, lost: Task, dose: float) -> None:
    rows, room = dose_size(dose, len(lost.train), task=lost.name), len(stage.train)
    if rows > room:
        raise ConfigError(
            f"mitigation rehearse: a dose of {dose:g} of '{lost.name}' is {rows} examples, and a pass over "
            f"'{stage.name}' has {room} rows to swap; a dose of {room / len(lost.train):.4g} fits"
        )
