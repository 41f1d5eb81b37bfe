"""`chaintune run`: train and score what a study asks for, and report what was forgotten, and by whom."""

import sys
from pathlib import Path

import typer

from chaintune.cli.amounts import read_size
from chaintune.cli.options import (
    Address,
    ExecutorName,
    MaxStore,
    Out,
    Overrides,
    RemoteCode,
    StoreRoot,
    StudyFile,
    check_address,
)


def run(
    study: StudyFile,
    out: Out = None,
    store: StoreRoot = None,
    overrides: Overrides = None,
    executor: ExecutorName = "local",
    address: Address = None,
    max_store: MaxStore = "",
    trust_remote_code: RemoteCode = False,
) -> int:
    """Run a study: tune its chains, score every checkpoint, report forgetting and biased forgetting.

    Interrupt it at any time; the same command goes on where it stopped and computes nothing twice.
    Results land in OUT: report.html, report.md, figures/, results.parquet, results.json, scores/, study.resolved.yaml,
    provenance.json.
    """
    from chaintune.cli.display import RunDisplay, print_tables
    from chaintune.report.folder import write_report
    from chaintune.report.markdown import visible
    from chaintune.report.tables import main_tables
    from chaintune.report.words import summary
    from chaintune.store.address import open_store
    from chaintune.study.study import Study

    check_address(executor, address)
    most = read_size(max_store, "--max-store")
    wish = Study.from_yaml(study, overrides or ())
    from chaintune.runs.session import prepare  # loads torch, which reading a study does not need

    folder = out or Path("runs") / wish.name
    session = prepare(wish, open_store(store), trust_remote_code=trust_remote_code)
    with RunDisplay(session.plan) as display:
        results = session.run(
            folder,
            on_event=display.note,
            command=_command(),
            executor=executor,
            address=address,
            max_store=most,
            trust_remote_code=trust_remote_code,
        )
    write_report(folder, session.tasks)
    print_tables(main_tables(results.rows, level=results.level))
    typer.echo(visible(summary(results.rows, level=results.level)))
    made, reused = len(results.outcome.of("made")), len(results.outcome.of("reused"))
    typer.echo(f"\n{made} computed, {reused} reused; the whole report is {folder}/report.html")
    for result in results.outcome.of("failed"):
        typer.echo(f"chaintune: {result.node.title} failed: {result.cause}", err=True)
    return 0 if results.outcome.complete else 2


def _command() -> list[str]:
    return ["chaintune", *sys.argv[1:]]
