"""Power before anything runs, as `chaintune plan` and `chaintune tasks` show it."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chaintune.errors import ConfigError

if TYPE_CHECKING:
    from chaintune.report.cells import Table
    from chaintune.stats import Flips
    from chaintune.tasks import PowerRow

_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")


@dataclass(frozen=True)
class PowerFlags:
    """Options of power, and of what it assumes."""

    power: Annotated[
        bool,
        typer.Option(
            "--power",
            help="Show the power to detect a loss of 5 and of 10 points at these sizes, and how many examples and "
            "seeds 80 % power takes. Nothing is trained or scored, and no model is read.",
        ),
    ] = False
    flips: Annotated[
        str | None,
        typer.Option(
            "--flips",
            metavar="FORGOT,LEARNED",
            help="With --power: assumed shares of examples that training turns from right to wrong and from wrong to "
            "right before any loss is added; a comparison of your own shows them. [default: 12%,8%]",
            show_default=False,
        ),
    ] = None
    correlation: Annotated[
        float | None,
        typer.Option(
            "--correlation",
            help="With --power: assumed correlation of changes within a cluster, from 0 (independent) to 1 (all or "
            "none). [default: 0.1]",
            show_default=False,
        ),
    ] = None
    seed_sd: Annotated[
        float | None,
        typer.Option(
            "--seed-sd",
            metavar="POINTS",
            help="With --power: assumed standard deviation of the loss over seeds, for the whole task and for each "
            "group beside it. [default: 3]",
            show_default=False,
        ),
    ] = None

    def check(self) -> None:
        """Refuse what only power takes where it is not asked for.

        Raises:
            ConfigError: it is not.
        """
        options = {"--flips": self.flips, "--correlation": self.correlation, "--seed-sd": self.seed_sd}
        for option, value in options.items():
            if value is not None and not self.power:
                raise ConfigError(f"{option} sets an assumption of power; add --power")

    def assumed(self) -> "Flips":
        """The flips that are assumed.

        Raises:
            ConfigError: they cannot be.
        """
        from chaintune.errors import DataError
        from chaintune.tasks.power import FLIPS

        self.check()
        flips = FLIPS
        try:
            if self.flips is not None:
                forgot, learned = _shares(self.flips)
                flips = replace(flips, forgot=forgot, learned=learned)
            if self.correlation is not None:
                flips = replace(flips, correlation=self.correlation)
            if self.seed_sd is not None:
                flips = replace(flips, seed_sd=self.seed_sd / 100, group_seed_sd=self.seed_sd / 100)
        except DataError as error:
            raise ConfigError(f"--power: {error}") from error
        return flips


def _shares(text: str) -> tuple[float, float]:
    matches = [_SHARE.fullmatch(part.strip()) for part in text.split(",")]
    if len(matches) != 2 or None in matches:
        raise ConfigError(f"--flips: expected two shares such as 12%,8%, got {text!r}")
    forgot, learned = (float(match[1]) / 100 for match in matches if match)
    return forgot, learned


def power_table(task: str, rows: Sequence["PowerRow"]) -> "Table":
    """The power of comparisons on one task, a row for the whole and one for each dimension."""
    from chaintune.report.cells import Table

    header = ("who", "n", "clusters", "power at 5 points", "at 10 points", "examples for 80 % at 10", "seeds for it")
    cells = tuple(
        (
            f"one of {row.groups:,} by {row.dimension}" if row.dimension else "whole task",
            _range(row.n),
            _range(row.clusters),
            *(_percent(row.power[points]) for points in (5, 10)),
            _examples(row),
            "more than 20" if row.seeds_needed is None else str(row.seeds_needed),
        )
        for row in rows
    )
    return Table(f"Power on {task}", "", header, cells)


def assumptions(flips: "Flips", seeds: int) -> str:
    """What power assumes, and how to read its tables."""
    forgot, learned, apart = (100 * share for share in (flips.forgot, flips.learned, flips.seed_sd))
    over = "one seed, and says nothing about others" if seeds == 1 else f"{seeds} seeds, and applies to any like them"
    return (
        f"Assumed: training turns {forgot:.3g} % of the examples from right to wrong and {learned:.3g} % from wrong to "
        f"right (--flips); changes within a cluster correlate by {flips.correlation:g} (--correlation); the loss has a "
        f"standard deviation of {apart:.3g} points over seeds (--seed-sd).\n"
        f"Power is the share of comparisons that show the loss at 95 %. It is for {over}.\n"
        "A group's loss is its loss beyond the whole task, corrected over the groups of its dimension; two figures are "
        "those of its least and its most powerful group.\n"
        "Examples for 80 % are for one seed, in the order in which a sample takes them; 'about' extrapolates past the "
        "data, to more clusters like those there are. Seeds, two or more, are at these sizes."
    )


def power_json(flips: "Flips", seeds: int, tasks: "dict[str, list[PowerRow]]") -> dict[str, Any]:
    """The same as plain data."""
    return {
        "assumed": asdict(flips) | {"seeds": seeds, "level": 0.95},
        "tasks": {name: [asdict(row) for row in rows] for name, rows in tasks.items()},
    }


def _range(ends: tuple[int, int]) -> str:
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"


def _percent(ends: tuple[float, float]) -> str:
    low, high = (f"{100 * end:.0f}" for end in ends)
    return f"{low} %" if low == high else f"{low} to {high} %"


def _examples(row: "PowerRow") -> str:
    per = " each" if row.dimension else ""
    there = f"there are {row.examples_available:,}"
    if row.examples_needed is None:
        return f"none do; {there}{per}"
    if row.examples_needed <= row.examples_available:
        return f"{row.examples_needed:,}{per}"
    return f"about {row.examples_needed:,}{per}; {there}"
