"""What every command that ends in comparisons shares: its options, printing, and the exit code."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from chaintune.cli.options import Tables
from chaintune.cli.output import echo
from chaintune.errors import ConfigError
from chaintune.files.atomic import write_bytes
from chaintune.files.disk import os_errors_as_store_error

if TYPE_CHECKING:
    from chaintune.forgetting.power import OnDraw
    from chaintune.gate import Policy
    from chaintune.logs.options import CompareOptions, ReadOptions
    from chaintune.records import Comparison, Gate

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}


@dataclass(frozen=True)
class CompareFlags:
    """Options of how two checkpoints are compared."""

    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="DIM",
            help="Dimension, or field of the log; 'A x B' crosses two; repeat for more.",
        ),
    ] = None
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="[TASK=]METRIC",
            help="Metric to compare; repeat the option for other tasks, or for more metrics beside the first.",
        ),
    ] = None
    on_missing: Annotated[
        Literal["error", "intersect", "drop"],
        typer.Option(
            help="What to do with examples of one side only: refuse them, count them at best and worst, or assume that "
            "they are missing at random."
        ),
    ] = "error"
    level: Annotated[float, typer.Option(help="Confidence level of the intervals.")] = 0.95
    margin: Annotated[
        str, typer.Option(help="Largest loss that counts as none: a share of the score, or '0.05 nats'.")
    ] = "0.02"
    adjust: Annotated[
        Literal["minp", "holm", "bh"],
        typer.Option("--multiplicity", "--adjust", help="Multiplicity correction over groups and tasks."),
    ] = "minp"
    reference: Annotated[Literal["overall", "rest"], typer.Option(help="Reference of a group's biased forgetting.")] = (
        "overall"
    )
    resamples: Annotated[int, typer.Option(help="Number of random halves of the clusters to draw.")] = 10_000
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random halves.")] = 0
    force: Annotated[bool, typer.Option("--force", help="Compare even what is not comparable, and say so.")] = False
    chosen_of: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="K",
            help="Number of checkpoints from which AFTER (in a series the last, of rivals each) was chosen by these "
            "scores.",
        ),
    ] = 1
    power: Annotated[
        bool,
        typer.Option(
            "--power",
            help="Simulate comparisons like this one to estimate how often they show a loss of 5 and of 10 points. "
            "Takes up to a few minutes for each task and pair of checkpoints.",
        ),
    ] = False

    def options(self, read: "ReadOptions | None" = None, *, policy: "Policy | None" = None) -> "CompareOptions":
        """The options of a comparison, checked; by the dimensions of the policy too, where a task has them."""
        from chaintune.forgetting.options import Inference
        from chaintune.logs.options import CompareOptions, ReadOptions, metric_options

        return CompareOptions(
            by=tuple(self.by or ()),
            also_by=policy.dimensions if policy else (),
            on_missing=self.on_missing,
            force=self.force,
            read=replace(read or ReadOptions(), **metric_options(metrics_of(self.metric or ()))),
            inference=Inference(
                self.level, self.resamples, self.seed, self.adjust, self.reference, _number_or_text(self.margin)
            ),
            chosen_of=self.chosen_of,
            power=self.power,
        )


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def metrics_of(texts: Sequence[str]) -> dict[str, list[str]]:
    """`acc` and `task=acc` as the metrics of all tasks, whose name is empty, and those of single ones, in order."""
    metrics: dict[str, list[str]] = {}
    for text in texts:
        task, equals, name = (part.strip() for part in text.rpartition("="))
        if not name or (equals and not task):
            raise ConfigError(f"--metric {text}: expected METRIC, or TASK=METRIC")
        metrics.setdefault(task, []).append(name)
    return metrics


@dataclass(frozen=True)
class SeriesFlags:
    """Options of more than two checkpoints."""

    against_first: Annotated[
        bool,
        typer.Option("--against-first", help="The later checkpoints are rivals: compare each only with the first."),
    ] = False


@dataclass(frozen=True)
class OutputFlags:
    """Options of how comparisons are judged and printed."""

    policy: Annotated[
        Path | None, typer.Option(help="Policy file whose budgets judge the comparison.", show_default=False)
    ] = None
    policy_on: Annotated[
        Literal["last", "each"] | None,
        typer.Option(
            help="Judge only the last checkpoint against the first, or each step too. [default: last; rivals: each]",
            show_default=False,
        ),
    ] = None
    form: Annotated[Literal["text", "md", "json"], typer.Option("--format", help="Format of the output.")] = "text"
    tables: Tables = "few"
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML to this file; needs --policy.")] = None

    def read_policy(self) -> "Policy | None":
        """The policy that is named, if one is."""
        if self.policy is None:
            if self.junit:
                raise ConfigError("--junit writes the judgements of a policy; name one with --policy")
            if self.policy_on:
                raise ConfigError("--policy-on says what a policy judges; name one with --policy")
            return None
        from chaintune.gate import read_policy

        return read_policy(self.policy)


def check_several(checkpoints: Sequence[object]) -> None:
    """Refuse a checkpoint alone.

    Raises:
        ConfigError: there is but one.
    """
    if len(checkpoints) == 1:
        raise ConfigError(f"{checkpoints[0]}: expected two checkpoints or more, the earliest first; name a second one")


class _NoPandas(MetaPathFinder):
    """Says of pandas that it is not installed."""

    def find_spec(self, fullname: str, *_: object) -> None:
        """Nothing, of all else."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def spare_pandas() -> None:
    """Have pyarrow not load pandas at its first array, which takes a third of the time that a comparison takes.

    What is compared lies in files, and no frame is handed over. Where one is asked for later, pyarrow looks again.
    """
    import pyarrow as pa

    absent = _NoPandas()
    sys.meta_path.insert(0, absent)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(absent)


def report_comparisons(
    comparisons: "Sequence[Comparison]", gate: "Gate | None", output: OutputFlags, folder: Path | None = None
) -> int:
    """Print comparisons and what a policy says of them; the exit code.

    Raises:
        ConfigError, StoreError: a file cannot be written.
    """
    from chaintune.report.results import Results

    if gate and output.junit:
        from chaintune.report.gate import junit_xml

        write_text(output.junit, junit_xml(gate))
    if output.form == "json":
        from chaintune.report.comparison import comparison_json

        echo(comparison_json(comparisons, gate.to_dict() if gate else None))
    elif output.form == "md":
        from chaintune.report.markdown import markdown

        echo(markdown(Results.of(comparisons, gate)), nl=False)
    else:
        from chaintune.cli.display import print_results

        where = "" if folder is None else f"{folder}/report.html"
        print_results(Results.of(comparisons, gate), output.tables, where)
        if where:
            echo(f"\nthe whole report is {where}")
    return EXIT_CODES[gate.answer] if gate else 0


@contextmanager
def simulating(options: "CompareOptions") -> "Iterator[OnDraw | None]":
    """Shows on stderr how far the simulation of power is, where it is asked for."""
    if not options.power:
        yield None
        return
    from chaintune.cli.display import counting

    with counting("simulated comparisons") as note:
        yield note


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, with the line ends of the text.

    Raises:
        ConfigError: there is no such folder.
        StoreError: it cannot be written.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: cannot be written, as there is no folder {path.parent}")
    with os_errors_as_store_error(path, "cannot be written"):
        write_bytes(path, text.encode())
