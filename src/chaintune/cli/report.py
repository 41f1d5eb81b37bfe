"""`chaintune report`: the report of a finished run, again or in another format."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from chaintune.cli.options import Tables
from chaintune.cli.output import echo
from chaintune.errors import ConfigError


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="The --out folder of a run, or of several.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the joined results of several runs; it may be one of their folders. "
            "[default: runs/NAME-OF-STUDY-joined]",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        Literal["text", "md", "html", "json"],
        typer.Option(
            "--format", help="What to print: the summary as at the end of a run, report.md, the page's path, or JSON."
        ),
    ] = "text",
    variant: Annotated[
        str | None, typer.Option(help="Report only this variant of the study; part of its name is enough.")
    ] = None,
    tables: Tables = "few",
) -> None:
    """Write DIR/report.md, DIR/report.html and DIR/figures/ again from the results in DIR, and print a summary.

    Several runs of one study that differ in seed are joined into the results that one run with all of their seeds would
    have had. Only their folders are read, so seeds can be computed on several machines, or one after another.

    report.html is one file that needs no network: open it in a browser, send it, print it. The items that it quotes are
    read again from the tasks' data; if the data are missing or have changed, it shows only their ids.
    """
    from chaintune.finished import load
    from chaintune.shown import Shown

    folder = folders[0]
    if len(folders) > 1 or out:
        from chaintune.files.names import file_names
        from chaintune.report.folder import read_provenance
        from chaintune.runs.joining import join

        # A name from somebody's folder leads nowhere else.
        (name,) = file_names([f"{read_provenance(folder)['study']}-joined"], "")
        folder = out or Path("runs") / name
        join(folders, folder, command=["chaintune", *sys.argv[1:]])
    from chaintune.report.folder import read_results, tasks_of, write_report

    page = folder / "report.html"
    if variant is not None:
        results = read_results(folder).of_variant(variant)
        write_report(folder, tasks_of(folder), results=results)
        variant = results.variant
    else:
        loaded = load(folder)
        if not isinstance(loaded, Shown):
            raise ConfigError(
                f"{folder}: scores of one model have no report; compare them with the scores of another model"
            )
        page, results = loaded.report(folder), read_results(folder)
    if form == "html":
        echo(str(page))
        return
    if form == "text":
        from chaintune.cli.display import print_results

        echo(f"{results.title}\n")
        print_results(results, tables, str(page))
        return
    plain = next((name for name in ("results.json", "comparison.json") if (folder / name).is_file()), "")
    if form == "json" and not plain:
        raise ConfigError(
            f"{folder}: no results.json there; 'chaintune report {folder} --out DIR' writes everything again"
        )
    text = (folder / (plain if form == "json" else "report.md")).read_text(encoding="utf-8")
    echo(_of_variant(text, variant) if variant and form == "json" else text, nl=False)


def _of_variant(text: str, variant: str) -> str:
    """The JSON of results with the rows of one variant, and of the base."""
    content = json.loads(text)
    content |= {"rows": [row for row in content["rows"] if row["variant"] in ("", variant)]}
    return json.dumps(content, indent=2) + "\n"
