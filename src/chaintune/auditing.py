"""Models that exist already: scored, and two of them compared. What `chaintune score` and `chaintune audit` do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaintune.arguments import NAMES, PATH, SIZE, taking
from chaintune.errors import ConfigError, nearest
from chaintune.forgetting.pairing import OnMissing
from chaintune.forgetting.power import OnDraw
from chaintune.logs.options import CompareOptions, Crossing, Metrics, compare_options
from chaintune.records import Audit, Comparison, Scores, Series, Task
from chaintune.records.amounts import USUAL_MARGIN
from chaintune.records.crossing import parts_of
from chaintune.scoring.backends import AS_USUAL, DEFAULT, Serving
from chaintune.stats import Adjustment, Reference
from chaintune.study.serve import SERVER_LOGS, Serve, ServeArgument
from chaintune.tasks import Size, registry
from chaintune.tasks.chat import MODES, RUN_MODES, ChatMode, RunMode, asked

if TYPE_CHECKING:
    import pyarrow as pa

    from chaintune.execution.server_requests import ServerWork
    from chaintune.gate import Policy
    from chaintune.runs.scoring import Scored
    from chaintune.runs.session import Watcher
    from chaintune.store.store import Store

_PUBLIC = (
    "The examples of a public data set may be among what a model was trained on: then its scores, and what it forgot, "
    "tell of memory as well."
)


@taking(
    model=PATH,
    task=(Task, str),
    test=SIZE,
    sample_seed=Integral,
    chat=str,
    precision=str,
    backend=str,
    devices=Integral,
    serve=(str, Mapping, Serve),
    serving=Serving,
    max_requests=Integral,
)
def score(
    model: str | Path,
    task: Task | str,
    *,
    test: Size = None,
    sample_seed: int = 0,
    chat: ChatMode = "auto",
    precision: str = "auto",
    backend: str = DEFAULT,
    devices: int = 1,
    store: "Store | Path | str | None" = None,
    watch: "Watcher | None" = None,
    trust_remote_code: bool = False,
    allow_unused: Sequence[str] = (),
    serve: ServeArgument = None,
    serving: Serving = AS_USUAL,
    max_requests: int | None = None,
) -> Scores:
    """The scores of a model on a task's test examples; nothing is trained, and what is in the store is reused.

    Args:
        model: a Hub id, a folder, a `.gguf` file, `MODEL+ADAPTER`, an alias, or BACKEND:REFERENCE.
        task: a task, or the name of a known one.
        test: how many test examples: None for all, a number, or `40 per category`.
        sample_seed: of the sample, and of the split of a known task.
        chat: `on` asks in the model's chat template, `off` as plain text, `auto` as the task's data suggest: choices
            as plain text. A task that was loaded with one of the others is asked so.
        precision: `auto`, `bf16` or `fp32`.
        backend: name of what computes a model that is files; one that is served names its own.
        devices: processes that score together, one a GPU; a model too large for one is spread over them.
        store: where finished scores lie, and where a GGUF file is dequantised to; None is the default store.
        watch: plan -> context manager with `note`, which is called with every event.
        trust_remote_code: run Python code that comes with the model.
        allow_unused: patterns of weights that the model may leave out, as `vision_tower.*`; any other is refused.
        serve: the command by which a server is started for a model that is files, such as `vllm serve {model} --port
            {port}`, or a mapping with the keys of `serve` in a study file; it writes the texts, and ends afterwards.
        serving: how a server that runs is asked.
        max_requests: the most that are sent to servers that run; None is any number.

    Raises:
        ConfigError: there are fewer GPUs than devices.
        ModelError: the model cannot be loaded.
        DataError: the task's data cannot be loaded, or an example is longer than the model's context.
    """
    from chaintune.runs.scoring import score_models
    from chaintune.runs.session import RunOptions
    from chaintune.store.address import open_store

    if chat not in MODES:
        raise ConfigError(f"chat '{chat}': {nearest(chat, MODES)}")
    tasks = _loaded([task], test, sample_seed, chat)
    scores = score_models(
        {Path(model).name: str(model)},
        tasks,
        open_store(store),
        RunOptions(watch=watch, serving=serving, allow=_allowing(max_requests)),
        precision=precision,
        backend=backend,
        devices=devices,
        trust_remote_code=trust_remote_code,
        allow_unused=allow_unused,
        serve=serve,
    )
    return scores[Path(model).name][tasks[0].name]


@taking(
    before=PATH,
    after=PATH,
    tasks=(Task, str, Sequence),
    sample_seed=Integral,
    chat=str,
    metric=(*NAMES, Mapping),
    precision=str,
    backend=str,
    devices=Integral,
    kl=bool,
    out=PATH,
    executor=str,
    address=str,
    serve=(str, Mapping, Serve),
    serving=Serving,
    max_requests=Integral,
)
def audit(  # noqa: D417 - how scores are compared is as of `compare`
    before: str | Path,
    after: str | Path,
    *,
    tasks: Task | str | Sequence[Task | str],
    by: str | Sequence[str] = (),
    also_by: str | Sequence[str] = (),
    intersections: Sequence[Crossing] = (),
    reference: Reference = "overall",
    level: float = 0.95,
    margin: float | str = USUAL_MARGIN,
    adjust: Adjustment = "minp",
    resamples: int = 10_000,
    seed: int = 0,
    on_missing: OnMissing = "error",
    force: bool = False,
    chosen_of: int = 1,
    power: bool = False,
    policy: "Policy | Path | str | None" = None,
    test: Size | Mapping[str, Size] = None,
    sample_seed: int = 0,
    chat: RunMode = "auto",
    metric: Metrics = None,
    precision: str = "auto",
    backend: str = DEFAULT,
    devices: int = 1,
    kl: bool | None = None,
    store: "Store | Path | str | None" = None,
    out: Path | str | None = None,
    executor: str = "local",
    address: str | None = None,
    watch: "Watcher | None" = None,
    trust_remote_code: bool = False,
    allow_unused: Sequence[str] = (),
    serve: ServeArgument = None,
    serving: Serving = AS_USUAL,
    max_requests: int | None = None,
) -> Audit:
    """The forgetting between two models: both are scored, each once, and compared task by task.

    `by`, in each task that has the dimension, and what follows it up to `power` are those of `compare`.

    Args:
        before: the earlier checkpoint, as for `score`.
        after: the later one. Two adapters on one base, or a base and its adapter, load the base once.
        tasks: tasks, or names of known ones; one alone needs no list.
        policy: budgets, or the file that holds them; its dimensions are added to `by`, where a task has them.
        test: how many test examples: None for all, a number, `40 per category`, or task -> any of these.
        sample_seed: of the samples, and of the splits of known tasks.
        chat: as for `score`; `both` asks each task that has two ways in both, the other one as a task named
            `TASK-chat` or `TASK-raw`, and their agreement is part of the comparison.
        metric: that decides, and others behind it that stand beside it, for all tasks or task -> any of these; None is
            what each task's scores are, as balanced accuracy of a labelling task.
        precision: `auto`, `bf16` or `fp32`.
        backend: name of what computes a model that is files; one that is served names its own.
        devices: processes that score together, one a GPU; a model too large for one is spread over them.
        kl: whether to measure how far the later model is from the earlier one on the right answers (KL, in nats a
            token), of tasks that have such; None does so where the later one holds its weights quantised.
        store: where finished scores lie; None is the default store.
        out: folder for the scores and the report, see `write_audit`; None writes nothing.
        executor: name of who runs the jobs, as for a study.
        address: of its cluster.
        watch: plan -> context manager with `note`, which is called with every event.
        trust_remote_code: run Python code that comes with a model.
        allow_unused: patterns of weights that a model may leave out, as `vision_tower.*`; any other is refused.
        serve: as for `score`, a server for each of the two.
        serving: as for `score`.
        max_requests: as for `score`, of both together.

    Raises:
        ConfigError: an option, a dimension or a policy is invalid.
        ModelError: a model cannot be loaded.
        DataError: a task's data cannot be loaded, or an example is longer than a model's context.

    Sign: positive forgetting is worse; positive biased forgetting: this group loses more.
    """
    options = compare_options(
        by=by, also_by=also_by, intersections=intersections, reference=reference, level=level, margin=margin,
        adjust=adjust, resamples=resamples, seed=seed, on_missing=on_missing, force=force, chosen_of=chosen_of,
        power=power, metric=metric,
    )  # fmt: skip
    how: dict[str, Any] = {
        "policy": policy, "test": test, "chat": chat, "sample_seed": sample_seed, "store": store, "out": out,
        "executor": executor, "address": address, "watch": watch, "serving": serving, "max_requests": max_requests,
        "precision": precision, "backend": backend, "devices": devices, "trust_remote_code": trust_remote_code,
        "allow_unused": allow_unused, "serve": serve,
    }  # fmt: skip
    models = {"before": str(before), "after": str(after)}
    budgets, loaded, made = scored(models, tasks, options, kl=kl, **how)
    sides = made.scores["before"], made.scores["after"]
    audited = audit_scores(*sides, options, budgets, tasks=loaded, divergences=made.divergences)
    if out is not None:
        write_audit(audited, Path(out), tasks=loaded)
    return audited


def audit_scores(
    before: Mapping[str, Scores],
    after: Mapping[str, Scores],
    options: CompareOptions,
    policy: "Policy | None",
    *,
    tasks: Sequence[Task],
    divergences: "Mapping[str, pa.Table] | None" = None,
    on_draw: OnDraw | None = None,
) -> Audit:
    """The forgetting between two models that were scored."""
    from chaintune.gate import judge
    from chaintune.logs.compare import compare_sides
    from chaintune.logs.sides import read_sides

    lenient = lenient_options(options, policy)
    sides = read_sides(list(before.values()), list(after.values()), lenient)
    comparisons = with_public_caution(compare_sides(sides, lenient, on_draw=on_draw), tasks)
    comparisons = tuple(_with_divergence(one, after, divergences or {}, lenient) for one in comparisons)
    return Audit(comparisons, judge(policy, comparisons) if policy else None, before, after)


def _with_divergence(
    comparison: Comparison,
    after: Mapping[str, Scores],
    divergences: "Mapping[str, pa.Table]",
    options: CompareOptions,
) -> Comparison:
    from chaintune.forgetting.divergence import group_divergences

    table, scores = divergences.get(comparison.task), after.get(comparison.task)
    if table is None or scores is None:
        return comparison
    apart = group_divergences(table, scores, options.plain, options.crossings, options.inference.without_verdict)
    return replace(comparison, divergence=apart)


def write_audit(audited: Audit, folder: Path, *, tasks: Sequence[Task] = (), command: Sequence[str] = ()) -> None:
    """Write the scores of both models and the report into a folder, each file whole or not at all.

    Args:
        audited: scores and comparisons.
        folder: gets `before/` and `after/`, which `chaintune compare` reads, `report.md`, `report.html`, `figures/` and
            `comparison.json`.
        tasks: whose texts stand beside the examples on the page; without them ids do.
        command: as it was typed.

    Raises:
        ConfigError: the folder holds scores of other models.
        StoreError: it cannot be written.
    """
    scores = {"before": audited.before, "after": audited.after}
    write_folder(audited, folder, scores, tasks=tasks, command=command)


def write_folder(
    compared: Audit | Series,
    folder: Path,
    scores: Mapping[str, Mapping[str, Scores]],
    *,
    tasks: Sequence[Task],
    command: Sequence[str],
) -> None:
    """Write scores into folders of their own, and the report.

    Raises:
        ConfigError: a folder holds scores of another model.
        StoreError: it cannot be written.
    """
    from chaintune.files.atomic import own_folder
    from chaintune.files.disk import os_errors_as_store_error
    from chaintune.report.folder import write_report
    from chaintune.report.results import Results
    from chaintune.report.shown import compared_steps
    from chaintune.scoring.score_files import write_scores

    with os_errors_as_store_error(folder, "the scores cannot be written"):
        for name, own in scores.items():
            write_scores(own, own_folder(folder / name))
    results = Results.of(compared.comparisons, compared.gate, command=command)
    write_report(folder, {task.name: task for task in tasks}, results=results, steps=list(compared_steps(compared)))


def scored(
    models: Mapping[str, str],
    tasks: Task | str | Sequence[Task | str],
    options: CompareOptions,
    *,
    policy: "Policy | Path | str | None",
    test: Size | Mapping[str, Size],
    chat: RunMode,
    sample_seed: int,
    store: "Store | Path | str | None",
    out: Path | str | None,
    executor: str,
    address: str | None,
    watch: "Watcher | None",
    serving: Serving,
    max_requests: int | None,
    **how: Any,
) -> "tuple[Policy | None, list[Task], Scored]":
    """The budgets, the tasks, and what the models scored on each of them.

    Raises:
        ConfigError: a dimension or a policy is invalid.
        ModelError: a model cannot be loaded.
        DataError: a task's data cannot be loaded, or an example is longer than a model's context.
    """
    from chaintune.gate import read_policy
    from chaintune.runs.scoring import scored_models
    from chaintune.runs.session import RunOptions
    from chaintune.store.address import open_store

    budgets = read_policy(Path(policy)) if isinstance(policy, Path | str) else policy
    if chat not in RUN_MODES:
        raise ConfigError(f"chat '{chat}': {nearest(chat, RUN_MODES)}")
    loaded = _loaded([tasks] if isinstance(tasks, Task | str) else tasks, test, sample_seed, chat)
    check_dimensions(options.by, loaded)
    check_budgets(budgets, loaded, options)
    run = RunOptions(executor, address, watch=watch, serving=serving, allow=_allowing(max_requests))
    logs = None if out is None else Path(out).absolute() / SERVER_LOGS
    return budgets, loaded, scored_models(models, loaded, open_store(store), run, server_logs=logs, **how)


def _allowing(max_requests: int | None) -> "Callable[[Sequence[ServerWork]], None] | None":
    """What refuses more requests than these."""
    from chaintune.execution.server_requests import check_requests

    return None if max_requests is None else partial(check_requests, most=max_requests)


def lenient_options(options: CompareOptions, policy: "Policy | None") -> CompareOptions:
    """The options without dimensions that must be there: examples that were drawn need not bear one that a task has."""
    return replace(options, by=(), also_by=(*options.by, *options.also_by, *(policy.dimensions if policy else ())))


def with_public_caution(comparisons: Sequence[Comparison], tasks: Sequence[Task]) -> tuple[Comparison, ...]:
    """The comparisons; those of public data, under whatever name, with what that means."""
    public = {task.name for task in tasks if {task.name, task.known, task.other_way_of} & set(registry.names())}
    return tuple(
        replace(one, cautions={**one.cautions, "public": _PUBLIC}) if one.task in public else one for one in comparisons
    )


def _loaded(tasks: Sequence[Task | str], test: Size | Mapping[str, Size], seed: int, chat: RunMode) -> list[Task]:
    from chaintune.tasks import load, sample_test

    for task in tasks:
        if not isinstance(task, str | Task):
            raise ConfigError(
                f"task {task!r}: expected a task or the name of a known one; a file of your own is a task as "
                "chaintune.tasks.load(name, path=..., role=...) gives it"
            )
    names = [task if isinstance(task, str) else task.name for task in tasks]
    sizes = test if isinstance(test, Mapping) else dict.fromkeys(names, test)
    for name in sizes.keys() - set(names):
        raise ConfigError(f"test: '{name}' is none of the tasks; {nearest(name, names)}")
    sampled = [
        load(task, test=sizes.get(name), seed=seed)
        if isinstance(task, str)
        else sample_test(task, sizes.get(name), seed=seed)
        for name, task in zip(names, tasks, strict=True)
    ]
    return [way for task in sampled for way in asked(task, chat)]


def check_budgets(policy: "Policy | None", tasks: Sequence[Task], options: CompareOptions) -> None:
    """Refuse budgets in another unit than the scores of their task, before anything is computed.

    Raises:
        ConfigError: there is one.
    """
    from chaintune.scoring.reading import metrics_of

    for task in tasks if policy else ():
        own = metrics_of(task)
        named = {one.name: one for one in own}
        metric = named.get(options.read.metric_of(task.name) or own[0].name)
        if policy and metric:
            policy.check_unit(task.name, metric.name, metric.unit)


def check_dimensions(by: Sequence[str], tasks: Sequence[Task]) -> None:
    """Refuse a dimension that no task has, before anything is computed; tasks that lack it are compared without.

    Raises:
        ConfigError: no task has a dimension of this name.
    """
    known = sorted({dimension for task in tasks for dimension in task.dimensions})
    for text in by:
        for name in parts_of(text):
            if name not in known:
                names = ", ".join(f"'{task.name}'" for task in tasks)
                valid = nearest(name, known) if known else "they have no groups"
                own = [task.name for task in tasks if not task.known and task.name not in registry.names()]
                column = f"; a column of your data is named by --set tasks.{own[0]}.columns.groups.{name}={name}"
                raise ConfigError(
                    f"by '{text}': of {names} none has a dimension '{name}': {valid}{column if own else ''}"
                )
