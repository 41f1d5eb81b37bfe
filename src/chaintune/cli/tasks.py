"""`chaintune tasks`: the tasks that are known, or one of them in detail."""

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.options import AsJson
from chaintune.cli.output import echo
from chaintune.cli.power import PowerFlags, assumptions, power_json, power_table
from chaintune.errors import ConfigError, number_of

_WIDTHS = (15, 10, 14, 18, 15, 18)


@expand_dataclasses
def tasks(
    power_flags: PowerFlags,
    name: Annotated[str | None, typer.Argument(help="A task to show in detail.", show_default=False)] = None,
    as_json: AsJson = False,
    show_offensive: Annotated[
        bool, typer.Option("--show-offensive", help="Show sample prompts even if they contain slurs and hate.")
    ] = False,
    test: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="With --power: assumed number of test examples, such as 400 or '40 per category'. [default: all]",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="With --power: assumed number of seeds.")] = 1,
) -> int:
    """List the known tasks, or show one: counts per group, three rendered prompts, source and licence.

    The list says for each task whether its data are on this machine, and where, without reading or fetching them.

    With --power: the power of a comparison on the task, and how many examples and seeds 80 % power takes.

    `lm_eval:NAME` shows any multiple-choice task of lm-evaluation-harness. A file of your own (JSONL, JSON, CSV,
    Parquet) or a data set on the Hub is a task too: name it and its columns in the study file.
    """
    import json

    from chaintune import tasks as known_tasks

    power_flags.check()
    if not power_flags.power and (test or seeds > 1):
        raise ConfigError("--test and --seeds set sizes for power; add --power")
    if name is None:
        if power_flags.power:
            raise ConfigError("--power needs one task; write its name, as in 'chaintune tasks bbq --power'")
        echo(json.dumps(list(known_tasks.names())) if as_json else "\n".join(_listed(known_tasks.names())))
        return 0
    from chaintune.cli.display import print_tables
    from chaintune.report.cells import Table

    if power_flags.power:
        flips, whole = power_flags.assumed(), known_tasks.load(name)
        powers = known_tasks.power_rows(known_tasks.sample_test(whole, test), whole, flips, seeds=seeds)
        if as_json:
            echo(json.dumps(power_json(flips, seeds, {name: powers}), indent=2))
        else:
            print_tables([power_table(name, powers)])
            echo(assumptions(flips, seeds))
        return 0
    hidden = known_tasks.is_offensive(name) and not show_offensive
    shown = known_tasks.describe(known_tasks.load(name), prompts=0 if hidden else 3)
    if hidden:
        echo(f"prompts of '{name}' contain slurs and hate, so none is shown; --show-offensive shows some", err=True)
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


def _listed(names: Sequence[str]) -> list[str]:
    """A line for each task, and where data were looked for."""
    from chaintune.tasks.places import DATA_VARIABLE, at_hand
    from chaintune.tasks.registry import definition

    lines = [_line("task", "role", "rows", "dimensions", "licence", "data")]
    wheels = set[str]()
    for name in names:
        task = definition(name)
        rows = [f"{task.rows[part]:,}" for part in ("all", "train", "test") if part in task.rows]
        here = at_hand(task.places) if task.places else ""
        wheels |= {task.places.wheel} if task.places and task.places.wheel else set()
        data = (here or "not here") if task.places else "not known"
        licence = task.licence.partition(" (")[0]
        lines.append(_line(name, task.role, " + ".join(rows), _dimensions(task.dimensions), licence, data))
    folder = os.environ.get(DATA_VARIABLE, "not set")
    return [
        *lines,
        "",
        f"Looked in: {DATA_VARIABLE} ({folder}), the wheels {', '.join(sorted(wheels))}, the Hub's cache.",
        "Other data are fetched from the Hub if the network allows it; 'chaintune tasks NAME' shows one task.",
    ]


def _line(*cells: str) -> str:
    """A row of the list, at most 100 letters wide; what is longer than its column is cut."""
    cut = (cell if len(cell) <= width else f"{cell[: width - 1]}." for cell, width in zip(cells, _WIDTHS, strict=True))
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cut, _WIDTHS, strict=True)).rstrip()


def _dimensions(names: Sequence[str]) -> str:
    """As many dimensions as there is room for, and the number of the others."""
    for shown in range(len(names), 0, -1):
        more = [f"+{len(names) - shown}"] if shown < len(names) else []
        if len(text := ", ".join([*names[:shown], *more])) <= _WIDTHS[3] or shown == 1:
            return text
    return ""
