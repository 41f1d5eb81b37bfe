"""All figures of a study, and all of comparisons, in reading order."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from chaintune.errors import DataError
from chaintune.records import Comparison, Figure, Limits, ResultRow
from chaintune.report.cells import pooled_only
from chaintune.report.figures.accuracy import accuracy_figures
from chaintune.report.figures.compared import before_after_figure, chains_figure, tasks_figure
from chaintune.report.figures.groups import bias_figure, forgetting_figure
from chaintune.report.figures.learning import learning_figures
from chaintune.report.figures.matrix import matrix_figures
from chaintune.report.figures.mitigated import mitigation_figures
from chaintune.report.figures.naming import unique
from chaintune.report.figures.places import Place, places_of, places_of_rows
from chaintune.report.figures.power import power_figure
from chaintune.report.figures.sharpness import sharpness_figure
from chaintune.report.mitigations import without_mitigated

_MOST_OF_A_KIND = 12


def figures_of_rows(rows: Sequence[ResultRow], limits: Limits, out: Path | None) -> list[Figure]:
    """See `chaintune.report.figures.study_figures`."""
    shown = pooled_only(rows)
    plain = without_mitigated(shown)
    places = places_of_rows(plain)
    chains = chains_figure(plain)
    pairs, steps = _table(out, "curvature.parquet"), _table(out, "training.parquet")
    bent = sharpness_figure(pairs, rows) if pairs is not None else None
    return _named(
        [
            *_few(accuracy_figures(plain)),
            *([chains] if chains else []),
            *_few(matrix_figures(shown)),
            *_of_groups(places),
            *_few(mitigation_figures(shown, limits)),
            *([bent] if bent else []),
            *_few(learning_figures(steps) if steps is not None else []),
            *_few([figure for place in places if (figure := power_figure(place))]),
        ]
    )


def figures_of_comparisons(comparisons: Sequence[Comparison]) -> list[Figure]:
    """See `chaintune.report.figures.comparison_figures`."""
    if not comparisons:
        return []
    places = [place for one in comparisons for place in places_of(one)]
    power = [figure for place in places if (figure := power_figure(place))]
    return _named(
        [before_after_figure(comparisons), tasks_figure(comparisons), *_of_groups(places), *_few(power)],
    )


def _of_groups(places: Sequence[Place]) -> list[Figure]:
    """Forgetting and biased forgetting of each place, next to each other."""
    shown = places[:_MOST_OF_A_KIND]
    figures = [figure for place in shown for figure in (forgetting_figure(place), bias_figure(place)) if figure]
    return _closed(figures, len(places) - len(shown))


def _few(figures: Sequence[Figure]) -> list[Figure]:
    return _closed(figures[:_MOST_OF_A_KIND], len(figures) - _MOST_OF_A_KIND)


def _closed(figures: Sequence[Figure], left: int) -> list[Figure]:
    """Figures whose last one says how many more there would be."""
    if left <= 0 or not figures:
        return list(figures)
    more = f"{left} more of this kind are not drawn; the tables of results have their numbers."
    return [*figures[:-1], replace(figures[-1], caption=f"{figures[-1].caption} {more}")]


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
