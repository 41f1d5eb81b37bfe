"""The public functions beside those of the rooms: a study, curvature, mitigation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from chaintune.arguments import NAMES, PATH, taking
from chaintune.errors import ConfigError, StageError, nearest
from chaintune.files.names import shown_names
from chaintune.forgetting.orders import PredictedOrders
from chaintune.records import Curvature, Example, Limits, Space, Task, Who, examples_digest
from chaintune.results import Mitigations, StudyResults
from chaintune.scoring.backends import AS_USUAL, Serving
from chaintune.study import study
from chaintune.study.task_spec import tasks_from_options
from chaintune.tasks.chat import RunMode

if TYPE_CHECKING:
    from chaintune.execution.server_requests import ServerWork
    from chaintune.models import LoadedModel
    from chaintune.runs.session import Watcher
    from chaintune.store.store import Store

Split = Literal["train", "test"]


class Study(study.Study):
    """A study file, ready to run.

    Example:
        chaintune.Study.from_yaml("study.yaml").run().to_polars()
    """

    __slots__ = ()

    def run(
        self,
        out: Path | str | None = None,
        *,
        store: "Store | Path | str | None" = None,
        executor: str = "local",
        address: str | None = None,
        max_store: int | None = None,
        trust_remote_code: bool = False,
    ) -> StudyResults:
        """Compute what the store lacks, write everything into a folder, and return the results.

        Args:
            out: the folder; None is `runs/NAME`.
            store: where finished stages and scores lie, or its address; None is the default store.
            executor: `local` is this process, one job after another; `ray` a cluster, as many at once as it has room
                for; or another that an installed package offers.
            address: of a running Ray cluster; None is the one that `RAY_ADDRESS` names, or a new one here.
            max_store: bytes that the whole store may take; None allows what the disk holds.
            trust_remote_code: run Python code that comes with a model, and code and commands that the study names.

        Raises:
            ConfigError: Ray is missing, or its cluster cannot be reached.
            DataError: a task's data cannot be loaded.
            ModelError: a base cannot be loaded.
            StoreError: the checkpoints do not fit.
        """
        from chaintune.runs.session import RunOptions, prepare  # loads torch, which reading a study does not need
        from chaintune.store.address import open_store

        session = prepare(self, open_store(store), trust_remote_code=trust_remote_code)
        return session.run(Path(out or Path("runs") / self.name), RunOptions(executor, address, max_store))


@taking(named=PATH, sample_seed=Integral, overrides=NAMES, chat=str)
def suite(
    named: str | Path,
    *,
    sample_seed: int = 0,
    overrides: Sequence[str] = (),
    chat: RunMode = "auto",
    trust_remote_code: bool = False,
) -> list[Task]:
    """The tasks of a shipped suite, or of a file that holds the `tasks:` part of a study file, ready to be scored on.

    Args:
        named: a suite, as `chaintune suite list` shows them, or a file; a study file is one.
        sample_seed: of the splits and samples of tasks that say none.
        overrides: `tasks.NAME.KEY=VALUE`, as `--set` takes them.
        chat: how tasks are asked that do not say it.
        trust_remote_code: run Python code that the file names.

    Raises:
        ConfigError: there is no such suite or file, or a value in it is invalid; the message names each, with its line.
        DataError: a task's data cannot be loaded.
    """
    how: dict[str, Any] = {"seed": sample_seed, "overrides": overrides, "chat": chat}
    return tasks_from_options((), suite=str(named), trust_remote_code=trust_remote_code, **how)


@taking(
    model=PATH,
    task=(Task, str),
    examples=Integral,
    split=str,
    space=str,
    batches=Integral,
    seed=Integral,
    tolerance=Real,
    basis=Integral,
    max_products=Integral,
)
def curvature(
    model: str | Path,
    task: Task | str,
    *,
    examples: int | None = 16,
    split: Split = "train",
    space: Space = "full",
    batches: int = 4,
    seed: int = 0,
    tolerance: float = 0.01,
    basis: int = 6,
    max_products: int = 200,
    store: "Store | Path | str | None" = None,
    trust_remote_code: bool = False,
    allow_unused: Sequence[str] = (),
    on_product: Callable[[int], None] = lambda _: None,
) -> Curvature:
    """The curvature of the loss that tuning minimises, at a model: both ends of its Hessian's spectrum.

    Args:
        model: a Hub id, a folder, a `.gguf` file, `MODEL+ADAPTER`, or an alias.
        task: a task, or the name of a known one.
        examples: how many, always the same ones for a seed; None for all of the split.
        split: `train`, whose loss tuning minimises, or `test`.
        space: `full`, or `lora` for the weights of the model's adapter alone.
        batches: disjoint parts of the examples whose radius is measured too; 0 for none.
        seed: of the choice of examples and of Lanczos's first vector.
        tolerance: of convergence, as a fraction of the radius.
        basis: Lanczos vectors held in memory, 4 bytes for each weight of the space.
        max_products: about how many products one eigenvalue may take.
        store: where a GGUF file is dequantised to; None is the default store.
        trust_remote_code: run Python code that comes with the model.
        allow_unused: patterns of weights that the model may leave out, as `vision_tower.*`; any other is refused.
        on_product: called with the number of Hessian-vector products done so far.

    Raises:
        ConfigError: an argument is out of its range.
        DataError: the task's data cannot be loaded, or has fewer examples.
        ModelError: the model cannot be loaded, or has no such space.
    """
    from chaintune import hessian

    name, chosen, about = _stage_examples(task, examples, split, seed)
    loaded, key = _in_fp32(
        model, store, merged=space == "full", trust_remote_code=trust_remote_code, allow_unused=allow_unused
    )
    return hessian.curvature(
        loaded,
        chosen,
        task=name,
        space=space,
        batches=batches,
        search=hessian.Search(tolerance, basis, max_products, seed),
        provenance={"model": shown_names([str(model)])[str(model)], "checkpoint": key} | about,
        on_product=on_product,
    )


def _stage_examples(
    task: Task | str, count: int | None, split: Split, seed: int
) -> tuple[str, tuple[Example, ...], dict[str, str]]:
    """A task's name, the examples chosen of it, and what they are."""
    from chaintune import hessian, tasks

    if split not in get_args(Split):
        raise ConfigError(f"split '{split}' is not known; {nearest(split, get_args(Split))}")
    loaded = tasks.load(task) if isinstance(task, str) else task
    pool = loaded.train if split == "train" else loaded.test
    chosen = hessian.choose_examples(pool, count, task=f"{loaded.name}, {split}", seed=seed)
    about = {"task_version": loaded.version, "split": split, "examples_digest": examples_digest(chosen)}
    return loaded.name, chosen, about


