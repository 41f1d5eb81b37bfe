"""`chaintune compare`: what was forgotten between score files, or logs of another harness."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaintune.cli.comparison import (
    CompareFlags,
    OutputFlags,
    SeriesFlags,
    check_several,
    report_comparisons,
    simulating,
    spare_pandas,
    write_text,
)
from chaintune.cli.expand import expand_dataclasses
from chaintune.errors import ConfigError
from chaintune.files.names import shown_arguments

if TYPE_CHECKING:
    from chaintune.gate import Policy, PolicyOn
    from chaintune.logs.options import ReadOptions
    from chaintune.logs.sides import Sides
    from chaintune.records import Comparison, Gate

Checkpoints = Annotated[
    list[Path],
    typer.Argument(
        metavar="BEFORE AFTER [LATER]...",
        help="Each is a score file, a table of id and score (FILE#COLUMN), or a log of another harness.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class ReadFlags:
    """Options of how logs are read."""

    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task", metavar="TASK", help="Read only this task; repeat the option for more.", show_default=False
        ),
    ] = None
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--columns",
            metavar="NAME=COLUMN",
            help="Column names that differ: id=qid,score=acc; or repeat the option.",
            show_default=False,
        ),
    ] = None
    cluster: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Examples with the same value here are not independent.")
    ] = None
    scale: Annotated[
        str | None, typer.Option(metavar="WORST,BEST", help="Worst and best score, if they are not 0,1.")
    ] = None
    filter: Annotated[
        str | None, typer.Option(help="Whose answers to read: a filter of lm-eval, a provider of promptfoo.")
    ] = None
    reader: Annotated[str | None, typer.Option(help="Format of the files: chaintune, lm-eval, inspect, table, ...")] = (
        None
    )

    def options(self) -> "ReadOptions":
        """The options of reading a log, checked."""
        from chaintune.logs.options import ReadOptions

        return ReadOptions(
            columns=column_names(self.columns or ()),
            cluster=self.cluster,
            filter=self.filter,
            tasks=tuple(self.task or ()),
            scale=_ends(self.scale),
            reader=self.reader,
        )


@expand_dataclasses
def compare(
    checkpoints: Checkpoints,
    series_flags: SeriesFlags,
    compare_flags: CompareFlags,
    read_flags: ReadFlags,
    output: OutputFlags,
    html: Annotated[
        Path | None, typer.Option(help="Also write an HTML page with figures and examples to this file.")
    ] = None,
) -> int:
    """Compare checkpoints on the same examples: what was forgotten, and by whom. Loads no model.

    Three or more are a series: each is compared with the one before it and with the first, and verdicts are corrected
    over all these pairs. With --policy the exit code is 0 if every blocking budget is kept, 1 if one is exceeded, and 3
    if the data do not decide or something required is missing.
    """
    check_several(checkpoints)
    policy = output.read_policy()
    spare_pandas()
    from chaintune.files.names import told_apart
    from chaintune.logs.compare import compare_pairs
    from chaintune.logs.sides import read_series, read_sides

    options = compare_flags.options(read_flags.options(), policy=policy)
    if len(checkpoints) == 2:
        pairs = [read_sides(checkpoints[0], checkpoints[1], options)]
    else:
        named = dict(zip(told_apart([str(path) for path in checkpoints]), checkpoints, strict=True))
        pairs = read_series(named, options, against_first=series_flags.against_first)
    with simulating(options) as on_draw:
        comparisons = compare_pairs(pairs, options, on_draw=on_draw)
    gate = _judged(policy, comparisons, output.policy_on) if policy else None
    if html:
        _write_page(html, pairs, comparisons, gate)
    return report_comparisons(comparisons, gate, output)


def _judged(policy: "Policy", comparisons: "Sequence[Comparison]", on: "PolicyOn | None") -> "Gate":
    from chaintune.gate import judge_series  # loads pydantic, which only a policy needs
    from chaintune.records import Series

    return judge_series(policy, Series(tuple(comparisons)), on)


def _write_page(path: Path, pairs: "Sequence[Sides]", comparisons: "Sequence[Comparison]", gate: "Gate | None") -> None:
    from chaintune.report.figures.every import result_figures
    from chaintune.report.page import Step, render, results_page, step_name
    from chaintune.report.results import Results

    paired = [(sides, task, sides.paired(task)) for sides in pairs for task in sides.tasks]
    steps = [Step(step_name(task, *sides.names), both.before, both.after) for sides, task, both in paired]
    results = Results.of(comparisons, gate, command=shown_arguments(["chaintune", *sys.argv[1:]]))
    write_text(path, render(results_page(results, figures=result_figures(results), steps=steps)))


def column_names(texts: Sequence[str]) -> dict[str, str]:
    """`id=qid,score=acc` as a mapping."""
    columns = {}
    for text in texts:
        for part in text.split(","):
            name, equals, column = (piece.strip() for piece in part.partition("="))
            if not (name and equals and (column or name == "task")):
                raise ConfigError(f"--columns {text}: expected NAME=COLUMN, several separated by commas")
            columns[name] = column
    return columns


def _ends(text: str | None) -> tuple[float, float]:
    if text is None:
        return 0.0, 1.0
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--scale {text}: expected two numbers, the worst and the best, as 1,5") from None
    return low, high
