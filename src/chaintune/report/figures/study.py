"""All figures of a study, and all of comparisons, in reading order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import polars as pl

from chaintune.errors import DataError
from chaintune.records import Comparison, Figure, Limits, ResultRow, pooled
from chaintune.report.figures.accuracy import accuracy_figures
from chaintune.report.figures.compared import before_after_figure, chains_figure, tasks_figure
from chaintune.report.figures.group_results import Place, places_of, places_of_rows
from chaintune.report.figures.groups import bias_figure, forgetting_figure
from chaintune.report.figures.learning import learning_figures
from chaintune.report.figures.matrix import matrix_figures
from chaintune.report.figures.mitigated import mitigation_figures
from chaintune.report.figures.power import power_figure, typical
from chaintune.report.figures.sharpness import sharpness_figure
from chaintune.report.labels import unique
from chaintune.report.mitigations import without_mitigated

_MOST_OF_A_KIND = 24


def figures_of_rows(rows: Sequence[ResultRow], limits: Limits, out: Path | None, level: float) -> list[Figure]:
    """See `chaintune.report.figures.study_figures`."""
    shown = pooled(rows)
    plain = without_mitigated(shown)
    places = places_of_rows(plain, 1 - level)
    pairs, steps = _table(out, "curvature.parquet"), _table(out, "training.parquet")
    return _named(
        [
            *_few(accuracy_figures(plain)),
            *_there(chains_figure(plain)),
            *_few(matrix_figures(shown)),
            *_of_groups(places),
            *_few(mitigation_figures(shown, limits)),
            *(_there(sharpness_figure(pairs, rows)) if pairs is not None else []),
            *(_few(learning_figures(steps)) if steps is not None else []),
            *_few(_powers(places)),
        ]
    )


def figures_of_comparisons(comparisons: Sequence[Comparison]) -> list[Figure]:
    """See `chaintune.report.figures.comparison_figures`."""
    if not comparisons:
        return []
    places = [place for one in comparisons for place in places_of(one)]
    return _named(
        [before_after_figure(comparisons), tasks_figure(comparisons), *_of_groups(places), *_few(_powers(places))],
    )


def _of_groups(places: Sequence[Place]) -> list[Figure]:
    """Forgetting and biased forgetting of each place, next to each other."""
    pairs = ((forgetting_figure(place), bias_figure(place)) for place in places)
    return _few(figure for pair in pairs for figure in pair if figure)


def _powers(places: Iterable[Place]) -> Iterator[Figure]:
    """One for each dimension of each task, of the checkpoint that could show least."""
    kin: dict[tuple[str, str], list[Place]] = {}
    for place in places:
        kin.setdefault((place.task, place.dimension), []).append(place)
    for alike in kin.values():
        figure = power_figure(max(alike, key=typical))
        if figure and len(alike) > 1:
            yield replace(figure, caption=f"{figure.caption} Of {len(alike)} checkpoints this one could show least.")
        elif figure:
            yield figure


def _there(figure: Figure | None) -> list[Figure]:
    return [figure] if figure else []


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
