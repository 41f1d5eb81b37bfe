"""A study made ready on this machine: its data read, its bases at hand, its plan drawn; then run."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import chaintune.hf  # noqa: F401 - says what to install
from chaintune.errors import StoreError, number_of
from chaintune.execution.bases import check_trainable, entry_keys, open_base
from chaintune.execution.engine_factory import EngineFactory
from chaintune.execution.events import Event
from chaintune.execution.executors import EXECUTORS
from chaintune.execution.external.contents import check_commands, contents_of
from chaintune.execution.judges import judges_of
from chaintune.execution.run import run_plan
from chaintune.execution.server_requests import ServerWork, check_judges, server_work
from chaintune.execution.sizing import chat_of, stage_bytes, task_tokens, tell_sampling, tell_unused, usable
from chaintune.execution.state import RunOutcome
from chaintune.files.atomic import clear_leftovers
from chaintune.forgetting.recommend import USUAL
from chaintune.models import check_quantize, resolve_precision
from chaintune.plan.adapters import nothing_to_continue
from chaintune.plan.plan import Families, Plan, compile_plan, families_of
from chaintune.records import Limits, Task
from chaintune.records.audit import served_caution
from chaintune.results import StudyResults
from chaintune.runs.output import Prepared, write_results
from chaintune.scoring.backends import AS_USUAL, Serving
from chaintune.scoring.scorers.metric import check_trusted
from chaintune.store.store import Store
from chaintune.study.serve import SERVER_LOGS
from chaintune.study.study import Study
from chaintune.study.task_spec import both_ways, load_spec
from chaintune.tasks.overlap import kept_apart

_LOG = logging.getLogger(__name__)


class Watch(Protocol):
    """Receives the events of a run."""

    def note(self, event: Event) -> None:
        """Take up one event."""
        ...


Watcher: TypeAlias = Callable[[Plan], AbstractContextManager[Watch]]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of running a plan: executor, room, and who watches.

    Attributes:
        executor: `local` is this process, one job after another; `ray` a cluster, as many at once as it has room
            for; or another that an installed package offers.
        address: of a running Ray cluster; None is the one that `RAY_ADDRESS` names, or a new one here.
        max_store: bytes that the whole store may take; None allows what the disk holds.
        watch: plan -> context manager with `note`, which is called with every event.
        serving: how servers are asked.
        allow: called with what servers are about to be asked, where there is something; raises where that is too much.
    """

    executor: str = "local"
    address: str | None = None
    max_store: int | None = None
    watch: Watcher | None = None
    serving: Serving = AS_USUAL
    allow: Callable[[Sequence[ServerWork]], None] | None = None


LOCAL = RunOptions()


@dataclass(frozen=True, slots=True)
class Session(Prepared):
    """A study that was made ready to run."""

    def run(
        self, out: Path, options: RunOptions = LOCAL, *, command: Sequence[str] = (), limits: Limits = USUAL
    ) -> StudyResults:
        """Compute what is missing and write results, scores and provenance into `out`.

        Raises:
            ConfigError: no such executor, or it cannot run here; a stage's command, and nobody said that it may run.
            StoreError: the checkpoints do not fit, which is checked before anything is computed; or scores that were
                computed are gone.
        """
        check_commands(self.study.external, trust_remote_code=self.trust_remote_code)
        if any(node.recipe.quantize for node in self.plan.stages) and options.executor == "local":
            check_quantize()
        engine = EngineFactory.of(
            {**self.bases, **self.judges},
            self.precision,
            trust_remote_code=self.trust_remote_code,
            serve=self.study.serve,
            server_logs=out.absolute() / SERVER_LOGS,
            serving=options.serving,
        )
        clear_leftovers(out)
        with computed(self.plan, self.store, self.tasks, engine, options, out=out) as outcome:
            rows = write_results(self, out, command=command, limits=limits)
        return StudyResults(tuple(rows), outcome, out, self.study.level, self.store)


