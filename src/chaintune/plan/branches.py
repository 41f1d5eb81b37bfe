"""The chains of a study, and the branches that its mitigations add to them, before anything has a key."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.plan.nodes import OwnAnswers, Portion
from chaintune.records import Chain, ChainStep, MitigationRef, Regulariser, Task
from chaintune.records.examples import LABEL, Choices
from chaintune.records.mitigations import BY_GROUPS, VARIED
from chaintune.scoring.chat_rows import check_outcomes
from chaintune.scoring.scorers.metric import scorer_of
from chaintune.study.external import ChainItem, ExternalStage, task_of
from chaintune.study.mitigations import MitigationItem, acts_on
from chaintune.study.study import Study
from chaintune.tasks.sizes import dose_size
from chaintune.tasks.unanswered import are_prompts
from chaintune.tuning.mitigations import AnswersSpec, BetweenSpec, DoseSpec


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chain.

    Attributes:
        place: what it is in a chain.
        task: whose recipe it follows; empty where nothing is trained, or nobody knows on what.
        portions, mixing: what is taught; keys of scores are not known yet.
        recipe: fields in which it differs from the task's recipe.
        regulariser: what holds the weights back.
        protected: task that the regulariser looks at; empty where it looks at none.
        protected_examples: how many of its examples.
        protected_own: where it looks at own answers to them; keys of scores are not known yet.
        rows_a_step: that the regulariser reads beside those of the stage.
        bytes_a_token: of what it looks at, that it holds throughout.
        back_to: how many steps the other checkpoint of a merge has done; None where nothing is merged.
        fraction: of the way to it, or whatever else the mitigation varies.
        merged_by: the mitigation that merges; empty where nothing is merged.
        merge_options: what else it takes.
        reads_base: whether it takes the base too.
        external: the stage that another program trains; None where we do.
    """

    place: ChainStep
    task: str
    portions: tuple[Portion, ...] = ()
    mixing: Literal["alone", "swapped", "shuffled"] = "alone"
    recipe: tuple[tuple[str, Any], ...] = ()
    regulariser: Regulariser | None = None
    protected: str = ""
    protected_examples: int = 0
    protected_own: OwnAnswers | None = None
    rows_a_step: int = 0
    bytes_a_token: int = 0
    back_to: int | None = None
    fraction: Any = None
    merged_by: str = ""
    merge_options: tuple[tuple[str, Any], ...] = ()
    reads_base: bool = False
    external: ExternalStage | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """A chain to be trained.

    Attributes:
        steps: one after another.
        mitigated: the plain chain that it is compared with; None of a plain chain.
        start: the chain of the existing checkpoint that its first step follows.
    """

    steps: tuple[Step, ...]
    mitigated: MitigationRef | None = None
    start: Chain = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """Tasks whose training prompts a checkpoint answers for it, each once."""
        taught = [portion.task for step in self.steps for portion in step.portions if portion.own]
        return tuple(dict.fromkeys([*taught, *(step.protected for step in self.steps if step.protected_own)]))

    @property
    def mitigated_chain(self) -> Chain:
        """The plain chain that it is compared with; no step of a plain chain."""
        return self.mitigated.chain if self.mitigated else ()

    @property
    def trained(self) -> Chain:
        """The plain chain's part that ends with the last training on the lost task; the base where there is none."""
        if self.mitigated is None:
            return ()
        return self.mitigated.chain[: _learned_at(self.mitigated.task, self.mitigated.chain)]


_PROMPTS = "its prompts have no answers to teach; measure it, and train on another"


def branches_of(study: Study, tasks: Mapping[str, Task]) -> list[Branch]:
    """The chains of a study, each followed by its mitigations.

    Raises:
        ConfigError: a dose holds no example, or more than there is room for; a dimension that a task has not.
        DataError: a chain trains on a task that has nothing to train on.
    """
    for name in {task_of(item) for chain in study.chains for item in chain if _reads_data(item)}:
        train, test = tasks[name].train, tasks[name].test
        if not train or are_prompts(train):
            why = _PROMPTS if are_prompts(train or test) else "its train split is empty"
            raise DataError(f"task '{name}' is trained on in a chain, and {why}")
    for item in study.mitigations:
        _check_taught(item, tasks[item.task])
    mitigations = [resolved(item, tasks) for item in study.mitigations]
    branches: list[Branch] = []
    for chain in study.chains:
        plain = tuple(map(_plain, chain))
        branches.append(Branch(plain))
        for item in mitigations:
            if acts_on(item.spec, chain):
                settings = [one for one in item.spec.settings if not item.spec.is_nothing(one[1])]
                branches += [_branch(item, plain, setting, tasks) for setting in settings]
    return branches


