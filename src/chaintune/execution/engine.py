"""Computes the nodes of a plan on this machine: loads, tunes, scores, and keeps the last model in memory."""

import json
import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from chaintune import hessian
from chaintune.errors import ModelError
from chaintune.execution.bases import BaseModel
from chaintune.execution.checkpoint_models import CheckpointModels
from chaintune.execution.compute import StageInputs
from chaintune.execution.events import Progress
from chaintune.execution.external.checkpoint import ParentFiles, make_checkpoint
from chaintune.execution.hardware import this_hardware
from chaintune.execution.learning import STAGE_LOG
from chaintune.execution.processes.job import Job
from chaintune.execution.processes.launch import score_on_devices, tune_on_devices
from chaintune.execution.serving import CheckpointServers
from chaintune.execution.stage_data import StageData, stage_data_of
from chaintune.models import LoadedModel, Precision, merge_adapter, save
from chaintune.models.adapters import name_base
from chaintune.models.memory import free_memory
from chaintune.plan.nodes import (
    CURVATURE_FILE,
    MEASUREMENT_FILE,
    OVERLAP_FILE,
    CurvatureNode,
    External,
    Interpolation,
    JudgementNode,
    KlNode,
    OverlapNode,
    ScoreNode,
    StageNode,
)
from chaintune.records import Example, Measurement, Task
from chaintune.records.audit import RENDERED
from chaintune.records.generation import Keep, kept_nowhere
from chaintune.records.parity import PARITY
from chaintune.scoring.backends import AS_USUAL, BACKENDS, Backend, CheckpointFiles, Served, Serving
from chaintune.scoring.checkpoint import measure_checkpoint
from chaintune.scoring.divergence import divergence
from chaintune.scoring.measures.measure import Measure, evenly_spaced
from chaintune.scoring.parity import own_sample, parity
from chaintune.scoring.reading import measure_of
from chaintune.scoring.scorers.judgements import judgement
from chaintune.scoring.scorers.metric import configured
from chaintune.scoring.scorers.scorer import OpenModel, Verdict
from chaintune.study.serve import SERVED_BY
from chaintune.tuning.mitigations import MITIGATIONS
from chaintune.tuning.optimizer import Step

_log = logging.getLogger(__name__)


