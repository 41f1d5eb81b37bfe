"""A finished run read back from its folder, as the values that Python returned when it was made."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from chaintune.arguments import PATH, taking
from chaintune.errors import DataError
from chaintune.files.reading import as_written, read_json
from chaintune.forgetting.orders import Influence, OrderScores, PredictedOrders
from chaintune.forgetting.recommend import chosen_chain, recommend
from chaintune.records import Audit, Estimate, Scores, Series
from chaintune.records.amounts import number
from chaintune.records.mitigations import LATER
from chaintune.report.comparison import read_comparisons
from chaintune.report.folder import COMPARISON, RESULTS, read_results
from chaintune.results import Mitigations, StudyResults
from chaintune.store.store import Store

ORDERS = "order.json"

Finished: TypeAlias = StudyResults | Mitigations | PredictedOrders | Audit | Series | Scores | dict[str, Scores]


@taking(folder=PATH)
def load(folder: Path | str, *, store: Store | Path | str | None = None) -> Finished:
    """The results that lie in a folder: of a study, a mitigation, predicted orders, an audit, a series, or scores.

    Args:
        folder: the `--out` folder of `run`, `mitigate`, `order`, `audit`, `score` or `rescore`; or a file: one task's
            scores (`.parquet`), or what `compare --format json` printed (`.json`).
        store: that holds the checkpoints of the run, or its address; None is the default store.

    Returns:
        `StudyResults`, `Mitigations`, `PredictedOrders`, `Audit` or `Series`; of scores task -> `Scores`, of one file
        `Scores`.

    Raises:
        DataError: there are no results, or they are damaged.
    """
    place = Path(folder).expanduser()
    if place.is_file():
        return _compared(place) if place.suffix == ".json" else Scores.read(place)
    if (place / RESULTS).is_file():
        return _studied(place, store)
    if (place / ORDERS).is_file():
        return _ordered(place)
    if (place / COMPARISON).is_file():
        return _compared(place / COMPARISON)
    if scores := _scores(place):
        return scores
    raise DataError(
        f"{place}: no results there; expected the --out folder of a finished run, which holds {RESULTS} (run, "
        f"mitigate), {COMPARISON} (audit), {ORDERS} (order) or score files (score, rescore)"
    )


@taking(out=PATH)
def join(
    folders: Sequence[Path | str] | Path | str, out: Path | str, *, store: Store | Path | str | None = None
) -> StudyResults | Mitigations:
    """The results of runs of one study that differ in seed, as one run with all of their seeds would have had.

    Nothing but the folders is read: no store, model or data set. What was joined may be joined again.

    Args:
        folders: `--out` folders of the runs.
        out: for the joined results, with everything that a run leaves behind; it may be one of the folders.
        store: that holds the checkpoints of the runs, or its address; None is the default store.

    Raises:
        DataError: a folder holds no such results, two differ in more than their seeds, or a seed is in two of them.
        StoreError: the folder cannot be written to.
    """
    from chaintune.runs import joining  # loads what computes statistics

    several = [folders] if isinstance(folders, str | Path) else folders
    places, place = [Path(folder).expanduser() for folder in several], Path(out).expanduser()
    joining.join(places, place, command=["chaintune", "report", *map(str, places), "--out", str(place)])
    return _studied(place, store)


def _studied(folder: Path, store: Store | Path | str | None) -> StudyResults | Mitigations:
    from chaintune.execution.state import RunOutcome

    read = read_results(folder)
    results = StudyResults(tuple(read.rows), RunOutcome((), 0.0), folder, read.level, store)
    choices = recommend(read.rows, read.limits) if any(LATER in row.chain for row in read.rows) else []
    if not choices:
        return results
    model = folder / "model"
    there = model.is_dir() and _is_of_this_run(folder / "results.json")
    choice, written = chosen_chain(choices, read.rows, best=there)
    if not written or not there:
        return Mitigations(results, choice, "", None)
    return Mitigations(results, choice, written, model)


def _is_of_this_run(path: Path) -> bool:
    """Whether the model beside results is theirs, and of no earlier run; what was written before does not say it."""
    with as_written(path, "run the same command again, which computes nothing twice"):
        return bool(read_json(path).get("written", True)) if path.is_file() else True


def _ordered(folder: Path) -> PredictedOrders:
    with as_written(folder / ORDERS, "run `chaintune order` again, which computes nothing twice"):
        content = read_json(folder / ORDERS)
        influences: dict[int, dict[tuple[str, str], Influence]] = {}
        for one in content["influences"]:
            shares = (one["divergence_share"], one["loss_share"], one["gradient_conflict"])
            influences.setdefault(one["seed"], {})[one["task"], one["later"]] = Influence(*shares)
        orders, trained = (tuple(map(_order, content[name])) for name in ("orders", "trained"))
        (stages, every), (tokens, all_tokens) = (
            (content[name]["trained"], content[name]["all_orders"]) for name in ("stages", "tokens")
        )
        study, level = content["study"], content["level"]
        return PredictedOrders(study, orders, influences, trained, stages, every, tokens, all_tokens, folder, level)


def _order(content: Mapping[str, Any]) -> OrderScores:
    scores = {task: _estimate(one) for task, one in content["scores"].items()}
    return OrderScores(tuple(content["order"]), scores, _estimate(content["mean"]))


def _estimate(content: Mapping[str, Any]) -> Estimate:
    return Estimate(**{name: number(value) for name, value in content.items()})


def _compared(path: Path) -> Audit | Series:
    comparisons, gate = read_comparisons(path)
    # What another comparison was written beside is not what it compared.
    folder = path.parent if path.name == COMPARISON else path
    if not any(one.end for one in comparisons):
        return Audit(tuple(comparisons), gate, _scores(folder / "before"), _scores(folder / "after"))
    names = Series(tuple(comparisons)).names
    folders = sorted((folder / "scores").glob("[0-9]*-*"))
    known = {name: _scores(place) for name, place in zip(names, folders, strict=False)}
    return Series(tuple(comparisons), gate, known if len(folders) == len(names) else {})


def _scores(folder: Path) -> dict[str, Scores]:
    """Task -> scores of one model; nothing where there are none."""
    read = [Scores.read(path) for path in sorted(folder.glob("*.parquet"))] if folder.is_dir() else []
    return {one.task: one for one in read}
