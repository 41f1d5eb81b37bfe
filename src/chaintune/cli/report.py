"""`chaintune report`: the report of a finished run, again or in another format."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of a run.", show_default=False)],
    form: Annotated[Literal["md", "json"], typer.Option("--format", help="What to print.")] = "md",
) -> None:
    """Write DIR/report.md anew from DIR/results.parquet, and print it."""
    from chaintune.report.folder import write_report

    text = write_report(folder)
    typer.echo((folder / "results.json").read_text(encoding="utf-8") if form == "json" else text, nl=False)
