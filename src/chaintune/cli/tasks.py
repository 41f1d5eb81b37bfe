"""`chaintune tasks`: the tasks that are known, or one of them in detail."""

from typing import Annotated

import typer

from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.options import AsJson
from chaintune.cli.output import echo
from chaintune.cli.power import PowerFlags, assumptions, power_json, power_table
from chaintune.errors import ConfigError, number_of


@expand_dataclasses
def tasks(
    power_flags: PowerFlags,
    name: Annotated[str | None, typer.Argument(help="A task to show in detail.", show_default=False)] = None,
    as_json: AsJson = False,
    show_offensive: Annotated[
        bool, typer.Option("--show-offensive", help="Show sample prompts also where they hold slurs and hate.")
    ] = False,
    test: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="With --power: how many examples would be tested, such as 400 or '40 per category'. [default: all]",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="With --power: how many seeds would be trained.")] = 1,
) -> int:
    """List the known tasks, or show one: counts per group, three rendered prompts, source and licence.

    With --power: what a comparison on it could show, and how many examples and seeds that takes.

    `lm_eval:NAME` shows any multiple-choice task of lm-evaluation-harness. A file of your own (JSONL, JSON, CSV,
    Parquet) or a data set on the Hub is a task too: name it and its columns in the study file.
    """
    import json

    from chaintune import tasks as known_tasks
    from chaintune.cli.display import print_tables
    from chaintune.report.tables import Table

    power_flags.check()
    if not power_flags.power and (test or seeds > 1):
        raise ConfigError("--test and --seeds are about power; add --power")
    if power_flags.power:
        if name is None:
            raise ConfigError("--power is about one task; write its name, as in 'chaintune tasks bbq --power'")
        flips, whole = power_flags.assumed(), known_tasks.load(name)
        powers = known_tasks.power_rows(known_tasks.sample_test(whole, test), whole, flips, seeds=seeds)
        if as_json:
            echo(json.dumps(power_json(flips, seeds, {name: powers}), indent=2))
        else:
            print_tables([power_table(name, powers)])
            echo(assumptions(flips, seeds))
        return 0
    if name is None:
        echo(json.dumps(list(known_tasks.names())) if as_json else "\n".join(known_tasks.names()))
        return 0
    hidden = known_tasks.is_offensive(name) and not show_offensive
    shown = known_tasks.describe(known_tasks.load(name), prompts=0 if hidden else 3)
    if hidden:
        echo(f"prompts of '{name}' hold slurs and hate, so none is shown; --show-offensive shows some", err=True)
    if as_json:
        echo(json.dumps(shown.to_dict(), indent=2))
        return 0
    echo(f"{shown.name}: {shown.role}, version {shown.version}")
    echo(f"source: {shown.source}\nlicence: {shown.licence}")
    if shown.max_new_tokens is not None:
        scorer = f"judged by scorer '{shown.scorer}'" if shown.scorer else "judged by a scorer that you name"
        echo(f"a model writes up to {number_of(shown.max_new_tokens, 'token')} to each prompt, {scorer}")
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
        answered = "" if shown.max_new_tokens is not None else ", each with its right answer"
        echo(f"Prompts{answered} (they may offend):\n")
        echo("\n\n".join(shown.prompts))
    return 0
