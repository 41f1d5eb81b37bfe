"""What Python offers beside the rooms: the command line's steps as functions."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from chaintune.auditing import opened
from chaintune.errors import ConfigError, StageError, nearest
from chaintune.records import Curvature, Example, Limits, LossLine, Space, Task, examples_digest

if TYPE_CHECKING:
    from chaintune.models import LoadedModel
    from chaintune.study.given import Mitigations, Watch
    from chaintune.study.plan import Plan
    from chaintune.study.store import Store

Split = Literal["train", "test"]


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
    on_product: Callable[[int], None] = lambda _: None,
) -> Curvature:
    """How sharply the loss that tuning minimises bends at a model: both ends of its Hessian's spectrum.

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
        on_product: called with the number of Hessian-vector products done so far.

    Raises:
        ConfigError: an argument is out of its range.
        DataError: the task's data cannot be had, or is less than what is asked for.
        ModelError: the model cannot be had, or has no such space.
    """
    from chaintune import landscape

    wanted, chosen, about = _lessons_of(task, examples, split, seed)
    loaded, key = _in_fp32(model, store, trust_remote_code, merged=space == "full")
    return landscape.curvature(
        loaded,
        chosen,
        task=wanted,
        space=space,
        batches=batches,
        seed=seed,
        tolerance=tolerance,
        basis=basis,
        max_products=max_products,
        provenance={"model": str(model), "checkpoint": key} | about,
        on_product=on_product,
    )


def loss_line(
    first: str | Path,
    second: str | Path,
    task: Task | str,
    *,
    examples: int | None = 16,
    split: Split = "train",
    points: int = 11,
    seed: int = 0,
    store: "Store | Path | str | None" = None,
    trust_remote_code: bool = False,
) -> LossLine:
    """The loss along the straight line between two models' weights, and the barrier on it.

    Args:
        first: a model, named as for `curvature`; an adapter is merged.
        second: another of the same shape.
        task: a task, or the name of a known one.
        examples: how many, always the same ones for a seed; None for all of the split.
        split: `train`, whose loss tuning minimises, or `test`.
        points: on the line, both ends included.
        seed: of the choice of examples.
        store: where a GGUF file is dequantised to; None is the default store.
        trust_remote_code: run Python code that comes with the models.

    Raises:
        ConfigError: fewer than 3 points.
        DataError: the task's data cannot be had, or is less than what is asked for.
        ModelError: a model cannot be had, or the two cannot be mixed.
    """
    from chaintune import landscape

    wanted, chosen, about = _lessons_of(task, examples, split, seed)
    (here, here_key), (there, there_key) = (
        _in_fp32(name, store, trust_remote_code, merged=True) for name in (first, second)
    )
    about |= {"first": str(first), "first_checkpoint": here_key, "second": str(second), "second_checkpoint": there_key}
    return landscape.loss_line(here, there, chosen, task=wanted, points=points, seed=seed, provenance=about)


def _lessons_of(
    task: Task | str, count: int | None, split: Split, seed: int
) -> tuple[str, tuple[Example, ...], dict[str, str]]:
    """A task's name, the examples chosen of it, and what they are."""
    from chaintune import landscape, tasks

    if split not in get_args(Split):
        raise ConfigError(f"split '{split}' is not known; {nearest(split, get_args(Split))}")
    wanted = tasks.load(task) if isinstance(task, str) else task
    pool = wanted.train if split == "train" else wanted.test
    chosen = landscape.choose_examples(pool, count, task=f"{wanted.name}, {split}", seed=seed)
    about = {"task_version": wanted.version, "split": split, "examples_digest": examples_digest(chosen)}
    return wanted.name, chosen, about


def _in_fp32(
    name: str | Path, store: "Store | Path | str | None", trust_remote_code: bool, *, merged: bool
) -> "tuple[LoadedModel, str]":
    """A model in fp32 and its content's key."""
    from chaintune import models
    from chaintune.study.bases import open_base

    base = open_base(str(name), opened(store))
    loaded = models.load(
        base.folder, adapter=base.adapter, precision="fp32", trainable=False, trust_remote_code=trust_remote_code
    )
    return (models.merge_adapter(loaded) if merged else loaded), base.key


