"""`chaintune compare`: what was forgotten between two score files, or two logs of another harness."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from chaintune.errors import ConfigError

if TYPE_CHECKING:
    from chaintune.gate import Policy
    from chaintune.records import Comparison, Gate

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}

Side = Annotated[
    Path, typer.Argument(help="Score file, table of id and score, or lm-eval's samples.", show_default=False)
]
By = Annotated[
    list[str] | None,
    typer.Option("--by", metavar="DIM", help="Dimension or field of the log; repeat it; 'A x B' crosses two."),
]
Columns = Annotated[str | None, typer.Option("--columns", help="Other names: id=qid,score=acc.", show_default=False)]
Cluster = Annotated[
    str | None, typer.Option("--cluster", metavar="FIELD", help="Examples alike here are not independent.")
]
Scale = Annotated[
    str | None, typer.Option("--scale", metavar="WORST,BEST", help="Ends of the scores, where not 0 and 1.")
]


def compare(
    before: Side,
    after: Side,
    by: By = None,
    task: Annotated[str | None, typer.Option(help="Compare this task only.", show_default=False)] = None,
    policy: Annotated[Path | None, typer.Option(help="Judge by these budgets.", show_default=False)] = None,
    form: Annotated[Literal["text", "md", "json"], typer.Option("--format", help="What to print.")] = "text",
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here too; needs --policy.")] = None,
    on_missing: Annotated[
        Literal["error", "intersect"], typer.Option(help="What to do with examples of one side only.")
    ] = "error",
    level: Annotated[float, typer.Option(help="Confidence level of the intervals.")] = 0.95,
    margin: Annotated[float, typer.Option(help="A change within it counts as none, in shares of the score.")] = 0.02,
    multiplicity: Annotated[
        Literal["holm", "bh"], typer.Option(help="Correction for the number of groups of a dimension.")
    ] = "holm",
    reference: Annotated[
        Literal["overall", "rest"], typer.Option(help="What biased forgetting is relative to.")
    ] = "overall",
    resamples: Annotated[int, typer.Option(help="Random halves of the clusters that are drawn.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    metric: Annotated[str | None, typer.Option(help="Which score, where there are several.")] = None,
    columns: Columns = None,
    cluster: Cluster = None,
    scale: Scale = None,
    answers: Annotated[str | None, typer.Option("--filter", help="Which filter's answers of an lm-eval log.")] = None,
    reader: Annotated[str | None, typer.Option(help="Read as: chaintune, lm-eval, table.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare what is not comparable, and say so.")] = False,
) -> int:
    """Compare two checkpoints on the same examples: what was forgotten, and by whom. Loads no model.

    With --policy, judge it: code 0 when every blocking budget is kept, 1 when one is exceeded, 3 when the data do not
    tell or something required is missing.
    """
    from chaintune.interop import compare_all

    rules = _policy(policy, junit)
    asked = [*(by or ()), *(rules.dimensions if rules else ())]
    comparisons = compare_all(
        before,
        after,
        by=list(dict.fromkeys(asked)),
        task=task,
        metric=metric,
        columns=_pairs(columns),
        cluster=cluster,
        scale=_ends(scale),
        filter=answers,
        reader=reader,
        on_missing=on_missing,
        level=level,
        margin=margin,
        adjust=multiplicity,
        reference=reference,
        resamples=resamples,
        seed=seed,
        force=force,
    )
    gate = _judged(rules, comparisons, junit)
    _show(comparisons, gate, form)
    return EXIT_CODES[gate.answer] if gate else 0


def _policy(path: Path | None, junit: Path | None) -> "Policy | None":
    if path is None:
        if junit:
            raise ConfigError("--junit writes what a policy says; name one with --policy")
        return None
    from chaintune.gate import read_policy

    return read_policy(path)


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
        from chaintune.report.words import sentence

        for comparison in comparisons:
            typer.echo(sentence(comparison) + "\n")
            print_tables(told.comparison_tables(comparison))
        if gate:
            print_tables([gate_table(gate)])
            typer.echo(gate_sentence(gate))


def _pairs(text: str | None) -> dict[str, str]:
    """`id=qid,score=acc` as a mapping."""
    found = {}
    for part in text.split(",") if text else ():
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
