"""What a plan needs to know of a task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaintune.plan.measurements import measured_content
from chaintune.plan.nodes import Split
from chaintune.records import Preference, Task
from chaintune.records.generation import GENERATION
from chaintune.records.preference import REFERENCE
from chaintune.scoring.measures import MEASURES
from chaintune.scoring.reading import check_measurable, measures_of, metrics_of
from chaintune.scoring.scorers.metric import expects
from chaintune.tuning.objectives import targets_of


@dataclass(frozen=True, slots=True)
class TaskTokens:
    """How many tokens a task has.

    Attributes:
        taught: in one epoch of training.
        scored: in one scoring, by split.
        written: that are read and at most written in one measurement by texts.
        rewritten: of these texts that a base writes a second time.
        asked: that are read of training prompts without answers, which a checkpoint is to answer itself.
    """

    taught: int
    scored: Mapping[Split, int]
    written: int = 0
    rewritten: int = 0
    asked: int = 0


CountTokens = Callable[[Task], TaskTokens]


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What the graph needs to know of a task: digests, tokens of one pass, and how many examples teach.

    Attributes:
        train_digest: of the examples that are taught.
        measured: what is asked of a checkpoint, by measure, the deciding one first, and split; empty of a task that is
            never measured.
        metric: name of the deciding item metric.
        judges_by: what else determines the deciding scores where a scorer without a model judges texts; else empty.
        unexpected: whether the deciding scores hang on what is expected of an example, and training examples do not say
            it.
        tokens: that are taught and scored.
        examples: of the train split.
        targets: classes of the train split's targets.
        test_digest: of the examples that are tested; empty where there are none.
        references: what a stage asks of the model before it, as `measured` has it.
        decides: the measure of the deciding item metric, or the scorer whose model does; empty of a task that is never
            tested.
        own: the measure by which a checkpoint gives its own answer to a training example, and the digest of what it is
            asked; empty of a task whose prompts no mitigation has answered.
        has_answers: whether each example that is tested says what a right answer is.
    """

    train_digest: str
    measured: Mapping[str, Mapping[Split, list[Any]]]
    metric: str
    tokens: TaskTokens
    examples: int
    targets: frozenset[type]
    references: Mapping[str, Mapping[Split, list[Any]]]
    test_digest: str = ""
    decides: str = ""
    judges_by: Sequence[str] = ()
    unexpected: bool = False
    own: tuple[str, str] = ("", "")
    has_answers: bool = False

    @classmethod
    def of(cls, task: Task, count: CountTokens | None, backend: str) -> "TaskFacts":
        """The facts of a task that a backend is to measure; without `count` there are 0 tokens."""
        tokens = count(task) if count else TaskTokens(0, {"train": 0, "test": 0})
        targets = targets_of(task.train)
        references: dict[str, Mapping[Split, list[Any]]] = {}
        if targets == {Preference}:
            references = {REFERENCE: {"train": measured_content(task, "train", MEASURES.get(REFERENCE))}}
        if not task.test:
            return cls(task.train_digest, {}, "", tokens, len(task.train), targets, references)
        check_measurable(task, backend)
        metric, measures = metrics_of(task)[0], {measure.name: measure for measure in measures_of(task)}
        measured: dict[str, Mapping[Split, list[Any]]] = {
            name: {split: measured_content(task, split, measures[name]) for split in ("train", "test")}
            for name in dict.fromkeys([metric.measure, *measures])
            if name in measures  # what a scorer's model says is asked of no checkpoint
        }
        is_scorer = metric.average == "balanced" and (metric.measure == GENERATION or metric.measure not in measures)
        return cls(
            task.train_digest,
            measured,
            metric.name,
            tokens,
            len(task.train),
            targets,
            references,
            task.test_digest,
            metric.measure,
            # What people say of texts stands beside the scores, and is no part of them.
            metrics_of(replace(task, labels=None))[0].content() if metric.measure == GENERATION else (),
            is_scorer and expects(task.test) and not expects(task.train),
            has_answers=all(example.target is not None for example in task.test),
        )
