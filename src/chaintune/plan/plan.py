"""A study compiled into one graph of stages and scores, in which equal nodes are one node. Pure: nothing runs here."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from chaintune.plan.adapters import check_adapters, stored_adapters, trained_adapter
from chaintune.plan.branches import branches_of
from chaintune.plan.facts import CountTokens, TaskFacts
from chaintune.plan.graph import Contents, Ends, Family, Graph, Templates
from chaintune.plan.judging import Judges, last
from chaintune.plan.measurements import own_question
from chaintune.plan.nodes import Cell, CurvatureNode, External, KlNode, Node, OverlapNode, ScoreNode, StageNode
from chaintune.records import PeftSettings, Recipe, Task
from chaintune.study.study import Keep, Study

StageBytes = Callable[[str, Recipe | None], int]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a study trains and scores, in an order in which a child follows its parent.

    Attributes:
        study: its name.
        nodes: depth first; the scores of a checkpoint come right after it.
        cells: base, then each prefix of each chain, for every variant and seed.
        stages_unshared, scores_unshared: how many there would be if every chain were trained alone from
            its base and scored after each of its stages and before the first.
        stage_bytes: key -> size of the checkpoint; 0 if not known.
    """

    study: str
    nodes: tuple[Node, ...]
    cells: tuple[Cell, ...]
    stages_unshared: int
    scores_unshared: int
    keep: Keep
    stage_bytes: Mapping[str, int]

    @property
    def stages(self) -> tuple[StageNode, ...]:
        """The nodes that make checkpoints."""
        return tuple(node for node in self.nodes if isinstance(node, StageNode))

    @property
    def scores(self) -> tuple[ScoreNode, ...]:
        """The nodes that score."""
        return tuple(node for node in self.nodes if isinstance(node, ScoreNode))

    @property
    def curvatures(self) -> tuple[CurvatureNode, ...]:
        """The nodes that measure curvature."""
        return tuple(node for node in self.nodes if isinstance(node, CurvatureNode))

    @property
    def divergences(self) -> tuple[KlNode, ...]:
        """The nodes that measure how far a stage moved the model."""
        return tuple(node for node in self.nodes if isinstance(node, KlNode))

    @property
    def overlaps(self) -> tuple[OverlapNode, ...]:
        """The nodes that measure how far gradients point the same way."""
        return tuple(node for node in self.nodes if isinstance(node, OverlapNode))

    @property
    def commands(self) -> tuple[StageNode, ...]:
        """The stages that commands make."""
        made = ((node, node.operation) for node in self.stages)
        return tuple(node for node, how in made if isinstance(how, External) and how.stage.command)

    @property
    def result_keys(self) -> set[str]:
        """Keys of what is measured, which has to be in the store until the results are written."""
        return {node.key for node in self.nodes if not isinstance(node, StageNode)}

    @property
    def final_keys(self) -> frozenset[str]:
        """Keys of the checkpoints that end a chain."""
        return frozenset(cell.checkpoint.key for cell in self.cells if cell.final)

    def transient_keys(self, keep: Keep | None = None) -> frozenset[str]:
        """Keys of the checkpoints that do not stay under a `keep`; None is the plan's own."""
        stages = frozenset(node.key for node in self.stages)
        kept = {"all": stages, "final": self.final_keys, "none": frozenset[str]()}[keep or self.keep]
        return stages - kept

    @property
    def disk_bytes(self) -> int:
        """The most that checkpoints take at any one time under the study's `keep`."""
        return self.added_bytes(self.nodes)

    def added_bytes(self, made: Iterable[Node], *, keep: Keep | None = None) -> int:
        """The most that a run's checkpoints add to the store at any one time, one node after another.

        Args:
            made: nodes that the run computes, in the plan's order; what is in the store already adds nothing.
            keep: which checkpoints stay; None is what the plan says.
        """
        nodes = list(made)
        sizes = {node.key: self.stage_bytes.get(node.key, 0) for node in nodes}
        readers, now, most = Readers(nodes, self.transient_keys(keep)), 0, 0
        for node in nodes:
            now += sizes[node.key]
            most = max(most, now)
            now -= sum(sizes.get(key, 0) for key in readers.end(node))
        return most

    def counts(self) -> dict[str, int]:
        """How much there is to do, with and without sharing."""
        return {
            "stages_shared": len(self.stages),
            "stages_unshared": self.stages_unshared,
            "scores_shared": len(self.scores),
            "scores_unshared": self.scores_unshared,
            "curvatures": len(self.curvatures),
            "divergences": len(self.divergences),
            "train_tokens": sum(node.tokens for node in self.stages),
            "score_tokens": sum(node.tokens for node in self.scores),
            "disk_bytes": self.disk_bytes,
        }

    def to_dict(self) -> dict[str, Any]:
        """The counts and the nodes as plain data, as `plan --json` prints them."""
        return {"study": self.study, **self.counts(), "nodes": [node.to_dict() for node in self.nodes]}


