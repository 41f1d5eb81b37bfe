"""Three models or more that exist already, in order or as rivals: scored and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaintune.arguments import NAMES, PATH, taking
from chaintune.auditing import lenient_options, scored, with_public_caution, write_folder
from chaintune.errors import ConfigError
from chaintune.files.names import file_names, told_apart
from chaintune.forgetting.pairing import OnMissing
from chaintune.forgetting.power import OnDraw
from chaintune.logs.options import CompareOptions, Crossing, Metrics, compare_options
from chaintune.records import Scores, Series, Task
from chaintune.records.amounts import USUAL_MARGIN
from chaintune.scoring.backends import AS_USUAL, DEFAULT, Serving
from chaintune.stats import Adjustment, Reference
from chaintune.study.serve import Serve, ServeArgument
from chaintune.tasks import Size
from chaintune.tasks.chat import RunMode

if TYPE_CHECKING:
    from chaintune.gate import Policy, PolicyOn
    from chaintune.runs.session import Watcher
    from chaintune.store.store import Store


@taking(
    models=(Mapping, Sequence),
    tasks=(Task, str, Sequence),
    against_first=bool,
    policy_on=str,
    chat=str,
    sample_seed=Integral,
    metric=(*NAMES, Mapping),
    precision=str,
    backend=str,
    devices=Integral,
    out=PATH,
    executor=str,
    address=str,
    serve=(str, Mapping, Serve),
)
def audit_series(  # noqa: D417 - the others are those of `audit`
    models: Mapping[str, str | Path] | Sequence[str | Path],
    *,
    tasks: Task | str | Sequence[Task | str],
    against_first: bool = False,
    policy_on: "PolicyOn | None" = None,
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
) -> Series:
    """The forgetting along several models: each is scored once, and compared with the one before it and with the first.

    All other arguments are those of `audit`.

    Args:
        models: name -> model, in order; or models alone, whose names are then what tells them apart.
        tasks: tasks, or names of known ones; one alone needs no list.
        against_first: they are rivals: each is compared with the first one only.
        policy_on: `last` judges the last model against the first; `each` every step as well, the worst answer being
            that of all; None is `each` of rivals, else `last`.

    Raises:
        ConfigError: an option, a dimension or a policy is invalid, or there are fewer than three models.
        ModelError: a model cannot be loaded.
        DataError: a task's data cannot be loaded, or an example is longer than a model's context.

    Sign: positive forgetting is worse; positive biased forgetting: this group loses more.
    """
    named = (
        models if isinstance(models, Mapping) else dict(zip(told_apart(list(map(str, models))), models, strict=True))
    )
    if len(named) < 3:
        raise ConfigError(f"models: expected three or more, got {len(named)}; `audit` takes two")
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
    budgets, loaded, made = scored({name: str(model) for name, model in named.items()}, tasks, options, **how)
    series = series_of_scores(
        made.scores, options, budgets, tasks=loaded, against_first=against_first, policy_on=policy_on
    )
    if out is not None:
        write_series(series, Path(out), tasks=loaded)
    return series


def series_of_scores(
    scores: Mapping[str, Mapping[str, Scores]],
    options: CompareOptions,
    policy: "Policy | None",
    *,
    tasks: Sequence[Task],
    against_first: bool,
    policy_on: "PolicyOn | None" = None,
    on_draw: OnDraw | None = None,
) -> Series:
    """The forgetting along several models that were scored."""
    from chaintune.gate import judge_series
    from chaintune.logs.compare import compare_pairs
    from chaintune.logs.sides import read_series

    lenient = lenient_options(options, policy)
    sides = read_series(
        {name: list(own.values()) for name, own in scores.items()}, lenient, against_first=against_first
    )
    series = Series(with_public_caution(compare_pairs(sides, lenient, on_draw=on_draw), tasks), scores=scores)
    return replace(series, gate=judge_series(policy, series, policy_on)) if policy else series


def write_series(series: Series, folder: Path, *, tasks: Sequence[Task] = (), command: Sequence[str] = ()) -> None:
    """Write the scores of every model and the report into a folder, as `write_audit` does.

    Args:
        series: scores and comparisons.
        folder: gets `scores/1-NAME`, `scores/2-NAME` ..., which `chaintune compare` reads in this order, and the
            report.
        tasks: whose texts stand beside the examples on the page; without them ids do.
        command: as it was typed.

    Raises:
        ConfigError: the folder holds scores of other models.
        StoreError: it cannot be written.
    """
    width = len(str(len(series.scores)))
    names = file_names([f"{place:0{width}}-{name}" for place, name in enumerate(series.scores, start=1)], "")
    folders = [f"scores/{name}" for name in names]
    write_folder(series, folder, dict(zip(folders, series.scores.values(), strict=True)), tasks=tasks, command=command)
