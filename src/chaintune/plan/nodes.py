"""The nodes of a study's graph: frozen values addressed by what determines their results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from chaintune.records import (
    Checkpoint,
    Generation,
    MitigationRef,
    Recipe,
    Resources,
    ScorerRef,
    Who,
    chain_label,
    variant_label,
)
from chaintune.study.external import ExternalStage

Split = Literal["train", "test"]

# What an entry of the store holds for a node of that sort.
MEASUREMENT_FILE, CURVATURE_FILE, OVERLAP_FILE = "measurement.parquet", "curvature.json", "overlap.json"


@dataclass(frozen=True, slots=True)
class OwnAnswers:
    """Answers that an earlier checkpoint gives itself to a task's training prompts, in the place of the data's.

    Attributes:
        generation: how they are written, where they are texts and no choices.
        keep: outcomes of the answers that are taken; none takes all.
        scorer: that tells them; None where all are taken.
        measurement: key of what the checkpoint said; empty until it is known.
    """

    generation: Generation
    keep: tuple[str, ...] = ()
    scorer: ScorerRef | None = None
    measurement: str = ""


@dataclass(frozen=True, slots=True)
class Portion:
    """A share of one task's training data.

    Attributes:
        task: whose data.
        dose: fraction of it, in (0, 1].
        who: which examples: drawn alike, equally many of each group, more of the groups that lost most, or by what each
            example's answer was worth before and after the loss.
        by: dimension of the groups; empty when all are drawn alike.
        weighed_by: keys of the scores, before and after the loss, of the task's training examples.
        reference: key of the measurement of these by the model before the stage, for an objective that is held against
            it; empty where there is none, or the stage measures a dose itself.
        own: where a checkpoint's own answers are taught; None where those of the data are.
    """

    task: str
    dose: float = 1.0
    who: Who = "uniform"
    by: str = ""
    weighed_by: tuple[str, ...] = ()
    reference: str = ""
    own: OwnAnswers | None = None

    @property
    def measurements(self) -> tuple[str, ...]:
        """Keys of the measurements that it reads."""
        own = (self.own.measurement,) if self.own else ()
        return tuple(key for key in (*self.weighed_by, self.reference, *own) if key)


@dataclass(frozen=True, slots=True)
class DataMix:
    """What a stage trains on.

    Attributes:
        portions: of tasks; of two the second is swapped in or shuffled in.
        mixing: `alone` is one portion; `swapped` puts the second in place of rows of the first, evenly spaced;
            `shuffled` is all portions as one.
        protected: task whose examples the regulariser looks at; empty where it looks at none.
        protected_examples: how many of them.
        protected_own: where it looks at a checkpoint's own answers to them; None where at those of the data.
    """

    portions: tuple[Portion, ...]
    mixing: Literal["alone", "swapped", "shuffled"] = "alone"
    protected: str = ""
    protected_examples: int = 0
    protected_own: OwnAnswers | None = None

    @property
    def measurements(self) -> tuple[str, ...]:
        """Keys of the measurements that it reads."""
        own = (self.protected_own.measurement,) if self.protected_own else ()
        return tuple(key for portion in self.portions for key in portion.measurements) + own


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Weights between the parent's and another checkpoint's; nothing is trained.

    Attributes:
        other_key: of that checkpoint.
        fraction: of the way, in [0, 1], 0 is the parent; or whatever else the mitigation varies.
        merged_by: the mitigation that says how.
        options: what else it takes, by name.
        start_key: of the base, where the mitigation reads it; else empty.
    """

    other_key: str
    fraction: Any
    merged_by: str
    options: tuple[tuple[str, Any], ...] = ()
    start_key: str = ""

    @property
    def read_keys(self) -> tuple[str, ...]:
        """Keys of the checkpoints that are read beside the parent."""
        return (self.other_key, self.start_key) if self.start_key else (self.other_key,)


