"""`chaintune report`: the report of a finished run, again or in another format."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from chaintune.cli.output import echo
from chaintune.errors import ChaintuneError

if TYPE_CHECKING:
    from chaintune.records import Task

_LOG = logging.getLogger(__name__)


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="The --out folder of a run, or of several.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results of several runs together, which may be one of theirs. "
            "[default: runs/NAME-OF-STUDY-joined]",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        Literal["md", "html", "json"], typer.Option("--format", help="What to print; of html, where the page is.")
    ] = "md",
) -> None:
    """Write DIR/report.md, DIR/report.html and DIR/figures/ anew from the results in DIR, and print the report.

    Several runs of one study that differ in seed are joined into the results that one run with all of their seeds would
    have had, from their folders alone: so seeds can be computed on several machines, or one in a sitting.

    report.html is one file that needs no network: open it in a browser, send it, print it. The items that it quotes
    come from the tasks' data, read again; where that is not at hand, or is no longer what was scored, their ids do.
    """
    from chaintune.report.folder import PAGE, read_provenance, write_report

    folder = folders[0]
    if len(folders) > 1 or out:
        from chaintune.runs.joining import join

        name = read_provenance(folder)["study"]
        folder = out or Path("runs") / f"{name}-joined"
        join(folders, folder, command=["chaintune", *sys.argv[1:]])
    text = write_report(folder, _tasks(folder / "study.resolved.yaml"))
    if form == "html":
        echo(str(folder / PAGE))
    else:
        echo((folder / "results.json").read_text(encoding="utf-8") if form == "json" else text, nl=False)


def _tasks(study: Path) -> "dict[str, Task]":
    """The tasks of a study whose data can be loaded again."""
    from chaintune.study.study import Study
    from chaintune.study.task_spec import both_ways, load_spec

    loaded: dict[str, Task] = {}
    try:
        read = Study.from_yaml(study)
    except ChaintuneError as error:
        _LOG.warning("the page has ids instead of texts: %s", error)
        return {}
    for name, spec in read.tasks.items():
        try:
            loaded[name] = load_spec(name, spec, chat=read.chat, allow_overlap=read.allow_overlap)
            loaded |= both_ways({name: loaded[name]}, read.tasks, read.chat)
        except ChaintuneError as error:
            _LOG.warning("the page has ids instead of the texts of task '%s': %s", name, error)
    return loaded
