"""Models that exist already, scored on tasks: what the store lacks is computed, nothing is trained."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

import chaintune.hf  # noqa: F401 - says what to install
from chaintune.errors import ConfigError, ModelError
from chaintune.execution.bases import BaseModel, open_base
from chaintune.execution.engine_factory import EngineFactory
from chaintune.execution.judges import judges_of
from chaintune.execution.sizing import chat_of, tell_sampling, tell_unused, usable, written_tokens
from chaintune.files.names import shown_names
from chaintune.models import Reader, resolve_precision
from chaintune.models.chat import has_template
from chaintune.models.digest import tokenizer_digest
from chaintune.models.encoding import encode_of, errors_of, tell_special_tokens
from chaintune.plan.judging import last
from chaintune.plan.measurements import addressed, divergence_between, measured_content, through_server
from chaintune.plan.nodes import MEASUREMENT_FILE, JudgementNode, KlNode, ScoreNode
from chaintune.plan.plan import Plan
from chaintune.records import Measurement, Scores, Task
from chaintune.records.audit import RENDERED, served_caution
from chaintune.runs.session import LOCAL, RunOptions, computed
from chaintune.scoring.backends import BACKENDS, DEFAULT, Served, Serving, backend_of
from chaintune.scoring.backends.backend import Ability
from chaintune.scoring.backends.prompts import own_ids
from chaintune.scoring.measures.measure import evenly_spaced
from chaintune.scoring.reading import check_measurable, deciding_measure, metrics_of, read_scores
from chaintune.scoring.trees import distinct_tokens
from chaintune.store.store import Store
from chaintune.study.serve import Serve, ServeArgument, read_serve

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Models that were scored.

    Attributes:
        scores: what each model is called -> task -> scores.
        divergences: task -> how far the second of two models is from the first, example by example; of tasks whose
            examples have answers, where it was asked for.
    """

    scores: dict[str, dict[str, Scores]]
    divergences: dict[str, pa.Table]


def score_models(
    models: Mapping[str, str], tasks: Sequence[Task], store: Store, options: RunOptions = LOCAL, **how: Any
) -> dict[str, dict[str, Scores]]:
    """Scores of several models on several tasks: what each model is called, then task -> scores.

    Arguments and errors are those of `scored_models`.
    """
    return scored_models(models, tasks, store, options, **how).scores