def _check_taught(item: MitigationItem, task: Task) -> None:
    """Refuse a mitigation that would teach, or look at, training examples which its task does not have."""
    if isinstance(item.spec, AnswersSpec):  # which a checkpoint answers itself
        return
    if (isinstance(item.spec, DoseSpec) or item.spec.protected_examples) and (
        not task.train or are_prompts(task.train)
    ):
        why = "it has none ('train: none')" if not task.train else "these have no answers"
        raise DataError(
            f"mitigation {item.kind} of '{task.name}': it needs training examples of the task with answers, and {why}; "
            "give it a size and targets, or take a mitigation that reads no data, such as l2sp"
        )


def _reads_data(item: ChainItem) -> bool:
    """Whether a step needs the training examples of its task."""
    return isinstance(item, str) or bool(item.command and item.task)


def _plain(item: ChainItem) -> Step:
    """A step of a plain chain."""
    if isinstance(item, str):
        return Step(ChainStep.plain(item), item, (Portion(item),))
    return Step(ChainStep(item.label, (item.task,) if item.task else ()), item.task, external=item)


def _branch(
    item: MitigationItem, plain: tuple[Step, ...], setting: tuple[str, Any], tasks: Mapping[str, Task]
) -> Branch:
    chain = tuple(step.place for step in plain)
    others = (task for task in dict.fromkeys(step.task for step in plain) if task not in ("", item.task))
    keep = tuple(task for task in others if tasks[task].test)
    return Branch(_steps(item, plain, setting[1], tasks), compared(item, chain, keep, setting[1]))


def compared(item: MitigationItem, chain: Chain, keep: tuple[str, ...], value: Any) -> MitigationRef:
    """What a checkpoint with a mitigation is held against."""
    shown = {name: value for name in VARIED if name == item.spec.varied}
    needs = item.spec.needs_old_data
    return MitigationRef(item.kind, item.dose_curve, item.task, chain, keep, needs_old_data=needs, **shown)


def _steps(item: MitigationItem, plain: tuple[Step, ...], value: Any, tasks: Mapping[str, Task]) -> tuple[Step, ...]:
    """The steps of a chain with a mitigation, at one value of what it varies."""
    learned = _learned_at(item.task, tuple(step.place for step in plain))
    match item.mitigation.place:
        case "after the loss":
            return (*plain, added_stage(item, value, tasks))
        case "between checkpoints":
            return (*plain, merged_step(item, value, learned))
        case "instead of the chain":
            return (_joint(item, plain, value, tasks),)
        case "later stages" | "from the learning stage" as place:
            first = max(learned - (place == "from the learning stage"), 0)
            return (*plain[:first], *(_changed(item, step, value, tasks) for step in plain[first:]))


def _changed(item: MitigationItem, step: Step, value: Any, tasks: Mapping[str, Task]) -> Step:
    """A stage of the chain with the mitigation in it."""
    label = f"{step.place.label} with {item.spec.label(item.kind, value)}"
    if not isinstance(item.spec, DoseSpec):
        return _with_hook(item, replace(step, place=ChainStep(label, step.place.tasks, item.kind)), value, tasks)
    _check_room(item, tasks[step.task], tasks[item.task], value)
    place = ChainStep(label, step.place.tasks, item.kind, value)
    portions = (*step.portions, _portion(item, value, tasks))
    return _with_hook(item, replace(step, place=place, portions=portions, mixing="swapped"), value, tasks)


def added_stage(item: MitigationItem, dose: float, tasks: Mapping[str, Task]) -> Step:
    """A stage on a dose of a task's data, or of own answers to its prompts."""
    place = ChainStep(item.spec.label(item.kind, dose), (), item.kind, dose)
    return _with_hook(item, Step(place, item.task, (_portion(item, dose, tasks),)), dose, tasks)


def _joint(item: MitigationItem, plain: tuple[Step, ...], value: Any, tasks: Mapping[str, Task]) -> Step:
    """One stage on all tasks of a chain."""
    names = tuple(dict.fromkeys(step.task for step in plain))
    # Sorted, because what is shuffled has no order: both orders of two tasks have one upper reference.
    portions = tuple(Portion(task) for task in sorted(names))
    place = ChainStep("+".join(names), names, item.kind)
    return _with_hook(item, Step(place, plain[-1].task, portions, "shuffled"), value, tasks)


def merged_step(item: MitigationItem, value: Any, learned: int) -> Step:
    """Weights between those after a chain and those of an earlier checkpoint.

    Args:
        item: the mitigation.
        value: of what it varies.
        learned: steps that were done when the chain had learned the task for the last time.
    """
    spec = item.spec
    assert isinstance(spec, BetweenSpec)  # noqa: S101 - the mitigation was refused otherwise
    back_to = learned if spec.toward == "trained" else 0
    place = ChainStep(spec.label(item.kind, value), (), item.kind)
    options = tuple(sorted(spec.merge_options.items()))
    return Step(
        place,
        "",
        back_to=back_to,
        fraction=value,
        merged_by=item.kind,
        merge_options=options,
        reads_base=spec.reads_base,
    )