class Readers:
    """Which checkpoints may go: those that do not stay, once they are made and the last job that reads them has ended.

    Args:
        jobs: that will be run.
        transient_keys: keys of the checkpoints that do not stay.
    """

    def __init__(self, jobs: Iterable[Node], transient_keys: Collection[str]) -> None:
        self._transient_keys = transient_keys
        self._waiting: dict[str, set[str]] = {}
        for job in jobs:
            for key in self._transient(job):
                self._waiting.setdefault(key, set()).add(job.key)

    def may_go(self, key: str) -> bool:
        """Whether a checkpoint does not stay, and no job makes or reads it any more."""
        return key in self._transient_keys and not self._waiting.get(key)

    def end(self, job: Node) -> list[str]:
        """The keys of the checkpoints that may go now that a job has ended."""
        keys = self._transient(job)
        for key in keys:
            self._waiting.get(key, set()).discard(job.key)
        return [key for key in keys if self.may_go(key)]

    def _transient(self, job: Node) -> list[str]:
        """Keys of the checkpoints that a job reads or makes and that do not stay."""
        return [key for key in dict.fromkeys((*job.parents, job.key)) if key in self._transient_keys]


Families = Callable[[Study, Mapping[str, Task], Mapping[str, str]], Sequence[Family]]


def families_of(study: Study, tasks: Mapping[str, Task], base_keys: Mapping[str, str]) -> list[Family]:
    """The chains of a study for each base and variant.

    Raises:
        ConfigError: a dose holds no example, or more than there is room for; a dimension that a task has not.
        DataError: a chain trains on a task that has nothing to train on.
    """
    branches = branches_of(study, tasks)
    return [
        Family(base, variant, {(): base_keys[base]}, branches) for base in study.bases for variant in study.variants()
    ]


def compile_plan(
    study: Study,
    *,
    base_keys: Mapping[str, str],
    tasks: Mapping[str, Task],
    precision: str,
    count_tokens: CountTokens | None = None,
    stage_bytes: StageBytes | None = None,
    bare: Collection[str] = (),
    families: Families = families_of,
    contents: Contents = MappingProxyType({}),
    templates: Templates = MappingProxyType({}),
    judges: Judges = MappingProxyType({}),
    ends: Ends = MappingProxyType({}),
) -> Plan:
    """The graph of jobs of a study.

    Args:
        study: whose plan it is.
        base_keys: name of each base -> key of its content.
        tasks: name -> task, as loaded.
        precision: what `auto` came to.
        count_tokens: task -> its tokens; None counts 0.
        stage_bytes: base, recipe of its adapter or None for all weights -> size of a checkpoint; None counts 0.
        bare: keys of the bases that have no adapter of which anything could become.
        families: study, tasks, base keys -> which checkpoints exist, and which chains are trained from them.
        contents: of the stages that other programs train.
        templates: base and task -> digest of the chat template that renders its examples, where one does.
        judges: the scorers of tasks that ask a model; what they judge comes last.
        ends: of each base the tokens that end a text.

    Raises:
        ConfigError: a dose of a task's training data holds no example; a dimension that a task has not; a
            curvature that cannot be measured; an adapter that is to be continued and is none, or cannot be trained.
        DataError: a chain trains on a task that has nothing to train on.
    """
    compiled = families(study, tasks, base_keys)
    other_ways = [name for name, task in tasks.items() if task.other_way_of]
    facts = {name: TaskFacts.of(tasks[name], count_tokens, study.backend) for name in (*study.tasks, *other_ways)}
    for name in dict.fromkeys(name for family in compiled for branch in family.branches for name in branch.asked):
        facts[name] = replace(facts[name], own=own_question(tasks[name]))
    graph = Graph(study, base_keys, facts, precision, contents, templates, bare, judges, ends)
    for family in compiled:
        graph.add_family(family)
    existing = dict.fromkeys(key for family in compiled for key in family.existing.values())
    nodes = (*(node for key in existing for node in graph.walk(key)), *last(list(graph.judgements.values())))
    stages = [node for node in nodes if isinstance(node, StageNode)]
    stored = stored_adapters(stages)
    check_adapters(stages, stored)
    steps = sum(len(branch.steps) for family in compiled for branch in family.branches)
    starts = sum(len(family.existing) * len(family.branches) for family in compiled)
    return Plan(
        study=study.name,
        nodes=nodes,
        cells=tuple(graph.cells.values()),
        stages_unshared=steps,
        scores_unshared=(steps + starts) * sum(len(one.measured) for one in facts.values()),
        keep=study.keep,
        stage_bytes=_sizes(stages, stored, stage_bytes) if stage_bytes else {},
    )


def _sizes(
    stages: Iterable[StageNode], stored: Mapping[str, PeftSettings | None], stage_bytes: StageBytes
) -> dict[str, int]:
    """Size of every checkpoint: of an adapter alone, or of all weights."""
    sizes: dict[str, int] = {}
    known: dict[tuple[str, PeftSettings | None], int] = {}
    for node in stages:
        # An adapter that is merged when the stage ends has to fit the base as well.
        for adapter in (trained_adapter(node), stored[node.key]):
            if (node.base, adapter) not in known:
                known[node.base, adapter] = stage_bytes(node.base, node.recipe if adapter else None)
        sizes[node.key] = known[node.base, stored[node.key]]
    return sizes