def scored_models(
    models: Mapping[str, str],
    tasks: Sequence[Task],
    store: Store,
    options: RunOptions = LOCAL,
    *,
    precision: str = "auto",
    backend: str = DEFAULT,
    devices: int = 1,
    trust_remote_code: bool = False,
    allow_unused: Sequence[str] = (),
    serve: ServeArgument = None,
    server_logs: Path | None = None,
    kl: bool | None = False,
) -> Scored:
    """Scores of several models on several tasks, and how far the second of two is from the first.

    What could not be scored is refused before anything is computed; equal models are scored once.

    Args:
        models: what each is called in messages and results -> its name as a user gives it.
        tasks: with different names.
        store: where finished work lies; a GGUF file is dequantised into it.
        options: who computes.
        precision: `auto`, `bf16` or `fp32`, of models that are files.
        backend: that computes models that are files.
        devices: processes that score together, one a GPU; the scores, and so their keys, do not depend on them.
        trust_remote_code: run Python code that comes with a model.
        allow_unused: patterns of weights that the models may leave out.
        serve: the command by which a server is started for each model that is files, or the keys of `serve` in a study
            file; None starts none.
        server_logs: folder of their logs; None keeps those of servers that failed.
        kl: whether to measure how far the second of two models is from the first. None does so where it holds its
            weights quantised, and the first does not, and tells where it cannot be.

    Raises:
        ConfigError: no task, or two of one name; fewer devices than one, or several and a backend that cannot share
            its work; a backend that cannot measure a task.
        DataError: an example is longer than a model's context.
        ModelError: a model cannot be loaded, or has no chat template where one has to render; or a scoring failed.
    """
    _check_names(tasks)
    by_server = read_serve(serve)
    if devices < 1:
        raise ConfigError(f"devices: expected a number of processes, at least 1, got {devices}")
    for name in {backend_of(model, backend) for model in models.values()}:
        _check_backend(name, tasks, devices)
    shown = shown_names(models.values())
    bases = {
        shown[name]: open_base(name, store, backend, allow_unused=allow_unused, trust_remote_code=trust_remote_code)
        for name in shown
    }
    if devices > 1 and (quantised := [base for base in bases.values() if base.quantised]):
        raise ConfigError(
            f"devices: model '{quantised[0].name}' holds its weights quantised, which cannot be spread over {devices} "
            "processes; leave devices out"
        )
    chosen = resolve_precision(precision)
    serving = options.serving.kept_to(
        base.reference.rpartition("#")[2] for base in bases.values() if base.weights is None
    )
    keys: dict[tuple[str, str], str] = {}
    nodes: dict[str, ScoreNode] = {}
    readers = {name: base.reader() for name, base in bases.items() if base.weights}
    readers |= {name: one for name, base in bases.items() if (one := _served_reader(base, serving))}
    # There a server renders turns, by a template of its own.
    served = [name for name, base in bases.items() if base.weights is None]
    there = {(name, task.name) for name in served for task in tasks if _is_rendered_there(task, readers.get(name))}
    chat = {at: {"chat": RENDERED} for at in there}
    for task in tasks:
        chat |= chat_of([task], {name: one for name, one in readers.items() if (name, task.name) not in there})
    by_name = usable(tasks, readers.values())
    for called, name in models.items():
        base = bases[shown[name]]
        stored = "" if base.weights is None else chosen
        for task in by_name.values():
            template = chat.get((shown[name], task.name), {}).get("chat_template", "")
            ends = () if base.weights is None else readers[shown[name]].ends
            node = _node(
                base, shown[name], task, called, precision=stored, devices=devices, template=template, ends=ends
            )
            asked_of = _measured(node, task, base, readers.get(shown[name]))
            node = _addressed(node, asked_of, base, by_server, nodes.values())
            keys[called, task.name] = node.key
            if node.key not in nodes:
                is_read = shown[name] in readers and (shown[name], task.name) not in there
                is_read = is_read and not store.has("score", node.key)
                tokens = _read_tokens(task, readers[shown[name]], asks_twice=node.asks_twice) if is_read else 0
                nodes[node.key] = replace(node, tokens=tokens)
    tell_unused(chat)
    _check_servers(bases, nodes.values(), by_name, store, serving)
    tell_sampling(by_name.values(), readers)
    judges = judges_of(
        by_name.values(), bases, store, precision=chosen, trust_remote_code=trust_remote_code, serving=serving
    )
    identities = ([one.identity for one in own.values() if one.identity] for own in (bases, judges.models))
    if told := served_caution(*identities):
        _LOG.warning("%s", told)
    asked, judgements = dict(keys), dict[str, JudgementNode]()
    for (called, name), key in keys.items():
        for judge in judges.by_task.get(name, ()):
            if judge.measure == metrics_of(by_name[name])[0].measure:  # else nothing reads it
                judgement = judge.node(replace(nodes[key], called=called))
                keys[called, name] = judgements.setdefault(judgement.key, judgement).key
    places = {name: place for place, name in enumerate(bases)}
    # Of each model what it is asked here first: a server wants the memory.
    in_order = sorted(nodes.values(), key=lambda node: (places[node.base], node.served))
    measured = {at: nodes[key] for at, key in asked.items()}
    apart = _divergences(models, {name: bases[shown[name]] for name in models.values()}, readers, by_name, measured, kl)
    jobs: list[ScoreNode | KlNode] = [*in_order, *apart.values()]
    if by_server:  # it wants the memory of the two
        jobs = [*apart.values(), *in_order]
    plan = Plan("score", (*jobs, *last(list(judgements.values()))), (), 0, len(keys), "all", {})
    engine = EngineFactory.of(
        {**bases, **judges.models},
        chosen,
        trust_remote_code=trust_remote_code,
        serve=by_server,
        server_logs=server_logs,
        serving=serving,
    )
    scores: dict[str, dict[str, Scores]] = {}
    with computed(plan, store, by_name, engine, options) as outcome:
        for failed in outcome.of("failed"):
            if kl is None and isinstance(failed.node, KlNode):
                _LOG.warning("%s was not measured: %s", failed.node.title, failed.cause)
                continue
            raise ModelError(f"{failed.node.title}: {failed.cause}")
        for (called, name), key in keys.items():
            model = shown[models[called]]
            scores.setdefault(called, {})[name] = _read(store, key, by_name[name], model, chat.get((model, name), {}))
        entries = {name: store.get(node.kind, node.key) for name, node in apart.items()}
        divergences = {
            name: Measurement.read(entry.path / MEASUREMENT_FILE).table for name, entry in entries.items() if entry
        }
    return Scored(scores, divergences)


def _divergences(
    models: Mapping[str, str],
    bases: Mapping[str, BaseModel],
    readers: Mapping[str, Reader],
    tasks: Mapping[str, Task],
    nodes: Mapping[tuple[str, str], ScoreNode],
    kl: bool | None,
) -> dict[str, KlNode]:
    """Task -> the node that measures how far the second model is from the first, of tasks with answers."""
    if len(models) != 2:
        if kl:
            raise ConfigError(f"kl: it is measured between two models, got {len(models)}; leave it out, or name two")
        return {}
    (before, one), (after, other) = models.items()
    if not (kl or (kl is None and bases[other].quantised and not bases[one].quantised)):
        return {}
    why = ""
    if any(base.weights is None or base.backend != DEFAULT for base in (bases[one], bases[other])):
        why = f"both models have to be computed by backend '{DEFAULT}'"
    elif bases[one].key == bases[other].key:
        return {}  # nothing lies between them
    elif not _read_alike([readers[name] for name in readers]):
        why = "the two models read text as different tokens"
    answered = [task for task in tasks.values() if task.test and all(example.answers for example in task.test)]
    if not why and not answered:
        why = "no task has examples with answers that are right"
    if why and kl:
        raise ConfigError(f"kl: {why}; leave --kl out, or name other models or tasks")
    if why:
        _LOG.warning("how far the quantised model is from the other one (KL) is not measured: %s", why)
        return {}
    return {task.name: divergence_between(nodes[after, task.name], nodes[before, task.name], task) for task in answered}


