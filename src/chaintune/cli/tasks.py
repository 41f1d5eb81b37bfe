"""`chaintune tasks`: the tasks that are known, or one of them in detail."""

from typing import Annotated

import typer

from chaintune.cli.options import AsJson
from chaintune.cli.output import echo
from chaintune.errors import number_of


def tasks(
    name: Annotated[str | None, typer.Argument(help="A task to show in detail.", show_default=False)] = None,
    as_json: AsJson = False,
    show_offensive: Annotated[
        bool, typer.Option("--show-offensive", help="Show sample prompts also where they hold slurs and hate.")
    ] = False,
) -> None:
    """List the known tasks, or show one: counts per group, three rendered prompts, source and licence.

    `lm_eval:NAME` shows any multiple-choice task of lm-evaluation-harness. A file of your own (JSONL, JSON, CSV,
    Parquet) or a data set on the Hub is a task too: name it and its columns in the study file.
    """
    import json

    from chaintune import tasks as known_tasks
    from chaintune.cli.display import print_tables
    from chaintune.report.tables import Table

    if name is None:
        echo(json.dumps(list(known_tasks.names())) if as_json else "\n".join(known_tasks.names()))
        return
    hidden = known_tasks.is_offensive(name) and not show_offensive
    shown = known_tasks.describe(known_tasks.load(name), prompts=0 if hidden else 3)
    if hidden:
        echo(f"prompts of '{name}' hold slurs and hate, so none is shown; --show-offensive shows some", err=True)
    if as_json:
        echo(json.dumps(shown.to_dict(), indent=2))
        return
    echo(f"{shown.name}: {shown.role}, version {shown.version}")
    echo(f"source: {shown.source}\nlicence: {shown.licence}")
    sizes = [
        f"{number_of(split.examples, 'example')} in {number_of(split.clusters, 'cluster')}"
        for split in (shown.train, shown.test)
    ]
    echo(f"train: {sizes[0]}\ntest: {sizes[1]}\n")
    for dimension, counts in shown.test.groups.items():
        in_train = shown.train.groups[dimension]
        groups = sorted({*counts, *in_train})
        rows = tuple((group, f"{in_train.get(group, 0):,}", f"{counts.get(group, 0):,}") for group in groups)
        print_tables([Table(f"Examples by {dimension}", "", (dimension, "train", "test"), rows)])
    if not hidden:
        echo("Prompts, each with its right answer (they may offend):\n")
        echo("\n\n".join(shown.prompts))
