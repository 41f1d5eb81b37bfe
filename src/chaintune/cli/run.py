"""`chaintune run`: train and score what a study asks for, and report what was forgotten, and by whom."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from chaintune.cli.amounts import read_size, read_span
from chaintune.cli.options import MaxStore, Out, Overrides, RemoteCode, StoreRoot, StudyFile


def run(
    study: StudyFile,
    out: Out = None,
    store: StoreRoot = None,
    overrides: Overrides = None,
    executor: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Who computes: this process, or the workers of a Ray cluster, as many as it has room for."),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="A running Ray cluster, such as ray-head:6379 or auto. [default: RAY_ADDRESS, else a new one here]",
            show_default=False,
        ),
    ] = None,
    autoscale: Annotated[
        str,
        typer.Option(
            metavar="SPAN",
            help="With ray: ask a cluster that grows by demand for machines, and wait so long for the first: 15m.",
            show_default=False,
        ),
    ] = "",
    max_store: MaxStore = "",
    trust_remote_code: RemoteCode = False,
) -> int:
    """Run a study: tune its chains, score every checkpoint, report forgetting and biased forgetting.

    Interrupt it at any time; the same command goes on where it stopped and computes nothing twice.
    Results land in OUT: report.html, report.md, figures/, results.parquet, results.json, scores/, study.resolved.yaml,
    provenance.json.
    """
    from chaintune.cli.display import RunDisplay, print_tables
    from chaintune.errors import ConfigError
    from chaintune.execution.pending import PendingWork
    from chaintune.report.folder import write_report
    from chaintune.report.markdown import visible
    from chaintune.report.tables import main_tables
    from chaintune.report.words import summary
    from chaintune.runs.session import prepare
    from chaintune.store.address import open_store
    from chaintune.study.study import Study

    about_ray = [name for name, value in (("--address", address), ("--autoscale", autoscale)) if value]
    if about_ray and executor != "ray":
        raise ConfigError(f"{about_ray[0]} is about a Ray cluster; add --executor ray")
    growth = read_span(autoscale, "--autoscale")
    most = read_size(max_store, "--max-store")
    wish = Study.from_yaml(study, overrides or ())
    folder = out or Path("runs") / wish.name
    session = prepare(wish, open_store(store), trust_remote_code=trust_remote_code)
    pending = PendingWork(session.plan, session.store).pending()
    with RunDisplay(session.plan, pending) as display:
        found = session.run(
            folder,
            on_event=display.note,
            command=_command(),
            executor=executor,
            address=address,
            growth_seconds=growth.total_seconds() if growth else None,
            max_store=most,
            trust_remote_code=trust_remote_code,
        )
    write_report(folder, session.tasks)
    print_tables(main_tables(found.rows, level=found.level))
    typer.echo(visible(summary(found.rows, level=found.level)))
    made, reused = len(found.outcome.of("made")), len(found.outcome.of("reused"))
    typer.echo(f"\n{made} computed, {reused} reused; the whole report is {folder}/report.html")
    for result in found.outcome.of("failed"):
        typer.echo(f"chaintune: {result.node.title} failed: {result.cause}", err=True)
    return 0 if found.outcome.complete else 2


def _command() -> list[str]:
    return ["chaintune", *sys.argv[1:]]