@contextmanager
def computed(
    plan: Plan,
    store: Store,
    tasks: Mapping[str, Task],
    engine: EngineFactory,
    options: RunOptions,
    *,
    out: Path | None = None,
) -> Iterator[RunOutcome]:
    """The outcome of a plan, whatever it is of; while the context lasts, no other process drops its results.

    Args:
        plan: of a study, a scoring or a mitigation.
        store: where finished work lies and goes.
        tasks: name -> task.
        engine: builds what computes, from the plan's bases.
        options: who computes.
        out: folder in which `status.json` is kept; None keeps none.

    Raises:
        ConfigError: no such executor, or it cannot run here; a scorer that is code, and nobody said that it may run.
        StoreError: the checkpoints do not fit, or measurements that were made are gone.
    """
    check_trusted(tasks.values())
    check_judges(plan, store, engine.bases, engine.serving)
    if options.allow and (work := server_work(plan, store, engine.bases, tasks)):
        options.allow(work)
    with store.lease(plan.result_keys | entry_keys(engine.bases.values())):
        with options.watch(plan) if options.watch else nullcontext() as watch:
            outcome = run_plan(
                plan,
                store=store,
                engine=engine,
                tasks=tasks,
                out=out,
                executor=EXECUTORS.get(options.executor),
                address=options.address,
                max_bytes=options.max_store,
                on_event=watch.note if watch else None,
            )
        _check_there(plan, store, outcome)
        yield outcome


def _check_there(plan: Plan, store: Store, outcome: RunOutcome) -> None:
    """Results that lack scores which were computed would look like those of another study."""
    done = {result.node.key for result in (*outcome.of("made"), *outcome.of("reused"))}
    gone = [node for node in plan.scores if node.key in done and not store.has(node.kind, node.key)]
    if gone:
        raise StoreError(
            f"{store.address}: {number_of(len(gone), 'score that was computed is', 'scores that were computed are')} "
            f"not there, '{gone[0].title}' for one; something removed them, and the same command computes them again"
        )


def prepare(
    study: Study,
    store: Store,
    *,
    trust_remote_code: bool = False,
    families: Families = families_of,
    serving: Serving = AS_USUAL,
) -> Session:
    """Read the data of a study, find its models, and plan it.

    Raises:
        DataError: a task's data cannot be loaded, what is taught is tested too, or an example is longer than a base's
            context.
        ModelError: a base cannot be loaded, or is served or quantised, so that nothing can be trained from it; a
            checkpoint that another program made is none of a base.
        ConfigError: a recipe's adapter cannot be trained on a base.
    """
    loaded = {
        name: load_spec(
            name, spec, chat=study.chat, trust_remote_code=trust_remote_code, allow_overlap=study.allow_overlap
        )
        for name, spec in study.tasks.items()
    }
    loaded = kept_apart(loaded, study.taught, allow_overlap=study.allow_overlap)
    loaded = both_ways(loaded, study.tasks, study.chat)
    how: dict[str, Any] = {"allow_unused": study.allow_unused, "trust_remote_code": trust_remote_code}
    bases = {name: open_base(study.located(name), store, study.backend, **how) for name in study.bases}
    for base in bases.values():
        check_trainable(base)
    precision = resolve_precision(study.precision)
    readers = {name: base.reader() for name, base in bases.items()}
    chat = chat_of(loaded.values(), readers)
    loaded = usable(loaded.values(), readers.values())
    bare = [name for name, base in bases.items() if base.adapter is None]
    judges = judges_of(
        [task for task in loaded.values() if task.test],
        bases,
        store,
        precision=precision,
        trust_remote_code=trust_remote_code,
        serving=serving,
    )
    plan = compile_plan(
        study,
        base_keys={name: base.key for name, base in bases.items()},
        tasks=loaded,
        precision=precision,
        count_tokens=lambda task: task_tokens(task, list(readers.values())),
        stage_bytes=lambda base, recipe: stage_bytes(bases[base], recipe, precision),
        bare=[bases[name].key for name in bare],
        families=families,
        contents=contents_of(study.external, bases, store),
        templates={at: facts["chat_template"] for at, facts in chat.items() if "chat_template" in facts},
        judges=judges.by_task,
        ends={name: reader.ends for name, reader in readers.items()},
    )
    if begun := nothing_to_continue(study, bare):
        _LOG.warning("%s", begun)
    unused = tell_unused(chat)
    tell_sampling(loaded.values(), readers)
    served = served_caution((), [judge.identity for judge in judges.models.values() if judge.identity])
    cautions = {kind: text for kind, text in (("chat", unused), ("served", served)) if text}
    return Session(study, store, loaded, bases, precision, plan, trust_remote_code, cautions, judges.models)
