"""A study compiled into one graph of stages and scores, in which equal nodes are one node. Pure: nothing runs here."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaintune.errors import ConfigError, DataError
from chaintune.records import Example, Recipe, Task, canonical_digest
from chaintune.study.file import Keep, Study, Variant, was_lost
from chaintune.study.nodes import Cell, Node, ScoreNode, StageNode

STAGE_FORMAT = 1
SCORE_FORMAT = 1

CountTokens = Callable[[Sequence[Example]], tuple[int, int]]
StageBytes = Callable[[str, Recipe], int]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a study trains and scores, in an order in which a child follows its parent.

    Attributes:
        study: its name.
        nodes: depth first; the scores of a checkpoint come right after it.
        cells: base, then each prefix of each chain, for every variant and seed.
        stages_unshared, scores_unshared: how many there would be if every chain were trained alone from
            its base and scored after each of its stages and before the first.
        stage_bytes: key -> size of the checkpoint; 0 when nobody said.
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
        """The nodes that train."""
        return tuple(node for node in self.nodes if isinstance(node, StageNode))

    @property
    def scores(self) -> tuple[ScoreNode, ...]:
        """The nodes that score."""
        return tuple(node for node in self.nodes if isinstance(node, ScoreNode))

    @property
    def final_keys(self) -> frozenset[str]:
        """Keys of the checkpoints that end a chain."""
        return frozenset(cell.checkpoint_key for cell in self.cells if cell.final)

    def last_use(self) -> dict[str, int]:
        """Key of each stage -> index of the last node that reads its checkpoint, or its own when none does."""
        last: dict[str, int] = {}
        for index, node in enumerate(self.nodes):
            last[node.parent_key if isinstance(node, StageNode) else node.checkpoint_key] = index
            if isinstance(node, StageNode):
                last[node.key] = index
        stages = {node.key for node in self.stages}
        return {key: index for key, index in last.items() if key in stages}

    def releases(self, keep: Keep | None = None) -> dict[int, tuple[str, ...]]:
        """Index of a node -> keys of the checkpoints that may go once that node is done."""
        keep = keep or self.keep
        kept = {"all": {node.key for node in self.stages}, "final": self.final_keys, "none": frozenset()}[keep]
        found: dict[int, tuple[str, ...]] = {}
        for key, index in self.last_use().items():
            if key not in kept:
                found[index] = (*found.get(index, ()), key)
        return found

    @property
    def disk_bytes(self) -> int:
        """The most that checkpoints take at any one time under the study's `keep`."""
        releases, now, most = self.releases(), 0, 0
        for index, node in enumerate(self.nodes):
            now += self.stage_bytes.get(node.key, 0)
            most = max(most, now)
            now -= sum(self.stage_bytes.get(key, 0) for key in releases.get(index, ()))
        return most

    def counts(self) -> dict[str, int]:
        """How much there is to do, with and without sharing."""
        return {
            "stages_shared": len(self.stages),
            "stages_unshared": self.stages_unshared,
            "scores_shared": len(self.scores),
            "scores_unshared": self.scores_unshared,
            "train_tokens": sum(node.train_tokens for node in self.stages),
            "score_tokens": sum(node.score_tokens for node in self.scores),
            "disk_bytes": self.disk_bytes,
        }

    def to_dict(self) -> dict[str, Any]:
        """The counts and the nodes as plain data, as `plan --json` prints them."""
        return {"study": self.study, **self.counts(), "nodes": [node.to_dict() for node in self.nodes]}


@dataclass(frozen=True, slots=True)
class _Step:
    label: str
    task: str
    dose: float = 1.0
    recipe: tuple[tuple[str, Any], ...] = ()


def compile_plan(
    study: Study,
    *,
    base_keys: Mapping[str, str],
    tasks: Mapping[str, Task],
    precision: str,
    count_tokens: CountTokens | None = None,
    stage_bytes: StageBytes | None = None,
) -> Plan:
    """The stage graph of a study.

    Args:
        study: what is wanted.
        base_keys: name of each base -> key of its content.
        tasks: name -> task, as loaded.
        precision: what `auto` came to.
        count_tokens: examples -> tokens of one epoch of training, tokens of scoring; None counts 0.
        stage_bytes: base, recipe -> size of a checkpoint; None counts 0.

    Raises:
        ConfigError: a dose of a task's training data holds no example.
        DataError: a chain trains on a task that has nothing to train on.
    """
    _check_data(study, tasks)
    counted = {name: _counted(tasks[name], count_tokens) for name in study.tasks}
    chains = _step_chains(study)
    graph = _Graph(study, base_keys, {name: tasks[name] for name in study.tasks}, precision, counted)
    for base in study.bases:
        for variant in study.variants():
            graph.add_family(base, variant, chains)
    nodes = tuple(node for key in dict.fromkeys(base_keys[base] for base in study.bases) for node in graph.walk(key))
    families = len(study.bases) * len(study.variants())
    steps = sum(map(len, chains))
    sizes = {n.key: stage_bytes(n.base, n.recipe) for n in nodes if isinstance(n, StageNode)} if stage_bytes else {}
    return Plan(
        study=study.name,
        nodes=nodes,
        cells=tuple(graph.cells.values()),
        stages_unshared=families * steps,
        scores_unshared=families * (steps + len(chains)) * len(study.tasks),
        keep=study.keep,
        stage_bytes=sizes,
    )


