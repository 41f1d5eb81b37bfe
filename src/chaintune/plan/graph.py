"""Stages by parent and scores by checkpoint, each with the key that its results depend on."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from types import MappingProxyType
from typing import Any

from chaintune.errors import ConfigError
from chaintune.plan.branches import Branch, Step
from chaintune.plan.facts import TaskFacts
from chaintune.plan.judging import Judges, TaskJudge
from chaintune.plan.measurements import addressed, divergence_key, through_server
from chaintune.plan.nodes import (
    Cell,
    CurvatureNode,
    DataMix,
    External,
    Interpolation,
    JudgementNode,
    KlNode,
    Node,
    Operation,
    OverlapNode,
    OwnAnswers,
    Portion,
    ScoreNode,
    Split,
    StageNode,
)
from chaintune.records import Chain, ChainStep, Checkpoint, MitigationRef, Recipe, Reference, canonical_digest
from chaintune.records.choice import CHOICE
from chaintune.records.generation import GENERATION, Generation
from chaintune.records.mitigations import BY_SCORES
from chaintune.records.preference import REFERENCE
from chaintune.scoring.backends import BACKENDS
from chaintune.scoring.measures import MEASURES
from chaintune.scoring.measures.own_turns import OWN_TURNS
from chaintune.scoring.scorers.metric import configured
from chaintune.study.external import ExternalStage
from chaintune.study.schema import CurvatureSpec
from chaintune.study.stage_settings import StageSettings
from chaintune.study.study import Study, Variant
from chaintune.tuning.objectives import objective_of, protecting, with_objective

STAGE_FORMAT = 3
CURVATURE_FORMAT = 2
OVERLAP_FORMAT = 1

# What determines each stage that another program trains, beside its parent, data and seed.
Contents = Mapping[ExternalStage, tuple[tuple[str, str], ...]]
# Base and task -> digest of the chat template that renders the examples; those that are read as plain text are absent.
Templates = Mapping[tuple[str, str], str]
# Base -> tokens that end a text of it and of what is trained from it.
Ends = Mapping[str, tuple[int, ...]]
_What = tuple[str, Split, str]


@dataclass(frozen=True, slots=True)
class Family:
    """The chains of one base under one variant.

    Attributes:
        base: its name in the study.
        variant: of all chains.
        existing: chain -> key of the checkpoints that exist before anything is trained; of a study the base alone.
        branches: that are trained from them.
    """

    base: str
    variant: Variant
    existing: Mapping[Chain, str]
    branches: Sequence[Branch]


class Graph:
    """The nodes of a study, in order of first mention."""

    def __init__(
        self,
        study: Study,
        base_keys: Mapping[str, str],
        facts: Mapping[str, TaskFacts],
        precision: str,
        contents: Contents,
        templates: Templates,
        bare: Collection[str] = (),
        judges: Judges = MappingProxyType({}),
        ends: Ends = MappingProxyType({}),
    ) -> None:
        self.judges, self.judgements = judges, dict[str, JudgementNode]()
        self.ends = ends
        self.study, self.base_keys, self.facts, self.precision = study, base_keys, facts, precision
        self.contents, self.templates, self.bare = contents, templates, frozenset(bare)
        self.children: dict[str, dict[str, StageNode]] = {}
        self.scores: dict[str, dict[str, ScoreNode]] = {}
        self.curvatures: dict[str, CurvatureNode] = {}
        self.divergences: dict[str, dict[str, KlNode]] = {}
        self.overlaps: dict[str, OverlapNode] = {}
        self.cells: dict[tuple[Any, ...], Cell] = {}

    def add_family(self, family: Family) -> None:
        """Every chain of one base and variant, each prefix once."""
        made = dict(family.existing)
        for chain, key in made.items():
            self._add_cell(family.base, chain, family.variant, key)
        for branch in family.branches:
            self._add_branch(family, branch, made)
            if self.study.gradients and branch.mitigated is None:
                self._add_probes(family, branch.steps[0], made)
            if self.study.curvature and branch.mitigated is None and len(branch.steps) > 1:
                self._add_curvature(family.base, family.variant, branch.steps[0], made)

    def walk(self, key: str) -> Iterator[Node]:
        """What is measured of an existing checkpoint, then each child with everything under it."""
        waiting: list[StageNode | str] = [key]  # without recursion: a chain may be long
        while waiting:
            stage = waiting.pop()
            if isinstance(stage, StageNode):
                yield stage
                key = stage.key
            children = list(self.children.get(key, {}).values())
            # What exists already is scored on as many devices as its first child is trained on.
            trained = [stage] if isinstance(stage, StageNode) else children
            devices = next((node.recipe.devices for node in trained), 1)
            every = self.scores[key].values()
            scores = [score if score.devices == devices else replace(score, devices=devices) for score in every]
            yield from (score for score in scores if not score.served)
            yield from self.divergences.get(key, {}).values()
            yield from (nodes[key] for nodes in (self.curvatures, self.overlaps) if key in nodes)
            yield from (score for score in scores if score.served)  # a server wants the memory of our model
            waiting += reversed(children)

    def _add_branch(self, family: Family, branch: Branch, made: dict[Chain, str]) -> None:
        """The steps of a branch, one after another, and their keys in what the family's chains have made so far."""
        base, variant, chain = family.base, family.variant, branch.start
        measured = self._measured_in(branch)
        path = [made[chain[:length]] for length in range(len(chain) + 1) if chain[:length] in made]
        is_plain = True
        for place, step in enumerate(branch.steps, start=1):
            chain, is_plain = (*chain, step.place), is_plain and not step.place.mitigation
            final = place == len(branch.steps)
            if is_plain and not final and chain in made:  # another branch begins alike
                path.append(made[chain])
                if measured is not None:  # which asks for less
                    self._add_cell(base, chain, variant, made[chain], tasks=measured)
                continue
            step = self._answered(base, variant, branch, self._weighed(base, variant, branch, step, made), made)
            settings = self._settings(step, variant, path[-1])
            at = Checkpoint(base, chain[:-1], variant.labels, variant.seed, path[-1])
            node = self._stage(base, chain, variant, path, self._referring(at, step, settings.recipe), settings)
            self.children.setdefault(node.parent_key, {}).setdefault(node.key, node)
            made[chain] = node.key
            path.append(node.key)
            mitigated = (branch.mitigated,) if final and branch.mitigated else ()
            self._add_cell(base, chain, variant, node.key, final=final, mitigates=mitigated, tasks=measured)
            diverges = self.study.kl is True or (self.study.kl and not branch.start and place == 1)
            if diverges and step.back_to is None and step.mixing == "alone":
                self._add_divergence(node, step.task, (base, chain, variant.labels, variant.seed))

    def _measured_in(self, branch: Branch) -> frozenset[str] | None:
        """The tasks that a branch's checkpoints are measured on; None is all."""
        if self.study.measured_at == "all checkpoints":
            return None
        chain = (*branch.start, *(step.place for step in branch.steps), *branch.mitigated_chain)
        return frozenset(self.facts) - self.study.taught | {task for step in chain for task in step.tasks}

    def _add_cell(
        self,
        base: str,
        chain: Chain,
        variant: Variant,
        key: str,
        *,
        final: bool = False,
        mitigates: tuple[MitigationRef, ...] = (),
        tasks: Collection[str] | None = None,
    ) -> None:
        """Name a checkpoint, and have it scored on these tasks; None is all."""
        at = Checkpoint(base, chain, variant.labels if chain else (), variant.seed, key)
        labels = at.labels
        measured = {
            task: {name: self._score(at, labels, (task, "test", name)) for name in facts.measured}
            for task, facts in self.facts.items()
            if facts.measured and (tasks is None or task in tasks)
        }
        place = (base, chain, at.variant, variant.seed)
        for task, keys in measured.items():
            keys |= {
                judge.measure: self._judged(at.key, keys[GENERATION], judge) for judge in self.judges.get(task, ())
            }
        cell = Cell(at, measured, final, mitigates)
        if (before := self.cells.get(place)) is not None:
            both = tuple(dict.fromkeys((*before.mitigates, *mitigates)))
            every = {**before.measurements, **measured}
            every = {task: every[task] for task in self.facts if task in every}
            cell = replace(before, measurements=every, final=final or before.final, mitigates=both)
        self.cells[place] = cell

    def _add_curvature(self, base: str, variant: Variant, step: Step, made: Mapping[Chain, str]) -> None:
        """Have the first checkpoint of a chain measured, on the task that the next stage will overwrite."""
        chain, spec = (step.place,), self.study.curvature
        assert spec is not None  # noqa: S101 - the caller looked
        if not step.task:
            raise ConfigError(
                f"curvature: it is measured on the task of a chain's first stage, and '{step.place.label}' names none; "
                "write its 'task', or leave curvature out"
            )
        facts, key = self.facts[step.task], made[chain]
        recipe = with_objective(self._settings(step, variant).recipe, facts.targets, task=step.task)
        if objective_of(recipe).has_reference:
            raise ConfigError(
                f"curvature: task '{step.task}' is taught pairs by a loss held against the model before, and "
                "curvature is that of one model; leave curvature out, or begin the chains with another task"
            )
        check_curvature(spec, step.task, facts.examples, recipe.method)
        loss = recipe.loss_settings
        how = spec.model_dump() | {"examples_seed": self.study.seed}
        payload = {"format": CURVATURE_FORMAT, "kind": "curvature", "checkpoint": key, "task": facts.train_digest}
        payload |= {"objective": loss.objective} | self._rendered(base, [step.task])
        if loss != Recipe(objective=loss.objective):
            payload |= {"teaches": [loss.turns, loss.teach]}
        node = CurvatureNode(
            key=canonical_digest(payload | how),
            checkpoint_key=key,
            base=base,
            base_key=self.base_keys[base],
            chain=_labels(chain),
            task=step.task,
            seed=variant.seed,
            precision=self.precision,
            variant=variant.labels,
            tokens=round(facts.tokens.taught * spec.examples / facts.examples),
            loss=loss,
            **how,
        )
        self.curvatures.setdefault(key, node)
        place = (base, chain, variant.labels, variant.seed)
        self.cells[place] = replace(self.cells[place], curvature_key=node.key)

    def _add_probes(self, family: Family, step: Step, made: Mapping[Chain, str]) -> None:
        """Have base and first checkpoint measured by what tells orders apart before any of them is trained."""
        stage, taught = self.children[made[()]][made[step.place,]], self.study.taught
        for task in self.facts:
            if task in taught:
                self._add_divergence(stage, task)
        for chain in ((), (step.place,)):
            self._add_overlap(family, chain, made[chain])

    def _add_overlap(self, family: Family, chain: Chain, key: str) -> None:
        """Have the gradients of the losses of all tasks that are taught compared at a checkpoint."""
        taught, losses = self.study.taught, dict[str, Recipe]()
        for task in (task for task in self.facts if task in taught):
            recipe = self._settings(Step(ChainStep.plain(task), task, (Portion(task),)), family.variant).recipe
            if not objective_of(recipe).has_reference:
                losses[task] = recipe.loss_settings
        examples, seed, tasks = self.study.gradients, self.study.seed, tuple(losses)
        payload = {"format": OVERLAP_FORMAT, "kind": "overlap", "checkpoint": key, "examples": [examples, seed]}
        payload |= {"tasks": [self.facts[task].train_digest for task in tasks], "precision": self.precision}
        payload |= {"losses": [[one.objective, one.turns, one.teach] for one in losses.values()]}
        node = OverlapNode(
            key=canonical_digest(payload | self._rendered(family.base, tasks)),
            checkpoint_key=key,
            base=family.base,
            base_key=self.base_keys[family.base],
            chain=_labels(chain),
            seed=family.variant.seed,
            precision=self.precision,
            variant=family.variant.labels if chain else (),
            tasks=tasks,
            losses=tuple(losses.values()),
            examples=examples,
            examples_seed=seed,
            tokens=sum(
                round(facts.tokens.taught * min(1.0, examples / facts.examples))
                for facts in (self.facts[task] for task in tasks)
            ),
        )
        self.overlaps.setdefault(key, node)

    def _add_divergence(self, stage: StageNode, task: str, place: tuple[Any, ...] = ()) -> None:
        """Have a stage's divergence from its parent measured on a task, where that is tested and teaches answers."""
        facts = self.facts.get(task)  # what was made elsewhere need not say what it was taught
        if facts is None or not facts.has_answers:
            return
        rendered = self._rendered(stage.base, [task])
        node = KlNode(
            key=divergence_key(stage.key, stage.parent_key, facts.test_digest, self.precision, rendered),
            checkpoint_key=stage.key,
            parent_key=stage.parent_key,
            base=stage.base,
            base_key=stage.base_key,
            chain=stage.chain,
            task=task,
            seed=stage.seed,
            precision=self.precision,
            variant=stage.variant,
            tokens=2 * facts.tokens.scored["test"],
        )
        self.divergences.setdefault(stage.key, {}).setdefault(node.key, node)
        if place:
            self.cells[place] = replace(self.cells[place], kl_key=node.key)

    def _weighed(self, base: str, variant: Variant, branch: Branch, step: Step, made: Mapping[Chain, str]) -> Step:
        """The step, its portions that go by scores pointing to those of training examples before and after the loss."""
        by_scores = [portion.who for portion in step.portions if portion.who in BY_SCORES]
        if branch.mitigated is None or not by_scores:
            return step
        task, chains = branch.mitigated.task, (branch.trained, branch.mitigated.chain)
        if self.facts[task].unexpected:
            raise ConfigError(
                f"task '{task}': 'who: {by_scores[0]}' weighs training examples by whether the expected was done, and "
                "not all of these say what is expected; give each 'expects: refuse' or 'expects: comply', or write "
                "'who: balanced' or 'who: uniform'"
            )
        decides = self.facts[task].decides
        judge = next((judge for judge in self.judges.get(task, ()) if judge.measure == decides), None)
        what: _What = (task, "train", GENERATION if judge else decides)
        measured = [Checkpoint(base, chain, variant.labels, variant.seed, made[chain]) for chain in chains]
        keys = tuple(self._score(at, at.labels, what) for at in measured)
        if judge:
            keys = tuple(self._judged(at.key, key, judge) for at, key in zip(measured, keys, strict=True))
        portions = (replace(p, weighed_by=keys) if p.who in BY_SCORES else p for p in step.portions)
        return replace(step, portions=tuple(portions))

    def _answered(self, base: str, variant: Variant, branch: Branch, step: Step, made: Mapping[Chain, str]) -> Step:
        """The step, its own answers pointing to what the checkpoint before the loss says."""
        if step.protected_own is None and all(portion.own is None for portion in step.portions):
            return step
        before = Checkpoint(base, branch.trained, variant.labels, variant.seed, made[branch.trained])
        portions = (replace(p, own=self._own(before, p.task, p.own)) if p.own else p for p in step.portions)
        looked_at = self._own(before, step.protected, step.protected_own) if step.protected_own else None
        return replace(step, portions=tuple(portions), protected_own=looked_at)

    def _own(self, at: Checkpoint, task: str, own: OwnAnswers) -> OwnAnswers:
        """Own answers with the key of what a checkpoint says to the training prompts of a task."""
        name, digest = self.facts[task].own
        measure = MEASURES.get(name)
        BACKENDS.get(self.study.backend).check(measure.needs, name)
        generation = own.generation if measure.generation else None
        measure = replace(measure, generation=generation) if generation else measure
        asked = [measure.content(), digest]
        return replace(own, measurement=self._score(at, at.labels, (task, "train", name), asked, generation))

    def _referring(self, at: Checkpoint, step: Step, recipe: Recipe) -> Step:
        """The step, its whole portions pointing to what its objective reads of the model before it.

        Of a dose the stage itself asks the model, as does one that holds the weights in another form than it is stored.
        """
        if step.back_to is not None or step.external:
            return step
        if not objective_of(recipe).has_reference or recipe.quantize:
            return step
        BACKENDS.get(self.study.backend).check(MEASURES.get(REFERENCE).needs, REFERENCE)
        portions = (
            replace(p, reference=self._score(at, at.labels, (p.task, "train", REFERENCE))) if p.dose == 1 else p
            for p in step.portions
        )
        return replace(step, portions=tuple(portions))

    def _stage(
        self, base: str, chain: Chain, variant: Variant, path: Sequence[str], step: Step, settings: StageSettings
    ) -> StageNode:
        looked_at = (step.protected, step.protected_examples, step.protected_own)
        operation: Operation = DataMix(step.portions, step.mixing, *looked_at)
        payload = {
            "format": STAGE_FORMAT,
            "kind": "stage",
            "parent": path[-1],
            "precision": self.precision,
        }
        if step.back_to is not None:
            start = path[0] if step.reads_base else ""
            operation = Interpolation(path[step.back_to], step.fraction, step.merged_by, step.merge_options, start)
            merge = [operation.merged_by, operation.other_key, operation.fraction]
            payload |= {"merge": merge + ([dict(operation.options), start] if operation.options or start else [])}
        elif step.external:
            operation = External(step.external, self.contents[step.external])
            payload |= {"external": self._external(operation, base, variant.seed)}
        else:
            payload |= {"recipe": settings.recipe.content(), "seed": variant.seed, **self._taught(step)}
            payload |= self._rendered(base, [*(portion.task for portion in step.portions), step.protected])
        return StageNode(
            key=canonical_digest(payload),
            parent_key=path[-1],
            base=base,
            base_key=self.base_keys[base],
            chain=_labels(chain),
            operation=operation,
            recipe=settings.recipe,
            resources=settings.resources,
            report_to=settings.report_to,
            seed=variant.seed,
            precision=self.precision,
            variant=variant.labels,
            tokens=self._tokens(step, settings.recipe),
            held_bytes=step.bytes_a_token * self._looked_at(step)[1],
        )

    def _settings(self, step: Step, variant: Variant, parent: str = "") -> StageSettings:
        if step.back_to is not None:
            return StageSettings()  # a merge is stored whole, whatever trained what it is made of
        if step.external:  # its recipe is not known to us; what it asks of a machine is
            settings = self.study.stage_of(step.task, variant) if step.task else self.study.stage
            return StageSettings(Recipe(devices=settings.recipe.devices), settings.resources)
        settings = self.study.stage_of(step.task, variant, dict(step.recipe))
        targets = frozenset[type]().union(*(self._targets(portion.task, portion.own) for portion in step.portions))
        recipe = with_objective(settings.recipe, targets, task=step.task)
        if step.protected:
            protecting(recipe, self._targets(step.protected, step.protected_own), task=step.protected)
        if parent in self.bare:  # whatever is to become of its adapter, it is the same stage
            recipe = replace(recipe, adapter=None)
        return replace(settings, recipe=replace(recipe, regulariser=step.regulariser))

    def _targets(self, task: str, own: OwnAnswers | None) -> frozenset[type]:
        """Classes of the targets that a task's data have, or own answers to its prompts."""
        facts = self.facts[task]
        return frozenset({Reference}) if own and facts.own[0] != CHOICE else facts.targets

    def _external(self, operation: External, base: str, seed: int) -> dict[str, Any]:
        """The part of a stage's key that says what another program makes it of."""
        plain: dict[str, Any] = {"content": [list(pair) for pair in operation.content]}
        if operation.stage.command:
            data = self.facts[operation.stage.task].train_digest if operation.reads_data else ""
            plain |= {"command": operation.stage.command, "data": data, "seed": seed}
            plain |= self._rendered(base, [operation.stage.task])
        return plain

    def _taught(self, step: Step) -> dict[str, Any]:
        """The part of a stage's key that says what it is taught."""
        if step.mixing == "alone":
            data = self._portion(step.portions[0])
        else:
            data = {"mixing": step.mixing, "portions": [self._portion(portion) for portion in step.portions]}
        if step.protected:
            data["protected"] = [self.facts[step.protected].train_digest, step.protected_examples]
            data["protected"] += [self._own_content(step.protected_own)] if step.protected_own else []
        return data

    def _rendered(self, base: str, tasks: Sequence[str]) -> dict[str, Any]:
        """The part of a key that says which chat templates render examples; nothing where none does."""
        digests = [self.templates[base, task] for task in tasks if (base, task) in self.templates]
        return {"templates": list(dict.fromkeys(digests))} if digests else {}

    def _portion(self, portion: Portion) -> dict[str, Any]:
        plain = {"task": self.facts[portion.task].train_digest, "dose": portion.dose}
        who = {"who": portion.who, "by": portion.by, "weighed_by": list(portion.weighed_by)}
        lost = "pooled_forgetting" if portion.by else "value"
        who |= {"metric": self.facts[portion.task].metric, "lost": lost} if portion.weighed_by else {}
        judges_by = self.facts[portion.task].judges_by
        who |= {"judges_by": list(judges_by)} if portion.weighed_by and judges_by else {}
        reference = {"reference": portion.reference} if portion.reference else {}
        own = {"own": self._own_content(portion.own)} if portion.own else {}
        return plain | (who if portion.who != "uniform" else {}) | reference | own

    def _own_content(self, own: OwnAnswers) -> list[Any]:
        """What of own answers determines what is taught: what the checkpoint said, and which of it is taken."""
        scorer = configured(own.scorer) if own.scorer else None
        return [own.measurement, *([list(own.keep), scorer[0].digest(scorer[1])] if scorer else [])]

    def _looked_at(self, step: Step) -> tuple[int, int]:
        """How many examples a stage's regulariser looks at, and their tokens."""
        if step.protected:
            examples = self.facts[step.protected].examples
            count = min(step.protected_examples, examples)
            return count, round(self._taught_tokens(step.protected, step.protected_own) * count / max(1, examples))
        tasks = [portion.task for portion in step.portions]
        tokens = sum(self._taught_tokens(portion.task, portion.own) for portion in step.portions)
        return sum(self.facts[task].examples for task in tasks), tokens

    def _taught_tokens(self, task: str, own: OwnAnswers | None) -> int:
        """Tokens of one pass over a task's training examples; of texts that are not written yet at most."""
        facts = self.facts[task]
        return self._written(task, own.generation) if own and facts.own[0] != CHOICE else facts.tokens.taught

    def _written(self, task: str, generation: Generation) -> int:
        """Tokens that are read and at most written where own texts to a task's training prompts are asked for."""
        facts = self.facts[task]
        texts = facts.examples * generation.samples
        if facts.own[0] == OWN_TURNS:
            texts *= 2  # the turn of the user is written too
        return facts.tokens.scored["train"] + facts.tokens.asked + texts * generation.max_new_tokens

    def _tokens(self, step: Step, recipe: Recipe) -> int:
        """Tokens of all passes; of swapped rows as many as an average row has; 0 of what we do not train."""
        if step.back_to is not None or step.external:
            return 0
        epochs, beside = recipe.epochs, 0.0
        if step.rows_a_step:
            (rows, tokens), taught = self._looked_at(step), self.facts[step.portions[0].task].examples * epochs
            beside = tokens + ceil(taught / recipe.batch_size) * step.rows_a_step * tokens / max(1, rows)
        doses = [self._taught_tokens(portion.task, portion.own) * portion.dose for portion in step.portions]
        if step.mixing == "swapped":
            first, second = (self.facts[portion.task].examples for portion in step.portions)
            doses[0] *= 1 - round(step.portions[1].dose * second) / first
        return round(sum(doses) * epochs + beside)

    def _score(
        self,
        at: Checkpoint,
        labels: tuple[str, ...],
        what: _What,
        asked: list[Any] | None = None,
        generation: Generation | None = None,
    ) -> str:
        """The key of a checkpoint's measurement, by default as the task says; its node is made at its first mention."""
        (task, split, measure), facts, keys = what, self.facts[what[0]], self.base_keys
        tokens = facts.tokens.written if measure == GENERATION else facts.tokens.scored[split]
        if generation:
            tokens = self._written(task, generation)
        owner = next((name for name, own in keys.items() if own == at.key and keys[at.base] != at.key), at.base)
        node = ScoreNode(
            key="",
            checkpoint_key=at.key,
            base=owner,
            base_key=keys[owner],
            chain=labels,
            task=task,
            seed=at.seed or 0,
            precision=self.precision,
            split=split,
            measure=measure,
            by="" if measure == facts.decides or facts.decides not in facts.measured else measure,
            variant=at.variant if labels else (),
            tokens=tokens,
            template=self.templates.get((owner, task), ""),
            ends=self.ends.get(owner, ()) if measure == GENERATION or generation else (),
            generation=generation,
        )
        if measure == GENERATION and node.asks_twice:
            node = replace(node, tokens=tokens + facts.tokens.rewritten)
        others = self.scores.setdefault(at.key, {})
        # Own answers are written here: they are taught, and compared with nothing that a server wrote.
        if (serve := None if generation else self.study.serve) is not None:
            node = through_server(node, serve, others.values())
        asked = asked or {**facts.references, **facts.measured}[measure][split]
        node = addressed(node, asked, self.study.backend, serve)
        return others.setdefault(node.key, node).key

    def _judged(self, checkpoint: str, texts: str, judge: TaskJudge) -> str:
        """The key of what a scorer's model says of a measurement; its node is made at its first mention."""
        node = judge.node(self.scores[checkpoint][texts])
        return self.judgements.setdefault(node.key, node).key


def _labels(chain: Chain) -> tuple[str, ...]:
    return tuple(step.label for step in chain)


def check_curvature(spec: CurvatureSpec, task: str, available: int, method: str) -> None:
    """Refuse, before anything is trained, a curvature that could not be measured afterwards.

    Raises:
        ConfigError: more examples than the task teaches, more parts than examples, or an adapter's space without one.
    """
    if spec.examples > available:
        raise ConfigError(
            f"curvature.examples: {spec.examples} are wanted, and task '{task}' teaches {available}; take fewer"
        )
    if spec.batches > spec.examples:
        raise ConfigError(f"curvature.batches: {spec.batches} parts of {spec.examples} examples; take fewer parts")
    if spec.space == "lora" and method == "full":
        raise ConfigError(
            f"curvature.space: 'lora' needs an adapter, and stages on task '{task}' tune by method '{method}'; "
            "write space 'full', or method 'lora' in the recipe"
        )