@dataclass(frozen=True, slots=True)
class External:
    """A checkpoint that another program makes of the parent, or has made; nothing is known of its recipe.

    Attributes:
        stage: as the study names it.
        content: what determines it beside parent, data and seed: the digest of the checkpoint that is there, or the
            names and digests of the files that a command reads.
    """

    stage: ExternalStage
    content: tuple[tuple[str, str], ...]

    @property
    def reads_data(self) -> bool:
        """Whether the task's training examples are handed to the program."""
        return bool(self.stage.command and self.stage.task)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """What every node says about the checkpoint that it makes or reads.

    Attributes:
        key: address of the node's result in the store; determines the result.
        base, base_key: the base model as the study names it, and its content's key.
        chain: labels of the steps up to the checkpoint: a task's name, `bbq@5%` for a replay; the base has none.
        seed, precision: of the checkpoint.
        variant: the varied knobs, for people; equal nodes of several variants bear the first one's.
        tokens: work of this node; 0 if not counted.
        kind: of the store's entry.
        job: whether it makes a checkpoint or measures one.
    """

    kind: ClassVar[str]
    job: ClassVar[Literal["make", "measure"]] = "measure"

    key: str
    base: str
    base_key: str
    chain: tuple[str, ...]
    seed: int
    precision: str
    variant: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    tokens: int = field(default=0, compare=False)

    @property
    def checkpoint_title(self) -> str:
        """For people: `bbq>csqa, lora lr=1e-3, seed 1`."""
        parts = (chain_label(self.chain), variant_label(self.variant), f"seed {self.seed}")
        return ", ".join(filter(None, parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _MeasurementNode(_Node):
    """A job that measures one checkpoint.

    Attributes:
        checkpoint_key: key of the stage, or of the base, that it reads.
    """

    checkpoint_key: str

    @property
    def parents(self) -> tuple[str, ...]:
        """Keys of the checkpoints that the node reads."""
        return (self.checkpoint_key,)

    @property
    def reads(self) -> tuple[str, ...]:
        """Keys of everything in the store that the node reads."""
        return self.parents

    @property
    def held_key(self) -> str:
        """Key of the checkpoint that is in memory when the node is done."""
        return self.checkpoint_key


Operation = DataMix | Interpolation | External


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNode(_Node):
    """A job that makes a checkpoint of another, by training, merging, or from outside; its key is that of the weights.

    Attributes:
        parent_key: key of the stage before, or of the base.
        operation: what it trains on, which weights it is merged with, or which other program makes it.
        recipe: how, with the seed and the precision.
        resources: what it asks of a cluster.
        report_to: trackers, by transformers' names.
        tokens: counted over all epochs; 0 if not counted.
        held_bytes: memory that a mitigation takes throughout the stage for what it looks at, at most; 0 if not counted.
    """

    kind: ClassVar[str] = "stage"
    job: ClassVar[Literal["make", "measure"]] = "make"

    parent_key: str
    operation: Operation
    recipe: Recipe
    resources: Resources = field(default_factory=Resources, compare=False)
    report_to: tuple[str, ...] = field(default=(), compare=False)
    held_bytes: int = field(default=0, compare=False)

    @property
    def task(self) -> str:
        """What it trains on, for people: a task's name, several joined by `+`; empty where nothing is known."""
        if isinstance(self.operation, External):
            return self.operation.stage.task
        if isinstance(self.operation, Interpolation):
            return ""
        portions = self.operation.portions if self.operation.mixing == "shuffled" else self.operation.portions[:1]
        return "+".join(portion.task for portion in portions)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks whose data the stage reads."""
        if isinstance(self.operation, External):
            return (self.operation.stage.task,) if self.operation.reads_data else ()
        if isinstance(self.operation, Interpolation):
            return ()
        named = [*(portion.task for portion in self.operation.portions), self.operation.protected]
        return tuple(dict.fromkeys(filter(None, named)))

    @property
    def parents(self) -> tuple[str, ...]:
        """Keys of the checkpoints that the stage reads."""
        others = self.operation.read_keys if isinstance(self.operation, Interpolation) else ()
        return tuple(dict.fromkeys((self.parent_key, *others)))

    @property
    def measurements(self) -> tuple[str, ...]:
        """Keys of the measurements that the stage reads: what doses are drawn by, references, own answers."""
        return self.operation.measurements if isinstance(self.operation, DataMix) else ()

    @property
    def reads(self) -> tuple[str, ...]:
        """Keys of everything that the stage reads: its parents and measurements."""
        return (*self.parents, *self.measurements)

    @property
    def held_key(self) -> str:
        """Key of the checkpoint that is in memory when the node is done."""
        return self.key

    @property
    def devices(self) -> int:
        """Processes that train it together."""
        return self.recipe.devices

    @property
    def work(self) -> tuple[str, ...]:
        """The kind of work that it is: what nodes share that are as fast as each other on one machine."""
        if isinstance(self.operation, External):
            return (self.kind, self.base_key, self.precision, "external")
        recipe = self.recipe
        held_back = recipe.regulariser.kind if recipe.regulariser else None
        method = recipe.peft.peft_type.lower() if recipe.method == "peft" and recipe.peft else recipe.method
        how = (method, recipe.quantize, recipe.objective, held_back)
        return (self.kind, self.base_key, self.precision, *(part for part in how if part))

    @property
    def title(self) -> str:
        """For people: `bbq>csqa, lora lr=1e-3, seed 1`."""
        return self.checkpoint_title

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        dose = self.operation.portions[-1].dose if isinstance(self.operation, DataMix) else None
        own = {"parent": self.parent_key, "dose": dose, "held_bytes": self.held_bytes}
        return _common(self) | own | ({"external": True} if isinstance(self.operation, External) else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreNode(_MeasurementNode):
    """One measurement of one checkpoint on one task.

    Attributes:
        task: measured on; where several have the same examples, the first of them.
        split: of the task's examples; those it was trained on are measured to see which groups lost most.
        measure: how it is asked.
        by: the same for people, where it is not how the task's verdicts are decided.
        devices: processes that score it together, as many as trained it; nothing of its scores depends on them.
        called: name of a checkpoint that is no study's, for people.
        template: digest of the chat template that renders the examples; empty where they are read as plain text.
        ends: tokens that end a text, where texts are written.
        served: whether a server is started for the checkpoint and measures it.
        compared: whether our own scorer measures a sample beside it.
        generation: how texts are written; None is as the task says.
    """

    kind: ClassVar[str] = "score"

    task: str
    split: Split = "test"
    measure: str = "choice"
    by: str = field(default="", compare=False)
    devices: int = field(default=1, compare=False)
    called: str = field(default="base", compare=False)
    template: str = ""
    ends: tuple[int, ...] = ()
    served: bool = False
    compared: bool = False
    generation: Generation | None = None

    @property
    def title(self) -> str:
        """For people: `bbq>csqa, seed 1 on csqa`."""
        named = self.checkpoint_title if self.chain else self.called
        split, by = "" if self.split == "test" else " (train)", f" by {self.by}" if self.by else ""
        return f"{named} on {self.task}{split}{by}"

    @property
    def work(self) -> tuple[str, ...]:
        """The kind of work that it is: what nodes share that are as fast as each other on one machine."""
        return (self.kind, self.base_key, self.precision, self.measure, *(("served",) if self.served else ()))

    @property
    def asks_twice(self) -> bool:
        """Whether some examples are asked a second way, so that results tell how much of a change is rounding."""
        return self.checkpoint_key == self.base_key and self.split == "test"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return _common(self) | {"checkpoint": self.checkpoint_key, "split": self.split, "measure": self.measure}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementNode(ScoreNode):
    """What a scorer's model says of the texts of one measurement. Base and checkpoint are that model.

    Chain, seed, variant and `called` are those of the checkpoint that wrote the texts.

    Attributes:
        scorer: whose model it is.
        measurement_key: of the texts.
        judge: digest of everything that determines a verdict beside the question.
        judged_key: of the checkpoint that wrote the texts.
        judged_base: name of its base.
    """

    scorer: ScorerRef
    measurement_key: str
    judge: str
    judged_key: str = field(default="", compare=False)
    judged_base: str = field(default="", compare=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """Keys of the model and of the texts."""
        return (*self.parents, self.measurement_key)

    @property
    def title(self) -> str:
        """For people: `bbq>csqa, seed 1 on xstest, judged by judge`."""
        named = self.checkpoint_title if self.chain else self.called
        split = "" if self.split == "test" else " (train)"
        return f"{named} on {self.task}{split}, judged by {self.measure}"

    @property
    def work(self) -> tuple[str, ...]:
        """The kind of work that it is: what nodes share that are as fast as each other on one machine."""
        return ("judgement", self.base_key, self.precision, self.measure)

    @property
    def asks_twice(self) -> bool:
        """Texts are judged once."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        # No super() in a class with slots that a decorator makes anew.
        plain = ScoreNode.to_dict(self)
        judged = {"base": self.judged_base, "checkpoint": self.judged_key, "measurement": self.measurement_key}
        return plain | judged | {"judged_by": self.base, "judged_by_key": self.base_key}


@dataclass(frozen=True, slots=True, kw_only=True)
class _WholeModelNode(_MeasurementNode):
    """A measurement of whole models, which one process makes."""

    devices: ClassVar[int] = 1

    @property
    def work(self) -> tuple[str, ...]:
        """The kind of work that it is: what nodes share that are as fast as each other on one machine."""
        return (self.kind, self.base_key, self.precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvatureNode(_WholeModelNode):
    """The curvature of one checkpoint on training examples of a task.

    Attributes:
        task: whose loss.
        loss: of the stage that taught it.
        examples, space, batches, tolerance, basis: how, as `hessian.curvature` takes them.
        examples_seed: of the choice of examples; one for the whole study, so that checkpoints share them.
    """

    kind: ClassVar[str] = "curvature"

    task: str
    loss: Recipe
    examples: int
    space: Literal["full", "lora"]
    batches: int
    tolerance: float
    basis: int
    examples_seed: int

    @property
    def title(self) -> str:
        """For people: `bbq, seed 1, curvature on bbq`."""
        return f"{self.checkpoint_title}, curvature on {self.task}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return _common(self) | {"checkpoint": self.checkpoint_key, "examples": self.examples}


@dataclass(frozen=True, slots=True, kw_only=True)
class KlNode(_WholeModelNode):
    """How far a stage moved the model, on the answers of the task that it taught.

    Attributes:
        task: that was taught.
        parent_key: of the checkpoint before the stage.
        called: what it is for people, where the two are no stage and its parent.
    """

    kind: ClassVar[str] = "kl"

    task: str
    parent_key: str
    called: str = field(default="", compare=False)

    @property
    def parents(self) -> tuple[str, ...]:
        """Keys of the checkpoints that the node reads."""
        return (self.checkpoint_key, self.parent_key)

    @property
    def title(self) -> str:
        """For people: `bbq>csqa, seed 1, KL to its parent on csqa`."""
        return f"{self.called or f'{self.checkpoint_title}, KL to its parent'} on {self.task}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return _common(self) | {"checkpoint": self.checkpoint_key, "parent": self.parent_key}


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapNode(_WholeModelNode):
    """The scalar products of the gradients of several tasks' losses at one checkpoint.

    Attributes:
        tasks: whose losses.
        losses: the part of each one's recipe that says which loss it is.
        examples: of each task's training examples, at most.
        examples_seed: of the choice of examples.
    """

    kind: ClassVar[str] = "overlap"

    tasks: tuple[str, ...]
    losses: tuple[Recipe, ...]
    examples: int
    examples_seed: int

    @property
    def task(self) -> str:
        """Whose losses, for people."""
        return "+".join(self.tasks)

    @property
    def title(self) -> str:
        """For people: `bbq, seed 1, gradients of bbq, csqa`."""
        named = self.checkpoint_title if self.chain else "base"
        return f"{named}, gradients of {', '.join(self.tasks)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return _common(self) | {"checkpoint": self.checkpoint_key, "examples": self.examples}


# A job of one kind makes a checkpoint, by training or by merging; of the other it measures one. A base is no job: it is
# loaded where something reads it. `reads` says what a job waits for.
MakeNode = StageNode
MeasureNode = ScoreNode | CurvatureNode | KlNode | OverlapNode
Node = MakeNode | MeasureNode


@dataclass(frozen=True, slots=True)
class Cell:
    """One checkpoint as the study's tables name it; several cells may share their weights.

    Attributes:
        checkpoint: with its seed and key.
        measurements: task -> measure -> key of the measurement, the deciding measure first.
        final: whether a chain of the study ends here.
        mitigates: the chains that lost a task and that this checkpoint is compared with.
        curvature_key: of the curvature measured at it; empty when none is.
        kl_key: of its divergence from its parent; empty when none is measured.
    """

    checkpoint: Checkpoint
    measurements: Mapping[str, Mapping[str, str]]
    final: bool
    mitigates: tuple[MitigationRef, ...] = ()
    curvature_key: str = ""
    kl_key: str = ""

    @property
    def measurement_keys(self) -> tuple[str, ...]:
        """Keys of all of its measurements."""
        return tuple(key for keys in self.measurements.values() for key in keys.values())


def _common(node: Node) -> dict[str, Any]:
    return {
        "job": node.job,
        "kind": node.kind,
        "key": node.key,
        "base": node.base,
        "chain": chain_label(node.chain),
        "variant": variant_label(node.variant),
        "seed": node.seed if node.chain else None,
        "task": node.task,
        "tokens": node.tokens,
    }