def dose_label(task: str, dose: float) -> str:
    """How a replay stands in a chain's name.

    Example:
        >>> dose_label("bbq", 0.05), dose_label("bbq", 0.125)
        ('bbq@5%', 'bbq@12.5%')
    """
    return f"{task}@{dose * 100:.6g}%"


class _Graph:
    """Stages by parent and scores by checkpoint, both in order of first mention."""

    def __init__(
        self,
        study: Study,
        base_keys: Mapping[str, str],
        tasks: Mapping[str, Task],
        precision: str,
        counted: Mapping[str, tuple[int, int]],
    ) -> None:
        self.study, self.base_keys, self.precision, self.counted = study, base_keys, precision, counted
        self.train_digests = {name: task.train_digest for name, task in tasks.items()}
        self.test_digests = {name: task.test_digest for name, task in tasks.items()}
        self.children: dict[str, dict[str, StageNode]] = {}
        self.scores: dict[str, dict[str, ScoreNode]] = {}
        self.cells: dict[tuple[Any, ...], Cell] = {}

    def add_family(self, base: str, variant: Variant, chains: Sequence[tuple[_Step, ...]]) -> None:
        """Every chain of one base and variant, each prefix once."""
        self._add_cell(base, (), variant, self.base_keys[base], final=False)
        for chain in chains:
            parent = self.base_keys[base]
            for length in range(1, len(chain) + 1):
                node = self._stage(base, chain[:length], variant, parent)
                siblings = self.children.setdefault(parent, {})
                siblings.setdefault(node.key, node)
                self._add_cell(base, node.chain, variant, node.key, final=length == len(chain))
                parent = node.key

    def walk(self, key: str) -> Iterator[Node]:
        """Scores of a checkpoint, then each child with everything under it."""
        yield from self.scores[key].values()
        for child in self.children.get(key, {}).values():
            yield child
            yield from self.walk(child.key)

    def _stage(self, base: str, steps: tuple[_Step, ...], variant: Variant, parent: str) -> StageNode:
        step = steps[-1]
        recipe = self.study.recipe_of(step.task, variant, dict(step.recipe))
        payload = {
            "format": STAGE_FORMAT,
            "kind": "stage",
            "parent": parent,
            "task": self.train_digests[step.task],
            "dose": step.dose,
            "recipe": recipe.content(),
            "seed": variant.seed,
            "precision": self.precision,
        }
        return StageNode(
            key=canonical_digest(payload),
            parent_key=parent,
            base=base,
            base_key=self.base_keys[base],
            chain=tuple(item.label for item in steps),
            task=step.task,
            dose=step.dose,
            recipe=recipe,
            seed=variant.seed,
            precision=self.precision,
            variant=variant.labels,
            train_tokens=round(self.counted[step.task][0] * recipe.epochs * step.dose),
        )

    def _add_cell(self, base: str, chain: tuple[str, ...], variant: Variant, key: str, *, final: bool) -> None:
        scores = self.scores.setdefault(key, {})
        for task in self.study.tasks:
            if task not in scores:
                scores[task] = self._score(base, chain, variant, key, task)
        place = (base, chain, variant.labels, variant.seed)
        cell = Cell(*place, key, {task: node.key for task, node in scores.items()}, final)
        before = self.cells.get(place)
        self.cells[place] = replace(cell, final=final or (before is not None and before.final))

    def _score(self, base: str, chain: tuple[str, ...], variant: Variant, key: str, task: str) -> ScoreNode:
        payload = {
            "format": SCORE_FORMAT,
            "kind": "score",
            "checkpoint": key,
            "task": self.test_digests[task],
            "precision": self.precision,
        }
        return ScoreNode(
            key=canonical_digest(payload),
            checkpoint_key=key,
            base=base,
            base_key=self.base_keys[base],
            chain=chain,
            task=task,
            seed=variant.seed,
            precision=self.precision,
            variant=variant.labels if chain else (),
            score_tokens=self.counted[task][1],
        )


def _step_chains(study: Study) -> list[tuple[_Step, ...]]:
    """The chains of the study, each followed by its branches of mitigation."""
    found: list[tuple[_Step, ...]] = []
    for chain in study.chains:
        steps = tuple(_Step(task, task) for task in chain)
        found.append(steps)
        for replay in study.mitigations:
            if was_lost(replay.task, chain):
                recipe = tuple(replay.recipe.items())
                found += [
                    (*steps, _Step(dose_label(replay.task, dose), replay.task, dose, recipe)) for dose in replay.doses
                ]
    return found


def _check_data(study: Study, tasks: Mapping[str, Task]) -> None:
    """Every stage has at least one example to train on."""
    for name in {name for chain in study.chains for name in chain}:
        if not tasks[name].train:
            raise DataError(f"task '{name}' is trained on in a chain, and its train split is empty")
    for replay in study.mitigations:
        examples = len(tasks[replay.task].train)
        if round(min(replay.doses) * examples) == 0:
            smallest = (math.floor(0.5 / examples * 1e4) + 1) / 1e4
            raise ConfigError(
                f"task '{replay.task}': a dose of {min(replay.doses):g} of {examples} training examples gives none; "
                f"a dose of {smallest:g} gives one"
            )


def _counted(task: Task, count_tokens: CountTokens | None) -> tuple[int, int]:
    """Tokens of one epoch of training and of one scoring."""
    return (count_tokens(task.train)[0], count_tokens(task.test)[1]) if count_tokens else (0, 0)
