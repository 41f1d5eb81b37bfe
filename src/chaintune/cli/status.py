"""`chaintune status`: where a run stands, from another terminal."""

import json
from pathlib import Path
from typing import Annotated

import typer

from chaintune.cli.options import AsJson
from chaintune.cli.output import echo


def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of a run.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show the progress of a run: what is done, what is running, and the time left."""
    from chaintune.cli.amounts import duration
    from chaintune.execution.status import read_status

    run = read_status(folder)
    if as_json:
        echo(json.dumps(run.to_dict(), indent=2))
        return
    journal, nodes = run.journal, run.journal["nodes"]
    done = nodes["made"] + nodes["reused"]
    echo(f"{journal['study']}: {run.state}, {done} of {nodes['total']} done")
    if run.state == "dead":
        echo("the process that ran it is gone; run the study again to resume")
    for node in journal["running"] if run.state == "running" else ():
        progress = f": {node['done']:.0f} of {node['total']:.0f} {node['unit']}" if node.get("total") else ""
        echo(f"now: {node['kind']} {node['title']}{progress}")
    if journal["seconds_left"] is not None and run.state == "running":
        echo(f"left: about {duration(journal['seconds_left'])}")
    for trouble in journal["failed"] + journal["skipped"]:
        echo(f"not done: {trouble['title']}: {trouble['cause']}")
    if journal["cause"]:
        echo(f"cause: {journal['cause']}")
