"""What every command that ends in comparisons shares: its options, the gate, printing, and the exit code."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from chaintune.errors import ConfigError

if TYPE_CHECKING:
    from chaintune.gate import Policy
    from chaintune.records import Comparison, Gate

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}


@dataclass(frozen=True)
class Comparing:
    """Options of a comparison; the fields are called as those of `logs.compare_all` are."""

    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="DIM", help="Dimension or field of the log; repeat it; 'A x B' crosses two."),
    ] = None
    metric: Annotated[str | None, typer.Option(help="Which score, where there are several.")] = None
    on_missing: Annotated[
        Literal["error", "intersect"], typer.Option(help="What to do with examples of one side only.")
    ] = "error"
    level: Annotated[float, typer.Option(help="Confidence level of the intervals.")] = 0.95
    margin: Annotated[float, typer.Option(help="A change within it counts as none, in shares of the score.")] = 0.02
    adjust: Annotated[
        Literal["holm", "bh"],
        typer.Option("--multiplicity", help="Correction for the number of groups of a dimension."),
    ] = "holm"
    reference: Annotated[
        Literal["overall", "rest"], typer.Option(help="What the biased forgetting of a group is relative to.")
    ] = "overall"
    resamples: Annotated[int, typer.Option(help="Random halves of the clusters that are drawn.")] = 10_000
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0
    force: Annotated[bool, typer.Option("--force", help="Compare what is not comparable, and say so.")] = False


@dataclass(frozen=True)
class Telling:
    """Options of what becomes of comparisons."""

    policy: Annotated[Path | None, typer.Option(help="Judge by these budgets.", show_default=False)] = None
    form: Annotated[Literal["text", "md", "json"], typer.Option("--format", help="What to print.")] = "text"
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here too; needs --policy.")] = None


def tell(
    compare: Callable[..., "Sequence[Comparison]"],
    comparing: Comparing,
    telling: Telling,
    *,
    keep: "Callable[[Sequence[Comparison], Gate | None], None] | None" = None,
) -> int:
    """Compare, judge by the policy if there is one, print; the exit code.

    Args:
        compare: takes the fields of `Comparing`, and `also_by` for the policy's dimensions, by name. It is called once
            the policy has been read, so that a slip in the policy is told before anything is scored.
        comparing: how to compare.
        telling: how to judge and print.
        keep: called with what was found before it is printed, to write it down.

    Raises:
        ConfigError: an option or a policy that cannot be meant, or a file that cannot be written.
    """
    rules = _policy(telling)
    also = list(rules.dimensions) if rules else []
    options: dict[str, Any] = asdict(comparing) | {"by": comparing.by or [], "also_by": also}
    comparisons = compare(**options)
    gate = _judged(rules, comparisons, telling.junit)
    if keep:
        keep(comparisons, gate)
    _show(comparisons, gate, telling.form)
    return EXIT_CODES[gate.answer] if gate else 0


def _policy(telling: Telling) -> "Policy | None":
    if telling.policy is None:
        if telling.junit:
            raise ConfigError("--junit writes what a policy says; name one with --policy")
        return None
    from chaintune.gate import read_policy

    return read_policy(telling.policy)


def _judged(rules: "Policy | None", comparisons: "Sequence[Comparison]", junit: Path | None) -> "Gate | None":
    if rules is None:
        return None
    from chaintune.gate import judge
    from chaintune.report.gate import junit_xml

    gate = judge(rules, comparisons)
    if junit:
        try:
            junit.write_text(junit_xml(gate), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{junit}: cannot be written ({error.strerror})") from error
    return gate


def _show(comparisons: "Sequence[Comparison]", gate: "Gate | None", form: str) -> None:
    from chaintune.report import comparison as told

    if form == "json":
        typer.echo(told.comparison_json(comparisons, gate.to_dict() if gate else None))
    elif form == "md":
        typer.echo(told.comparison_markdown(comparisons, gate), nl=False)
    else:
        from chaintune.cli.display import print_tables
        from chaintune.report.gate import gate_sentence, gate_table
        from chaintune.report.markdown import visible
        from chaintune.report.words import sentence

        for comparison in comparisons:
            typer.echo(visible(sentence(comparison)) + "\n")
            print_tables(told.comparison_tables(comparison))
        if gate:
            print_tables([gate_table(gate)])
            typer.echo(gate_sentence(gate))