def _in_fp32(
    name: str | Path, store: "Store | Path | str | None", *, merged: bool, **how: Any
) -> "tuple[LoadedModel, str]":
    """A model in fp32 and its content's key."""
    from chaintune import models
    from chaintune.execution.bases import check_trainable, open_base
    from chaintune.store.address import open_store

    base = open_base(str(name), open_store(store), **how)
    check_trainable(base)
    loaded = base.load(base.folder, base.adapter, precision="fp32", trainable=False)
    return (models.merge_adapter(loaded) if merged else loaded), base.key


@taking(
    model=PATH,
    before=PATH,
    forgotten=str,
    keep=NAMES,
    out=PATH,
    dose=list[Real],
    who=str,
    by=str,
    kind=str,
    base=PATH,
    options=Mapping,
    target=Real,
    margin=Real,
    settings=Mapping,
    overrides=NAMES,
    executor=str,
    address=str,
    serving=Serving,
)
def mitigate(
    model: str | Path,
    *,
    before: str | Path,
    forgotten: str,
    keep: str | Sequence[str],
    out: Path | str,
    dose: Sequence[float] | None = None,
    who: Who = "uniform",
    by: str | None = None,
    kind: str = "replay",
    base: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    target: float = 0.8,
    margin: float = 0.02,
    write_best: bool = False,
    settings: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    store: "Store | Path | str | None" = None,
    max_store: int | None = None,
    executor: str = "local",
    address: str | None = None,
    watch: "Watcher | None" = None,
    command: Sequence[str] = (),
    trust_remote_code: bool = False,
    allow_unused: Sequence[str] = (),
    serving: Serving = AS_USUAL,
    allow: "Callable[[Sequence[ServerWork]], None] | None" = None,
) -> Mitigations:
    """The recovery and the price of what brings a lost task back; writes the model of the recommended dose.

    Both checkpoints are scored, the later one is trained on each dose or merged at each fraction, and the results are
    those of a study. The model lies in `out/model`, in safetensors, with a model card. Where nothing suffices no model
    is written.

    Args:
        model: the checkpoint after the loss: a folder, a Hub id, `MODEL+ADAPTER`, or an alias.
        before: the checkpoint that still knew the task.
        forgotten: task that was lost.
        keep: tasks that should not pay, at least one.
        out: folder for results and model.
        dose: fractions of the forgotten task's training data; None is 1, 2, 5, 10 and 25 %.
        who: which examples make a dose: drawn alike, as many of each group, more of the groups that lost most, or the
            `hardest`, the `most_forgotten` or `representative` ones.
        by: dimension of the groups, where `who` asks for groups.
        kind: the mitigation, `replay`, `self_replay`, `interpolate`, `merge_back` or another that acts after the loss.
        base: the model from which both come, where the mitigation reads it, as `merge_back` does.
        options: its other keys, as a study file has them, such as `prompts` of `self_replay`, or `fraction` of merges.
        target: share of the loss; the whole interval of a dose's recovery has to lie above it.
        margin: of the score; the whole interval of every price has to lie below it.
        write_best: write the model with the largest recovery if no dose suffices.
        settings: other keys of a study file: `recipe`, `vary`, `seed`, `precision`, `tasks`. Of several recipes the
            smallest dose that suffices under any counts, the first of equal ones.
        overrides: `key=value` with dotted keys, as `--set` takes them.
        store: where finished work lies; None is the default store.
        max_store: bytes that the whole store may take; None allows what the disk holds.
        executor: name of who runs the jobs, as for a study.
        address: of its cluster.
        watch: plan -> context manager with `note`, which is called with every event.
        command: as it was typed, for the provenance.
        trust_remote_code: run Python code that comes with a model.
        allow_unused: patterns of weights that a model may leave out, as `vision_tower.*`; any other is refused.
        serving: how servers are asked, of scorers with a model.
        allow: called with what servers are about to be asked, where there is something; raises where that is too much.

    Raises:
        ConfigError: an argument is invalid.
        DataError: a task's data cannot be loaded.
        ModelError: a model cannot be loaded, or the two are of different shapes.
        StageError: no dose could be trained.
        StoreError: the checkpoints do not fit.
    """
    from chaintune.forgetting.recommend import chosen_chain, recommend
    from chaintune.report.card import model_card
    from chaintune.report.folder import write_report
    from chaintune.runs import mitigation
    from chaintune.runs.session import RunOptions
    from chaintune.store.address import open_store

    told = {"dose": list(dose) if dose is not None else None, "who": None if who == "uniform" else who, "by": by}
    fields = {name: value for name, value in told.items() if value is not None} | dict(options or {})
    model, before = str(model), str(before)
    keep = [keep] if isinstance(keep, str) else keep
    study = mitigation.mitigation_study(
        model,
        before,
        forgotten=forgotten,
        keep=keep,
        fields=fields,
        settings=settings or {},
        overrides=overrides,
        kind=kind,
        base=str(base) if base else "",
    )
    study = replace(study, allow_unused=(*study.allow_unused, *allow_unused))
    limits = Limits(target, margin)
    recommend((), limits)  # refuses an invalid target or margin before hours are spent
    session = mitigation.prepare_mitigation(
        study, open_store(store), keep=keep, trust_remote_code=trust_remote_code, serving=serving
    )
    folder = Path(out)
    run_options = RunOptions(executor, address, max_store, watch, serving, allow)
    results = session.run(folder, run_options, command=command, limits=limits)
    write_report(folder, session.tasks)
    choices = recommend(results.rows, limits)
    if not choices:
        causes = [result.cause for result in results.outcome.of("failed")]
        raise StageError(f"nothing that brings '{forgotten}' back was made and scored: {'; '.join(causes)}")
    choice, written = chosen_chain(choices, results.rows, best=write_best)
    if not written:
        mitigation.note_written(folder, "")
        return Mitigations(results, choice, "", None)
    named = dict(zip(("after", "before"), study.bases, strict=False)) | {"written": written}
    recipe = mitigation.recipe_of(session, choice)
    card = model_card(results.rows, choice, **named, recipe=recipe, level=results.level)
    mitigation.write_model(session, written, folder / "model", variant=choice.variant, card=card)
    mitigation.note_written(folder, written)
    return Mitigations(results, choice, written, folder / "model")