def _read_alike(readers: Sequence[Reader]) -> bool:
    """Whether tokenizers have one vocabulary."""
    first, *others = (reader.tokenizer.get_vocab() for reader in readers)
    return all(first == other for other in others)


def _read(store: Store, key: str, task: Task, model: str, chat: Mapping[str, str]) -> Scores:
    entry = store.get("score", key)
    if entry is None:
        raise ModelError(f"the scores {key} are not in the store {store.address}; run the command again")
    scores = read_scores(entry.path / MEASUREMENT_FILE, task, key=key)
    chat = {**chat, **({"other_way_of": task.other_way_of} if task.other_way_of else {})}
    return replace(scores, provenance={**scores.provenance, "model": model, **chat})


def _node(
    base: BaseModel,
    name: str,
    task: Task,
    called: str,
    *,
    precision: str,
    devices: int,
    template: str,
    ends: tuple[int, ...],
) -> ScoreNode:
    """The node that measures a model as the task's first item metric needs it, without its key."""
    measure = deciding_measure(task)
    return ScoreNode(
        key="",
        checkpoint_key=base.key,
        base=name,
        base_key=base.key,
        chain=(),
        task=task.name,
        measure=measure.name,
        seed=0,
        precision=precision,
        devices=devices,
        called=called,
        template=template,
        ends=ends if measure.generation else (),
    )


def _addressed(
    node: ScoreNode, measured: list[Any], base: BaseModel, serve: Serve | None, others: Iterable[ScoreNode]
) -> ScoreNode:
    """The node with its key, and whether a server measures it."""
    if serve is not None and base.weights is not None:
        node = through_server(node, serve, (one for one in others if one.checkpoint_key == node.checkpoint_key))
    return addressed(node, measured, base.backend, serve)


def _measured(node: ScoreNode, task: Task, base: BaseModel, reader: Reader | None) -> list[Any]:
    """What of a task, and of the tokenizer that makes ids of it for a server, determines a measurement."""
    measure = deciding_measure(task)
    measured = measured_content(task, node.split, measure)
    if base.weights is None and reader is not None:
        with errors_of(task.name):
            if not measure.generation or any(own_ids(reader.tokenizer, one) is not None for one in task.test):
                measured.append({"tokenizer": tokenizer_digest(Path(reader.tokenizer.name_or_path))})
    return measured


def _check_backend(name: str, tasks: Sequence[Task], devices: int) -> None:
    """Refuse what a backend cannot do."""
    if devices > 1 and BACKENDS.get(name).share is None:
        raise ConfigError(f"devices: {devices} processes cannot share the work of backend '{name}'; leave devices out")
    for task in tasks:
        check_measurable(task, name)


def _served_reader(base: BaseModel, serving: Serving) -> Reader | None:
    """Tokenizer and context of a model that is served, where they are here."""
    served = BACKENDS.get(base.backend).opens
    return served.reader(base.reference, serving) if isinstance(served, Served) else None


def _is_rendered_there(task: Task, reader: Reader | None) -> bool:
    """Whether a server renders a task's turns: no tokenizer is here, or texts are asked for and it has no template."""
    turns = [example for example in task.test if not isinstance(example.prompt, str)]
    if reader is None:
        return bool(turns)
    is_there = any(not has_template(reader.tokenizer, example.chat) for example in turns)
    return is_there and bool(deciding_measure(task).generation)


def _check_servers(
    bases: Mapping[str, BaseModel],
    nodes: Iterable[ScoreNode],
    tasks: Mapping[str, Task],
    store: Store,
    serving: Serving,
) -> None:
    """Refuse, before anything is computed, what a server that is still to be asked does not give."""
    needs: dict[str, frozenset[Ability]] = {}
    for node in nodes:
        if bases[node.base].weights is None and not store.has(node.kind, node.key):
            own = deciding_measure(tasks[node.task]).needs
            needs[node.base] = needs.get(node.base, frozenset()) | own
    for name, abilities in needs.items():
        if isinstance(served := BACKENDS.get(bases[name].backend).opens, Served):
            served.check(bases[name].reference, serving, abilities)


def _check_names(tasks: Sequence[Task]) -> None:
    names = [task.name for task in tasks]
    if not names:
        raise ConfigError("no task is named; name at least one to score on")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"task '{name}' is named twice; name each task once")


def _read_tokens(task: Task, reader: Reader, *, asks_twice: bool) -> int:
    """The number of tokens that a scoring reads and writes, after a check that each example fits into the context."""
    tell_special_tokens(reader.tokenizer, task.test, task=task.name)
    if deciding_measure(task).generation:
        again = [task.test[place] for place in evenly_spaced(len(task.test))] if asks_twice else []
        return written_tokens(task, task.test, reader) + written_tokens(task, again, reader)
    return distinct_tokens(encode_of(reader.tokenizer, task.test, reader.context_tokens, task=task.name))
