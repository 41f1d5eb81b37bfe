"""Three models or more that exist already, in order or as rivals: scored and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from chaintune.arguments import NAMES, PATH, taking
from chaintune.auditing import lenient_options, scored, with_public_caution, write_folder
from chaintune.errors import ConfigError
from chaintune.files.names import file_names, told_apart
from chaintune.forgetting.power import OnDraw
from chaintune.logs.options import CompareArguments
from chaintune.records import Scores, Series, Task
from chaintune.scoring.backends import Serving
from chaintune.study.serve import Serve, ServeArgument
from chaintune.tasks import Size
from chaintune.tasks.chat import RunMode

if TYPE_CHECKING:
    from chaintune.gate import Policy, PolicyOn
    from chaintune.logs.options import CompareOptions
    from chaintune.runs.session import Watcher
    from chaintune.store.store import Store


class AuditArguments(CompareArguments, total=False):
    """Every keyword argument of `chaintune.audit` but for the tasks."""

    policy: "Policy | Path | str | None"
    test: Size | Mapping[str, Size]
    chat: RunMode
    sample_seed: int
    metric: str | Sequence[str] | Mapping[str, str | Sequence[str]] | None
    precision: str
    backend: str
    devices: int
    store: "Store | Path | str | None"
    out: Path | str | None
    executor: str
    address: str | None
    watch: "Watcher | None"
    trust_remote_code: bool
    allow_unused: Sequence[str]
    serve: ServeArgument
    serving: Serving
    max_requests: int | None


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
def audit_series(
    models: Mapping[str, str | Path] | Sequence[str | Path],
    *,
    tasks: Task | str | Sequence[Task | str],
    against_first: bool = False,
    policy_on: "PolicyOn | None" = None,
    **how: Unpack[AuditArguments],
) -> Series:
    """The forgetting along several models: each is scored once, and compared with the one before it and with the first.

    Args:
        models: name -> model, in order; or models alone, whose names are then what tells them apart.
        tasks: tasks, or names of known ones; one alone needs no list.
        against_first: they are rivals: each is compared with the first one only.
        policy_on: `last` judges the last model against the first; `each` every step as well, the worst answer being
            that of all; None is `each` of rivals, else `last`.
        **how: as `audit` takes them.

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
    options, budgets, loaded, made = scored({name: str(model) for name, model in named.items()}, tasks, how)
    series = series_of_scores(
        made.scores, options, budgets, tasks=loaded, against_first=against_first, policy_on=policy_on
    )
    if (out := how.get("out")) is not None:
        write_series(series, Path(out), tasks=loaded)
    return series


def series_of_scores(
    scores: Mapping[str, Mapping[str, Scores]],
    options: "CompareOptions",
    policy: "Policy | None",
    *,
    tasks: Sequence[Task],
    against_first: bool,
    policy_on: "PolicyOn | None" = None,
    on_draw: OnDraw | None = None,
) -> Series:
    """The forgetting along several models that were scored.

    Args:
        scores: name of a checkpoint -> task -> its scores, in order.
        options: how to compare; each dimension in each task that has it.
        policy: budgets, whose dimensions are added.
        tasks: whose scores they are.
        against_first: each model is compared with the first one only.
        policy_on: what the policy judges, as of `audit_series`.
        on_draw: of power by simulation, as `compare_pairs` takes it.
    """
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
    from chaintune.report.page import Step, step_name

    width = len(str(len(series.scores)))
    names = file_names([f"{place:0{width}}-{name}" for place, name in enumerate(series.scores, start=1)], "")
    write_folder(
        folder,
        dict(zip([f"scores/{name}" for name in names], series.scores.values(), strict=True)),
        series.comparisons,
        series.gate,
        [
            Step(
                step_name(one.task, one.start, one.end),
                *(series.scores[side][one.task] for side in (one.start, one.end)),
            )
            for one in series.comparisons
        ],
        tasks=tasks,
        command=command,
    )