@taking(study=(study.Study, *PATH), out=PATH, verify=Integral, examples=Integral, executor=str, address=str)
def order(
    study: study.Study | Path | str,
    out: Path | str | None = None,
    *,
    verify: int = 0,
    examples: int = 64,
    store: "Store | Path | str | None" = None,
    max_store: int | None = None,
    executor: str = "local",
    address: str | None = None,
    watch: "Watcher | None" = None,
    command: Sequence[str] = (),
    trust_remote_code: bool = False,
    serving: Serving = AS_USUAL,
    allow: "Callable[[Sequence[ServerWork]], None] | None" = None,
) -> PredictedOrders:
    """Every order of a study's tasks with what it would keep by the prediction, and some orders trained to check it.

    Each task that the chains teach is trained once, alone; which order they have there does not matter. Such
    predictions were not shown to rank orders better than chance: take them for a place to begin, and use `verify`.

    Args:
        study: a study, or the path of its file.
        out: folder for `order.json`; results of what was trained lie in `alone/` and `verified/` in it. None is
            `runs/NAME-order`.
        verify: how many of the orders that keep most by the prediction are trained, beside the one that keeps least.
        examples: of each task's training examples whose gradients are compared.
        store: where finished work lies; None is the default store.
        max_store: bytes that the whole store may take; None allows what the disk holds.
        executor: name of who runs the jobs, as for a study.
        address: of its cluster.
        watch: plan -> context manager with `note`, which is called with every event.
        command: as it was typed, for the provenance.
        trust_remote_code: run Python code that comes with a model, or that the study names.
        serving: how servers are asked, of scorers with a model.
        allow: called with what servers are about to be asked, where there is something; raises where that is too much.

    Raises:
        ConfigError: a study with several bases or variants, or of which no order can be predicted.
        DataError: a task's data cannot be loaded.
        StageError: a stage failed.
    """
    from chaintune.runs.ordering import predict_orders
    from chaintune.runs.session import RunOptions
    from chaintune.store.address import open_store

    wish = Study.from_yaml(study) if isinstance(study, Path | str) else study
    options = RunOptions(executor, address, max_store, watch, serving, allow)
    how: dict[str, Any] = {"verify": verify, "examples": examples, "trust_remote_code": trust_remote_code}
    folder = Path(out or Path("runs") / f"{wish.name}-order")
    return predict_orders(wish, open_store(store), folder, options, command=command, **how)
