"""Texts that are written already, judged by scorers that ask a model: the last jobs of a run, without the others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, ModelError
from chaintune.execution.engine_factory import EngineFactory
from chaintune.execution.judges import judges_of
from chaintune.models import resolve_precision
from chaintune.plan.judging import last
from chaintune.plan.nodes import MEASUREMENT_FILE, JudgementNode, ScoreNode
from chaintune.plan.plan import Plan
from chaintune.records import Measurement, Task, canonical_digest
from chaintune.records.generation import GENERATION
from chaintune.runs.session import LOCAL, RunOptions, computed
from chaintune.store.store import Store


def judge_texts(
    texts: Mapping[str, Measurement],
    tasks: Sequence[Task],
    store: Store,
    options: RunOptions = LOCAL,
    *,
    precision: str = "auto",
    trust_remote_code: bool = False,
) -> dict[str, Measurement]:
    """What the models that tasks' scorers ask say of texts: name of the task -> measurement.

    Texts and verdicts are kept in the store; a text that the same judge has seen is not judged again.

    Args:
        texts: name of the task -> the texts that answer its test examples.
        tasks: each with one scorer, which asks a model.
        store: where finished work lies.
        options: who computes.
        precision: of language models that are files.
        trust_remote_code: run Python code that comes with a model.

    Raises:
        ConfigError: a judge would judge itself; a scorer's settings are invalid, or do not fit its model.
        DataError: a question is longer than the judge's context.
        ModelError: a model cannot be loaded, or a judgement failed.
    """
    chosen = resolve_precision(precision)
    judges = judges_of(tasks, {}, store, precision=chosen, trust_remote_code=trust_remote_code, serving=options.serving)
    there: list[ScoreNode] = []
    asked: dict[str, JudgementNode] = {}
    for task in tasks:
        (judge,) = judges.by_task[task.name]
        written = _kept(texts[task.name], task, store)
        if judge.base_key == written.checkpoint_key:
            raise ConfigError(
                f"task '{task.name}': scorer '{judge.measure}' asks '{judge.base}', which wrote these texts, and no "
                "model judges itself; name another judge"
            )
        there.append(written)
        asked[task.name] = judge.node(written)
    plan = Plan("rescore", (*there, *last(list(asked.values()))), (), 0, len(asked), "all", {})
    how: dict[str, Any] = {"trust_remote_code": trust_remote_code, "serving": options.serving}
    engine = EngineFactory.of(judges.models, chosen, **how)
    with computed(plan, store, {task.name: task for task in tasks}, engine, options) as outcome:
        for failed in outcome.of("failed"):
            raise ModelError(f"{failed.node.title}: {failed.cause}")
        entries = {name: store.get("score", node.key) for name, node in asked.items()}
        read = {name: Measurement.read(entry.path / MEASUREMENT_FILE) for name, entry in entries.items() if entry}
        # Other checkpoints that wrote the same texts share the entry, and its provenance is of the first of them.
        abouts = {
            name: {**texts[name].provenance, "judge": asked[name].base, "judge_key": asked[name].base_key}
            for name in read
        }
        return {name: replace(measurement, provenance=abouts[name]) for name, measurement in read.items()}


def _kept(texts: Measurement, task: Task, store: Store) -> ScoreNode:
    """The texts as a measurement in the store, and the node that stands for it."""
    by_sample = texts.table.select(["example_id", "sample", "text"]).to_pylist()
    key = canonical_digest(["texts", [list(row.values()) for row in by_sample]])

    def write(out: Path) -> Mapping[str, Any]:
        texts.write(out / MEASUREMENT_FILE)
        return {"title": f"texts of {task.name}"}

    store.get_or_make("score", key, write)
    about = texts.provenance
    return ScoreNode(
        key=key,
        checkpoint_key=about.get("checkpoint", ""),
        base=about.get("model", ""),
        base_key=about.get("checkpoint", ""),
        chain=(),
        task=task.name,
        measure=GENERATION,
        seed=0,
        precision="",
        devices=1,
        called=about.get("model", task.name),
    )
