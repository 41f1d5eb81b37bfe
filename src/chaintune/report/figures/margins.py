"""Scaled margins of groups: the second line beside accuracy, which has no verdict."""

import math
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from chaintune.records import Estimate, Figure, ResultRow
from chaintune.records.scales import Scale, changes_in
from chaintune.report.cells import checkpoint, joint_name, largest_first
from chaintune.report.figures.charts import count_columns, estimate_columns, finished, first_few
from chaintune.report.figures.forest import RING, Forest, Kind, Line
from chaintune.report.figures.groups import MOST_ROWS, counts
from chaintune.report.labels import one_line, slug
from chaintune.report.results import Results
from chaintune.report.second_lines import margins_rows, margins_sentence

_MOST_READ = 6
_MORE, _LESS, _NOT_SHOWN = "fell more, shown", "fell less, shown", "no difference shown"
_KINDS = (Kind(_LESS, 0, "triangle-up"), Kind(_MORE, 1, "triangle-down"), Kind(_NOT_SHOWN, 7, RING))
_WARNING = "No verdict rests on them: the margins of a group fall as well where other examples get surer."

Place = tuple[str, str]  # dimension and group


def margins_figures(results: Results) -> Iterator[Figure]:
    """One for each task whose margins are known and each dimension of its groups, beside the whole task's."""
    rows = margins_rows(results)
    lost = [row for row in rows if row.metric == "forgetting"]
    for whole in (row for row in lost if row.is_whole and not math.isnan(row.estimate.low)):
        own = [row for row in lost if row.key == whole.key and joint_name(row)]
        bias = {
            (row.dimension, row.group): row.estimate
            for row in rows
            if row.key == whole.key and row.metric == "biased_forgetting"
        }
        tag = checkpoint(whole, lost)
        several = len({row.key for row in lost if row.task == whole.task}) > 1
        for dimension in dict.fromkeys(row.dimension for row in own if row.dimension):
            members = [row for row in own if row.dimension == dimension]
            own_rows = [row for row in rows if row.is_whole or row.dimension == dimension]
            caption = " ".join([*margins_sentence(whole, own_rows, level=results.level), _WARNING])
            name = slug("margins", whole.task, dimension, tag if several else "")
            yield _figure(whole, members, bias, name=name, tag=tag, caption=caption, level=results.level)


def _figure(
    whole: ResultRow,
    members: Sequence[ResultRow],
    bias: Mapping[Place, Estimate],
    *,
    name: str,
    tag: str,
    caption: str,
    level: float,
) -> Figure:
    def apart(row: ResultRow) -> Estimate:
        return bias.get((row.dimension, row.group), Estimate.undefined("not measured"))

    ordered = sorted(members, key=lambda row: largest_first(row.estimate, row.group))
    kept = sorted(ordered, key=lambda row: (not apart(row).is_shown(level), -row.estimate.n_clusters))[:MOST_ROWS]
    shown, scale = [row for row in ordered if row in kept], changes_in(whole.unit)
    lines = [Line(joint_name(row), row.estimate, _kind(apart(row), level), counts(row.estimate)) for row in shown]
    forest = Forest(f"{scale.title('fell by')}, positive is worse", scale, _KINDS, "n · clusters", whole.estimate)
    title = f"Scaled margins of {whole.task} by {members[0].dimension}" + (f", {tag}" if tag else "")
    left = len(members) - len(shown)
    read = [f"{one_line(joint_name(row))} {one_line(scale.text(row.estimate))}" for row in shown]
    return Figure(
        name=name,
        section="groups",
        title=title,
        caption=caption + (f" {left} more groups are in the table." if left else ""),
        alt=f"{title}. The whole task: {one_line(scale.text(whole.estimate))}. {first_few(read, _MOST_READ)}",
        spec=finished(forest.draw(lines), title),
        table=_table(ordered, [apart(row) for row in ordered], scale, members[0].dimension),
    )


def _kind(apart: Estimate, level: float) -> str:
    if not apart.is_shown(level):
        return _NOT_SHOWN
    return _MORE if apart.value > 0 else _LESS


def _table(rows: Sequence[ResultRow], apart: Sequence[Estimate], scale: Scale, dimension: str) -> pl.DataFrame:
    estimates = [row.estimate for row in rows]
    return pl.DataFrame(
        {f"group ({dimension})": pl.Series([joint_name(row) for row in rows], dtype=pl.String)}
        | count_columns(estimates)
        | estimate_columns("forgetting", estimates, scale)
        | estimate_columns("biased forgetting", apart, scale)
        | {"reason": pl.Series([one.reason for one in estimates], dtype=pl.String)}
    )
