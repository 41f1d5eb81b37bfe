"""All figures of a study, and all of comparisons, in reading order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import polars as pl
from altair.utils.schemapi import debug_mode

from chaintune.files.reading import as_written, read_parquet
from chaintune.records import Figure
from chaintune.report.figures.accuracy import accuracy_figures
from chaintune.report.figures.compared import before_after_figures, forgetting_of_tasks_figures
from chaintune.report.figures.group_results import GroupResults, group_results
from chaintune.report.figures.groups import bias_figure, forgetting_figure
from chaintune.report.figures.learning import learning_figures
from chaintune.report.figures.margins import margins_figures
from chaintune.report.figures.matrix import matrix_figures
from chaintune.report.figures.mitigated import mitigation_figures
from chaintune.report.figures.power import power_figure, typical
from chaintune.report.figures.series import series_figures
from chaintune.report.figures.sharpness import DIVERGENCE, SHARPNESS, predictor_figures
from chaintune.report.figures.variants import variant_figures
from chaintune.report.labels import unique
from chaintune.report.results import Results

_MOST_OF_A_KIND = 24


# Altair would hold each part of each spec against its schema, which takes most of the time; the tests do that.
@debug_mode(False)
def result_figures(results: Results) -> list[Figure]:
    """Every figure of a study or of comparisons, in reading order; what was not measured has none.

    Raises:
        DataError: a file of the run's folder is no table.
    """
    series, results = results.series, results.leading
    study, plain = ([], []) if results.comparisons else (results.shown, results.plain)
    pairs, steps, moved = (_table(results, f"{name}.parquet") for name in ("curvature", "training", "kl"))
    groups = group_results(results)
    return _named(
        [
            *_few(accuracy_figures(plain)),
            *(_few(series_figures(series, results.level)) if series else []),
            *_few(before_after_figures([] if series else results.comparisons)),
            *_few(forgetting_of_tasks_figures(results)),
            *_few(matrix_figures(study)),
            *_of_groups(groups),
            *_few(margins_figures(results)),
            *_few(variant_figures(results) if study else []),
            *_few(mitigation_figures(results)),
            *(_few(predictor_figures(pairs, results.shown, SHARPNESS)) if pairs is not None else []),
            *(_few(predictor_figures(moved, results.shown, DIVERGENCE)) if moved is not None else []),
            *(_few(learning_figures(steps)) if steps is not None else []),
            *_few(_powers(groups)),
        ]
    )


def _of_groups(every: Sequence[GroupResults]) -> list[Figure]:
    """Forgetting and biased forgetting of each results, next to each other."""
    pairs = ((forgetting_figure(results), bias_figure(results)) for results in every)
    return _few(figure for pair in pairs for figure in pair if figure)


def _powers(every: Iterable[GroupResults]) -> Iterator[Figure]:
    """One for each dimension of each task, of the checkpoint that could show least."""
    by_dimension: dict[tuple[str, str], list[GroupResults]] = {}
    for results in every:
        by_dimension.setdefault((results.whole.task, results.dimension), []).append(results)
    for alike in by_dimension.values():
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


def _table(results: Results, name: str) -> pl.DataFrame | None:
    """A table of a run's folder, of the variant where one alone is shown; None where there is none, or an empty one."""
    path = (results.folder or Path()) / name
    if results.folder is None or not path.is_file():
        return None
    with as_written(path):
        table = pl.DataFrame(read_parquet(path))
        if results.variant:
            own = table.filter(pl.col("variant").is_in(["", results.variant]))
            table = own.with_columns(variant=pl.lit(""))
    return table if table.height else None
