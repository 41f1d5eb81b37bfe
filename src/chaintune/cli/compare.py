"""`chaintune compare`: what was forgotten between two score files, or two logs of another harness."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chaintune.cli.compared import Comparing, Telling, tell
from chaintune.cli.spread import spread
from chaintune.errors import ConfigError

if TYPE_CHECKING:
    from chaintune.records import Comparison, Gate

Side = Annotated[
    Path,
    typer.Argument(
        help="Score file, table of id and score, samples of lm-eval, or log of Inspect.", show_default=False
    ),
]


@dataclass(frozen=True)
class Reading:
    """Options of how logs are read."""

    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="TASK", help="Compare this task only; repeat it for more.", show_default=False),
    ] = None
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--columns", metavar="NAME=COLUMN", help="Other names: id=qid,score=acc; or repeat it.", show_default=False
        ),
    ] = None
    cluster: Annotated[str | None, typer.Option(metavar="FIELD", help="Examples alike here are dependent.")] = None
    scale: Annotated[str | None, typer.Option(metavar="WORST,BEST", help="Ends of the scores, if not 0,1.")] = None
    filter: Annotated[str | None, typer.Option(help="Which filter's answers of an lm-eval log.")] = None
    reader: Annotated[str | None, typer.Option(help="Read as: chaintune, lm-eval, inspect, table, ...")] = None

    def options(self) -> dict[str, Any]:
        """As `logs.compare_all` takes them."""
        return asdict(self) | {"columns": _pairs(self.columns or ()), "scale": _ends(self.scale)}


@spread
def compare(
    before: Side,
    after: Side,
    comparing: Comparing,
    reading: Reading,
    telling: Telling,
    html: Annotated[Path | None, typer.Option(help="Write a page with figures and examples here too.")] = None,
) -> int:
    """Compare two checkpoints on the same examples: what was forgotten, and by whom. Loads no model.

    With --policy, judge it: code 0 when every blocking budget is kept, 1 when one is exceeded, 3 when the data do not
    tell or something required is missing.
    """
    from chaintune.logs import compare_all

    options = reading.options()
    keep = partial(_write_page, html, (before, after), options | {"metric": comparing.metric}) if html else None
    return tell(partial(compare_all, before, after, **options), comparing, telling, keep=keep)


def _write_page(
    path: Path,
    logs: tuple[Path, Path],
    reading: Mapping[str, Any],
    comparisons: "Sequence[Comparison]",
    gate: "Gate | None",
) -> None:
    from chaintune.logs.sides import both_sides
    from chaintune.report.figures import comparison_figures
    from chaintune.report.folder import write_whole
    from chaintune.report.page import Step, comparison_page, render

    dimensions = dict.fromkeys(row.dimension for found in comparisons for row in found.groups)
    sides = both_sides(*logs, by=list(dimensions), reading=reading)
    steps = [Step(found.task, sides[found.task].before, sides[found.task].after) for found in comparisons]
    command = ["chaintune", *sys.argv[1:]]
    page = comparison_page(
        comparisons, figures=comparison_figures(comparisons), steps=steps, gate=gate, command=command
    )
    try:
        write_whole(path, render(page))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    """`id=qid,score=acc` as a mapping."""
    found = {}
    for text in texts:
        for part in text.split(","):
            name, equals, called = (piece.strip() for piece in part.partition("="))
            if not (name and equals and called):
                raise ConfigError(f"--columns {text}: expected NAME=COLUMN, several separated by commas")
            found[name] = called
    return found


def _ends(text: str | None) -> tuple[float, float]:
    if text is None:
        return 0.0, 1.0
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--scale {text}: expected two numbers, the worst and the best, as 1,5") from None
    return low, high