def _with_hook(item: MitigationItem, step: Step, value: Any, tasks: Mapping[str, Task]) -> Step:
    """A stage with the mitigation's changes to its recipe, and with what it does to the model while it trains."""
    spec = item.spec
    step = replace(step, recipe=tuple(spec.recipe.items()))
    if item.mitigation.apply is None:
        return step
    count, protected = spec.protected_examples, item.task
    if isinstance(spec, AnswersSpec) and count:
        protected = spec.prompts or item.task
        step = replace(step, protected_own=_own(spec, tasks[protected]))
    return replace(
        step,
        regulariser=Regulariser(item.kind, tuple(sorted(spec.options(value).items()))),
        protected=protected if count else "",
        protected_examples=count,
        rows_a_step=spec.rows_a_step,
        bytes_a_token=spec.bytes_a_token,
    )


def _portion(item: MitigationItem, dose: float, tasks: Mapping[str, Task]) -> Portion:
    spec, task, own = item.spec, item.task, None
    if isinstance(spec, AnswersSpec):
        task = spec.prompts or task
        own = _own(spec, tasks[task])
    if not isinstance(spec, DoseSpec) or dose == 1 or spec.who == "uniform":
        return Portion(task, dose, own=own)  # the whole of the data is the same whoever is drawn first
    return Portion(task, dose, spec.who, spec.by or "", own=own)


def _own(spec: AnswersSpec, prompts: Task) -> OwnAnswers:
    generation = replace(
        prompts.generation,
        samples=1,
        max_new_tokens=spec.max_new_tokens,
        temperature=spec.drawn_at,
        # Where no answer is drawn no key holds a seed, and the turns of a user are drawn all the same.
        seed=prompts.generation.seed if spec.drawn_at else 0,
    )
    return OwnAnswers(generation, tuple(spec.keep), prompts.scorers[0] if spec.keep else None)


def _learned_at(task: str, chain: Chain) -> int:
    """Steps done when a chain has learned a task for the last time; 0 where it never teaches it."""
    return max((stage for stage, step in enumerate(chain, start=1) if task in step.tasks), default=0)


def resolved(item: MitigationItem, tasks: Mapping[str, Task]) -> MitigationItem:
    """The mitigation with its dimension named, its doses checked, and its prompts found to be some."""
    spec, task = item.spec, tasks[item.task]
    if isinstance(spec, AnswersSpec):
        task = tasks[spec.prompts or item.task]
        _check_prompts(spec, item.kind, task)
    if not isinstance(spec, DoseSpec):
        return item
    dose_size(min((one for one in spec.dose if one), default=1), len(task.train), task=task.name)
    if spec.who not in BY_GROUPS:
        return item
    return replace(item, spec=spec.model_copy(update={"by": _dimension(spec, item.kind, task)}))


def _check_prompts(spec: AnswersSpec, kind: str, prompts: Task) -> None:
    """Refuse, before anything is trained, prompts that are none, and outcomes that nothing tells."""
    if not prompts.train:
        raise ConfigError(
            f"mitigation {kind}: task '{prompts.name}' has no training prompts to be answered; give its 'train' a size"
        )
    if not spec.keep:
        return
    if {type(example.target) for example in prompts.train} == {Choices}:
        raise ConfigError(
            f"mitigation {kind}: 'keep' is of texts, and of task '{prompts.name}' a choice is taken; leave 'keep' out"
        )
    check_outcomes([prompts], spec.keep)
    if scorer_of(prompts.scorers[0]).model is not None:
        raise ConfigError(
            f"mitigation {kind}: 'keep' asks the scorer '{prompts.scorers[0].name}' of task '{prompts.name}', which "
            "asks a model; name one first that asks none, such as refusal"
        )


def _dimension(spec: DoseSpec, kind: str, task: Task) -> str:
    where = f"mitigation {kind} of '{task.name}', who: {spec.who}"
    named = [dimension for dimension in task.dimensions if dimension != LABEL] or list(task.dimensions)
    if spec.by is None and len(named) == 1:
        return named[0]
    if not task.dimensions:
        raise ConfigError(
            f"{where}: the task's examples bear no groups; write a 'who' that asks for none, such as uniform"
        )
    if spec.by is None:
        raise ConfigError(f"{where}: 'by' is missing; it names one of its dimensions {', '.join(task.dimensions)}")
    if spec.by not in task.dimensions:
        raise ConfigError(f"{where}: it has no dimension '{spec.by}'; {nearest(spec.by, task.dimensions)}")
    return spec.by


def _check_room(item: MitigationItem, stage: Task, lost: Task, dose: float) -> None:
    rows, room = dose_size(dose, len(lost.train), task=lost.name), len(stage.train)
    if rows > room:
        raise ConfigError(
            f"mitigation {item.kind}: a dose of {dose:g} of '{lost.name}' is {number_of(rows, 'example')}, and a pass "
            f"over '{stage.name}' has {number_of(room, 'row')} to swap; a dose of {room / len(lost.train):.4g} fits"
        )