def mitigate(
    model: str | Path,
    *,
    before: str | Path,
    forgotten: str,
    keep: str | Sequence[str],
    out: Path | str,
    dose: Sequence[float] = (0.01, 0.02, 0.05, 0.1, 0.25),
    who: Literal["uniform", "balanced", "targeted"] = "uniform",
    by: str | None = None,
    target: float = 0.8,
    margin: float = 0.02,
    write_best: bool = False,
    settings: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    store: "Store | Path | str | None" = None,
    max_store: int | None = None,
    watch: "Callable[[Plan], Watch] | None" = None,
    command: Sequence[str] = (),
    trust_remote_code: bool = False,
) -> "Mitigations":
    """What replaying doses of a lost task brings back, and at what price; writes the model of the dose recommended.

    Both checkpoints are scored, the later one is trained on each dose, and the results are those of a study. The model
    lies in `out/model`, in safetensors, with a model card. Without a dose that suffices no model is written.

    Args:
        model: the checkpoint after the loss: a folder, a Hub id, `MODEL+ADAPTER`, or an alias.
        before: the checkpoint that still knew the task.
        forgotten: task that was lost.
        keep: tasks that should not pay, at least one.
        out: folder for results and model.
        dose: fractions of the forgotten task's training data.
        who: whose examples make a dose: drawn alike, as many of each group, or more of the groups that lost most.
        by: dimension of the groups, where `who` asks for groups.
        target: share of the loss; the whole interval of a dose's recovery has to lie above it.
        margin: of the score; the whole interval of every price has to lie below it.
        write_best: write the model with the largest recovery if no dose suffices.
        settings: other keys of a study file: `recipe`, `seed`, `precision`, `tasks`.
        overrides: `key=value` with dotted keys, as `--set` takes them.
        store: where finished work lies; None is the default store.
        max_store: bytes that the whole store may take; None allows what the disk holds.
        watch: plan -> context manager with `note`, which is told of every event.
        command: as it was typed, for the provenance.
        trust_remote_code: run Python code that comes with a model.

    Raises:
        ConfigError: something asked for cannot be meant.
        DataError: a task's data cannot be had.
        ModelError: a model cannot be had, or the two are of different shapes.
        StageError: no dose could be trained.
        StoreError: the checkpoints do not fit.
    """
    from chaintune.forgetting import choose
    from chaintune.report.card import model_card
    from chaintune.report.folder import write_report
    from chaintune.study import given

    replay = {"dose": list(dose), "who": who} | ({"by": by} if by else {})
    model, before = str(model), str(before)
    keep = [keep] if isinstance(keep, str) else keep
    study = given.given_study(
        model, before, forgotten=forgotten, keep=keep, replay=replay, settings=settings or {}, overrides=overrides
    )
    limits = Limits(target, margin)
    choose((), limits)  # refuses what cannot be meant before hours are spent
    session = given.open_given(study, opened(store), trust_remote_code=trust_remote_code)
    folder = Path(out)
    with watch(session.plan) if watch else nullcontext() as watcher:
        results = session.run(
            folder,
            on_event=watcher.note if watcher else None,
            command=command,
            trust_remote_code=trust_remote_code,
            limits=limits,
            max_store=max_store,
        )
    write_report(folder, session.tasks)
    choices = choose(results.rows, limits)
    if not choices:
        causes = [result.cause for result in results.outcome.of("failed")]
        raise StageError(f"no dose of '{forgotten}' was trained and scored: {'; '.join(causes)}")
    written = given.chosen_chain(choices[0], results.rows, best=write_best)
    if not written:
        return given.Mitigations(results, choices[0], "", None)
    given.write_model(session, written, folder / "model", trust_remote_code=trust_remote_code)
    recipe = study.recipe_of(forgotten).content()
    card = model_card(
        results.rows,
        choices[0],
        written=written,
        before=before,
        after=model,
        recipe=recipe,
        level=results.level,
    )
    (folder / "model" / "README.md").write_text(card, encoding="utf-8")
    return given.Mitigations(results, choices[0], written, folder / "model")