class LocalEngine:
    """The engine of the local executor: what a plan asks for, of the one model that is in memory."""

    def __init__(
        self,
        bases: Mapping[str, BaseModel],
        *,
        precision: Precision,
        servers: CheckpointServers | None = None,
        serving: Serving = AS_USUAL,
    ) -> None:
        self._bases = bases
        self._servers = servers
        self._precision = precision
        self._serving = serving
        self._models = CheckpointModels(bases, precision=precision, stop_servers=self.stop_servers)
        self._opened: dict[str, Backend] = {}

    def base_folder(self, base: str) -> Path | None:
        """The model folder of a base, by its name in the study; None of one that is served."""
        return self._bases[base].weights

    def tune(
        self, *, node: StageNode, inputs: StageInputs, out: Path, report: Callable[[Progress], None]
    ) -> dict[str, Any]:
        """Train a stage and write its checkpoint and its log into `out`."""
        # Scores and plans need neither the Trainer nor datasets and pandas, which it loads.
        from chaintune.tuning.tune import tune

        if isinstance(node.operation, Interpolation):
            return self._blend(node, node.operation, inputs, out)
        if isinstance(node.operation, External):
            return self._bring(node, node.operation, inputs, out)
        operation = stage_data_of(node, inputs)
        if node.recipe.devices > 1:
            return self._tune_on_devices(node, operation, inputs, out, report)
        reload, parent = self._reader(node, inputs), inputs.parents[node.parent_key]
        loaded = reload() if node.recipe.quantize else self._models.checkpoint(node.parent_key, parent, node)
        self._models.forget()  # from here on the parent's weights change
        tuned = tune(
            loaded,
            operation.examples,
            task=node.task,
            recipe=node.recipe,
            seed=node.seed,
            log=out / STAGE_LOG,
            replayed=operation.replayed,
            protected=operation.protected,
            on_step=lambda step: report(_tuning_progress(node, step)),
            reload=reload,
            report_to=node.report_to,
        )
        checkpoint = tuned.loaded
        if checkpoint.has_adapter and not self._rests_on_base(node, checkpoint, loaded):
            checkpoint = merge_adapter(checkpoint)
        save(checkpoint, out)
        name_base(out, node.base.partition("+")[0])
        # What was trained on weights in 4 bits is scored on the weights as they are stored.
        if not checkpoint.quantize:
            self._models.hold(node.key, checkpoint)
        return {
            "train_tokens": tuned.train_tokens,
            "train_examples": len(operation.examples),
            "steps": tuned.steps,
            "seconds": tuned.seconds,
            "first_loss": tuned.first_loss,
            "final_loss": tuned.final_loss,
            "micro_batch_size": tuned.micro_batch_size,
            **this_hardware().note(),
            **operation.notes,
        }

    def _reader(self, node: StageNode, inputs: StageInputs) -> Callable[[], LoadedModel]:
        """Reads the parent of a stage as its recipe wants it in memory."""
        weights, adapter = self._models.folders(node.parent_key, inputs.parents[node.parent_key], node)

        def read() -> LoadedModel:
            self._models.let_go()
            return self._models.read(weights, adapter, node, quantize=node.recipe.quantize)

        return read

    def _tune_on_devices(
        self, node: StageNode, operation: StageData, inputs: StageInputs, out: Path, report: Callable[[Progress], None]
    ) -> dict[str, Any]:
        """Have other processes train a stage; this one lets go of its model, for one of them needs its device."""
        weights, adapter = self._models.folders(node.parent_key, inputs.parents[node.parent_key], node)
        self._models.let_go()
        with tempfile.TemporaryDirectory() as scratch:
            job = Job(
                "tune",
                weights,
                adapter,
                self._precision,
                node.task,
                operation.examples,
                out,
                Path(scratch),
                trust_remote_code=self._bases[node.base].trust_remote_code,
                allow_unused=self._bases[node.base].allow_unused,
                recipe=node.recipe,
                seed=node.seed,
                replayed=operation.replayed,
                protected=operation.protected,
                report_to=node.report_to,
                chat_template=self._models.template(node.base),
                alone=self._follows_bare_base(node),
            )
            numbers = tune_on_devices(job, lambda step: report(_tuning_progress(node, step)))
        name_base(out, node.base.partition("+")[0])
        devices = node.recipe.devices
        about = {"train_examples": len(operation.examples), "devices": devices, **this_hardware(devices).note()}
        return numbers | about | operation.notes

    def _blend(self, node: StageNode, blend: Interpolation, inputs: StageInputs, out: Path) -> dict[str, Any]:
        """Write the weights between checkpoints. All that are read are in memory while it lasts."""
        started = time.monotonic()

        def whole(key: str) -> LoadedModel:
            loaded = merge_adapter(self._models.checkpoint(key, inputs.parents[key], node))
            self._models.forget()
            return loaded

        loaded, other = whole(node.parent_key), whole(blend.other_key)
        start = {"base": whole(blend.start_key).model} if blend.start_key else {}
        merge = MITIGATIONS.get(blend.merged_by).merge
        assert merge is not None  # noqa: S101 - a mitigation between checkpoints has it
        merge(loaded.model, other.model, blend.fraction, **dict(blend.options), **start)
        save(loaded, out)
        self._models.hold(node.key, loaded)
        return {"train_tokens": 0, "steps": 0, "seconds": time.monotonic() - started, "fraction": blend.fraction}

    def _bring(self, node: StageNode, external: External, inputs: StageInputs, out: Path) -> dict[str, Any]:
        """Have another program make the checkpoint, or read the one that it made; this one lets go of its model."""
        started = time.monotonic()
        weights, adapter = self._models.folders(node.parent_key, inputs.parents[node.parent_key], node)
        base = self._bases[node.base]
        parent = ParentFiles(weights, adapter, base, node.base, self._precision)
        examples = inputs.tasks[external.stage.task].train if external.reads_data else ()
        self._models.let_go()
        with tempfile.TemporaryDirectory(dir=out) as scratch:
            notes = make_checkpoint(external, parent, examples, seed=node.seed, scratch=Path(scratch), out=out)
        about: dict[str, Any] = {"train_tokens": 0, "train_examples": len(examples), "external": True}
        return about | {"seconds": time.monotonic() - started} | notes

    def score(
        self,
        *,
        node: ScoreNode,
        checkpoint: Path | None,
        task: Task,
        out: Path,
        report: Callable[[Progress], None],
        keep: Keep = kept_nowhere,
    ) -> dict[str, Any]:
        """Measure a checkpoint on a split of a task and write `measurement.parquet` into `out`."""
        examples, measure = task.test if node.split == "test" else task.train, measure_of(task, node.measure)
        measure = replace(measure, generation=node.generation) if node.generation else measure
        base = self._bases[node.base]
        kind = BACKENDS.get(base.backend)
        kind.check(measure.needs, measure.name)
        about = {"checkpoint": node.checkpoint_key, "backend": kind.name}
        about |= base.about
        about |= {"chat": RENDERED, "chat_template": node.template} if node.template else {}
        devices = node.devices if kind.share and not measure.generation and not node.served else 1
        started = time.monotonic()

        def watch(done: int) -> None:
            report(_scoring_progress(node, done, len(examples), started))

        twice = len(evenly_spaced(len(examples))) if node.asks_twice else 0

        def watch_texts(written: int, tokens: int) -> None:
            texts = (len(examples) + twice) * (node.generation or task.generation).samples
            report(_writing_progress(node, written, texts, tokens, started))

        if devices > 1:
            self._models.let_go()
            with tempfile.TemporaryDirectory() as scratch:
                job = Job(
                    "score",
                    *self._models.folders(node.checkpoint_key, checkpoint or base.folder, node),
                    self._precision,
                    task.name,
                    examples,
                    out / MEASUREMENT_FILE,
                    Path(scratch),
                    trust_remote_code=self._bases[node.base].trust_remote_code,
                    allow_unused=base.allow_unused,
                    backend=base.backend,
                    measure=measure.name,
                    provenance=about,
                    measure_rounding=node.asks_twice,
                    chat_template=self._models.template(node.base),
                )
                score_on_devices(job, devices, watch)
        else:
            with self._asked(node, checkpoint, examples, measure, about) as backend:
                started = time.monotonic()
                measurement = measure_checkpoint(
                    backend,
                    examples,
                    measure=measure,
                    task=task.name,
                    provenance=about,
                    measure_rounding=node.asks_twice,
                    on_scored=watch,
                    on_written=watch_texts,
                    keep=keep,
                )
            measurement.write(out / MEASUREMENT_FILE)
        notes = {"score_tokens": node.tokens, "examples": len(examples), "seconds": time.monotonic() - started}
        return notes | this_hardware(devices).note()

    def judge(
        self,
        *,
        node: JudgementNode,
        model: Path | None,
        texts: Path,
        task: Task,
        known: Mapping[str, Verdict],
        out: Path,
        report: Callable[[Progress], None],
        keep: Keep,
    ) -> dict[str, Any]:
        """Have a scorer's model judge the texts of a measurement, and write `measurement.parquet` into `out`."""
        scorer, settings = configured(node.scorer, f"task '{task.name}': ")
        started, asked = time.monotonic(), [0, 0]

        def watch(judged: int, total: int) -> None:
            asked[:] = [judged, total]
            report(_scoring_progress(node, judged, total, started, unit="verdicts"))

        made = judgement(
            Measurement.read(texts / MEASUREMENT_FILE),
            task.test if node.split == "test" else task.train,
            scorer,
            settings,
            name=node.measure,
            model=self._open_judge(node, model),
            known=known,
            keep=keep,
            on_judged=watch,
        )
        about = {"judge": node.base, "judge_key": node.base_key}
        about |= {"judge_identity": identity} if (identity := self._bases[node.base].identity) else {}
        replace(made, provenance={**made.provenance, **about}).write(out / MEASUREMENT_FILE)
        notes = {"judge": node.judge, "score_tokens": node.tokens, "texts": len(made.table), "questions": asked[1]}
        return notes | {"seconds": time.monotonic() - started} | this_hardware().note()

    def _open_judge(self, node: JudgementNode, model: Path | None) -> OpenModel:
        """The model that a scorer asks, in place of the one in memory."""
        base = self._bases[node.base]
        if not base.is_classifier:
            gives = "log-probabilities" in BACKENDS.get(base.backend).abilities
            return OpenModel(self._open(node, model), gives_probabilities=gives, is_served=base.weights is None)
        return OpenModel(classifier=self._models.classifier(base))

    @contextmanager
    def _asked(
        self,
        node: ScoreNode,
        checkpoint: Path | None,
        examples: Sequence[Example],
        measure: Measure,
        about: dict[str, str],
    ) -> Iterator[Backend]:
        """The backend that is asked: that of the base, or a server of the checkpoint, which is noted in `about`."""
        if not node.served:
            yield self._open(node, checkpoint)
            return
        assert self._servers is not None  # noqa: S101 - the plan has such nodes only where there is a `serve`
        folder, key = checkpoint or self._bases[node.base].folder, node.checkpoint_key
        title, own = node.checkpoint_title if node.chain else node.called, None
        if node.compared:
            loaded = self._models.checkpoint(key, folder, node, to_train=False)
            own = own_sample(loaded, examples, measure=measure, task=node.task)
            del loaded
        if not self._servers.holds(key):
            self._models.let_go()
        folders = self._models.folders(key, folder, node)

        def merge(out: Path) -> None:
            save(merge_adapter(self._models.read(*folders, node)), out)
            free_memory()

        try:
            server = self._servers.open(key, title, folders, self._models.reader(node.base), merge)
            about |= {"backend": SERVED_BY, "serve": self._servers.command}
            if own is not None:
                known = parity(own, server)
                about[PARITY] = known.to_json()
                _log.warning("%s", known.sentence(title))
            yield cast("Backend", server)
        except ModelError as error:
            if ended := self._servers.ended():
                raise ModelError(f"{error}; {ended}") from error
            raise
        if ended := self._servers.ended():  # then it was another that answered at its port
            raise ModelError(ended)

    def stop_servers(self) -> None:
        """End the server of a checkpoint, if one runs."""
        if self._servers is not None:
            self._servers.stop()

    def _open(self, node: ScoreNode, checkpoint: Path | None) -> Backend:
        """The backend of the node's base, open on a checkpoint; None is the base itself, where it is served."""
        base = self._bases[node.base]
        opens = BACKENDS.get(base.backend).opens
        if isinstance(opens, Served):
            # One over the whole run, which knows by what name the server answered first.
            if node.base not in self._opened:
                self._opened[node.base] = opens.open(base.reference, self._serving)
            return self._opened[node.base]
        folder = checkpoint or base.folder

        def read() -> LoadedModel:
            return self._models.checkpoint(node.checkpoint_key, folder, node, to_train=False)

        return opens(CheckpointFiles(*self._models.folders(node.checkpoint_key, folder, node), self._precision, read))

    def measure_curvature(self, *, node: CurvatureNode, checkpoint: Path, task: Task, out: Path) -> dict[str, Any]:
        """Measure the curvature of a checkpoint on a task's training examples and write it into `out`."""
        loaded = (
            self._whole_model(checkpoint, node)
            if node.space == "full"
            else self._models.checkpoint(node.checkpoint_key, checkpoint, node)
        )
        result = hessian.curvature(
            loaded,
            hessian.choose_examples(task.train, node.examples, task=task.name, seed=node.examples_seed),
            task=task.name,
            loss=node.loss,
            space=node.space,
            batches=node.batches,
            search=hessian.Search(node.tolerance, node.basis, seed=node.examples_seed),
            provenance={"checkpoint": node.checkpoint_key, "task_version": task.version, "split": "train"},
        )
        (out / CURVATURE_FILE).write_text(json.dumps(result.to_dict(), indent=2) + "\n", encoding="utf-8")
        return {"products": result.products, "examples": result.n, "seconds": result.seconds}

    def measure_overlap(
        self, *, node: OverlapNode, checkpoint: Path, tasks: Mapping[str, Task], out: Path
    ) -> dict[str, Any]:
        """Compare the gradients of tasks at a checkpoint, on their training examples, and write them into `out`."""
        started = time.monotonic()
        chosen = {
            name: hessian.choose_examples(
                task.train, min(node.examples, len(task.train)), task=name, seed=node.examples_seed
            )
            for name, task in tasks.items()
        }
        losses = dict(zip(node.tasks, node.losses, strict=True))
        result = hessian.gradient_overlap(self._whole_model(checkpoint, node), chosen, losses)
        (out / OVERLAP_FILE).write_text(json.dumps(result.to_dict(), indent=2) + "\n", encoding="utf-8")
        return {"examples": sum(result.examples), "seconds": time.monotonic() - started}

    def _whole_model(self, checkpoint: Path, node: CurvatureNode | OverlapNode) -> LoadedModel:
        """A checkpoint in whose weights derivatives are taken: an adapter that does more than add to them is merged."""
        loaded = self._models.checkpoint(node.checkpoint_key, checkpoint, node)
        if loaded.has_adapter and not hessian.merely_adds(loaded):
            self._models.forget()  # merging changes it
            loaded = merge_adapter(loaded)
        return loaded

    def measure_kl(
        self,
        *,
        node: KlNode,
        checkpoint: Path,
        parent: Path,
        task: Task,
        out: Path,
        report: Callable[[Progress], None],
    ) -> dict[str, Any]:
        """Measure how far a checkpoint is from its parent. Two models are in memory while it lasts."""
        started = time.monotonic()
        weights, adapter = self._models.folders(node.parent_key, parent, node)
        child = self._models.checkpoint(node.checkpoint_key, checkpoint, node)
        before = self._models.read(weights, adapter, node)
        measurement = divergence(
            before,
            child,
            task.test,
            task=task.name,
            provenance={"checkpoint": node.checkpoint_key, "parent": node.parent_key},
            on_scored=lambda done: report(_scoring_progress(node, done, len(task.test), started)),
        )
        measurement.write(out / MEASUREMENT_FILE)
        del before
        free_memory()
        notes = {"score_tokens": node.tokens, "examples": len(task.test), "seconds": time.monotonic() - started}
        return notes | this_hardware().note()

    def _rests_on_base(self, node: StageNode, tuned: LoadedModel, before: LoadedModel) -> bool:
        """Whether under the adapter lie the weights of the base's own folder, so that it can be stored alone."""
        return tuned.model is before.model or self._follows_bare_base(node)

    def _follows_bare_base(self, node: StageNode) -> bool:
        adapter = node.recipe.adapter_settings
        alone = adapter is not None and adapter.leaves_base_alone
        return alone and node.parent_key == node.base_key and self._bases[node.base].adapter is None


def _tuning_progress(node: StageNode, step: Step) -> Progress:
    seconds_a_step = step.tokens / step.step / max(step.tokens_per_second, 1e-9)
    return Progress(
        node=node,
        done=step.step,
        total=step.steps,
        unit="steps",
        rate=step.tokens_per_second,
        seconds_left=(step.steps - step.step) * seconds_a_step,
    )


def _writing_progress(node: ScoreNode, texts: int, total: int, tokens: int, started: float) -> Progress:
    seconds = max(time.monotonic() - started, 1e-9)
    left = (total - texts) * seconds / texts if texts else math.nan
    return Progress(node, texts, total, "texts", tokens / seconds, left)


def _scoring_progress(
    node: ScoreNode | KlNode, done: int, total: int, started: float, *, unit: str = "examples"
) -> Progress:
    rate = done / max(time.monotonic() - started, 1e-9)
    return Progress(node, done, total, unit, rate, (total - done) / max(rate, 1e-9))
