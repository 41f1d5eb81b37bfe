"""All figures of a study, and all of comparisons, in reading order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import polars as pl

from chaintune.errors import DataError
from chaintune.records import Comparison, Figure, Limits, ResultRow, pooled
from chaintune.report.figures.accuracy import accuracy_figures
from chaintune.report.figures.compared import before_after_figures, forgetting_of_tasks_figures
from chaintune.report.figures.group_results import GroupResults, group_results
from chaintune.report.figures.groups import bias_figure, forgetting_figure
from chaintune.report.figures.learning import learning_figures
from chaintune.report.figures.matrix import matrix_figures
from chaintune.report.figures.mitigated import mitigation_figures
from chaintune.report.figures.power import power_figure, typical
from chaintune.report.figures.sharpness import sharpness_figures
from chaintune.report.labels import unique
from chaintune.report.mitigations import without_mitigated

_MOST_OF_A_KIND = 24


def figures_of_rows(rows: Sequence[ResultRow], limits: Limits, out: Path | None, level: float) -> list[Figure]:
    """See `chaintune.report.figures.study_figures`."""
    shown = pooled(rows)
    plain = without_mitigated(shown)
    every = group_results(plain, level=level)
    pairs, steps = _table(out, "curvature.parquet"), _table(out, "training.parquet")
    return _named(
        [
            *_few(accuracy_figures(plain)),
            *_few(forgetting_of_tasks_figures(plain, level=level)),
            *_few(matrix_figures(shown)),
            *_of_groups(every),
            *_few(mitigation_figures(shown, limits, level=level)),
            *(_few(sharpness_figures(pairs, rows)) if pairs is not None else []),
            *(_few(learning_figures(steps)) if steps is not None else []),
            *_few(_powers(every)),
        ]
    )


def figures_of_comparisons(comparisons: Sequence[Comparison]) -> list[Figure]:
    """See `chaintune.report.figures.comparison_figures`."""
    if not comparisons:
        return []
    every = [results for one in comparisons for results in group_results(one.rows, level=one.level)]
    rows = [row for one in comparisons for row in one.rows]
    return _named(
        [
            *_few(before_after_figures(comparisons)),
            *_few(forgetting_of_tasks_figures(rows, level=comparisons[0].level)),
            *_of_groups(every),
            *_few(_powers(every)),
        ]
    )


def _of_groups(every: Sequence[GroupResults]) -> list[Figure]:
    """Forgetting and biased forgetting of each results, next to each other."""
    pairs = ((forgetting_figure(results), bias_figure(results)) for results in every)
    return _few(figure for pair in pairs for figure in pair if figure)


def _powers(every: Iterable[GroupResults]) -> Iterator[Figure]:
    """One for each dimension of each task, of the checkpoint that could show least."""
    kin: dict[tuple[str, str], list[GroupResults]] = {}
    for results in every:
        kin.setdefault((results.task, results.dimension), []).append(results)
    for alike in kin.values():
        figure = power_figure(max(alike, key=typical))
        if figure and len(alike) > 1:
            yield replace(figure, caption=f"{figure.caption} Of {len(alike)} checkpoints this one could show least.")
        elif figure:
            yield figure


def _few(figures: Iterable[Figure]) -> list[Figure]:
    """The first of one kind; the last of them says so where there would be more."""
    first = list(islice(figures, _MOST_OF_A_KIND + 1))
    if len(first) <= _MOST_OF_A_KIND:
        return first
    last = first[_MOST_OF_A_KIND - 1]
    more = "More of this kind are not drawn; the tables of results have their numbers."
    return [*first[: _MOST_OF_A_KIND - 1], replace(last, caption=f"{last.caption} {more}")]


def _named(figures: Iterable[Figure]) -> list[Figure]:
    """No two figures of one name."""
    named: dict[str, Figure] = {}
    for figure in figures:
        name = unique(figure.name or "figure", named)
        named[name] = replace(figure, name=name)
    return list(named.values())


def _table(out: Path | None, name: str) -> pl.DataFrame | None:
    """A table of a run's folder; None where there is none, or an empty one."""
    if out is None or not (out / name).is_file():
        return None
    try:
        table = pl.read_parquet(out / name)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{out / name}: cannot be read as a table ({error}); run the study again") from error
    return table if table.height else None
