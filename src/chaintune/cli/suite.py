"""`chaintune suite`: the suites that are shipped, and the file of one."""

from typing import Annotated

import typer

from chaintune.cli.output import echo

suite = typer.Typer(
    help="Suites of tasks for `chaintune audit --suite`; `score`, `mitigate` and `rescore` take them too.",
    no_args_is_help=True,
)


@suite.command("list")
def list_suites() -> None:
    """List the shipped suites, each with its tasks."""
    from chaintune.study.suite import read_suite, suite_names

    for name in suite_names():
        echo(f"{name}: {', '.join(read_suite(name).data['tasks'])}")


@suite.command()
def show(name: Annotated[str, typer.Argument(metavar="SUITE", help="Name of the suite.", show_default=False)]) -> None:
    """Print the file of a suite, for you to copy and edit: chaintune suite show chat-safety > mine.yaml."""
    from chaintune.study.suite import suite_text

    echo(suite_text(name).removesuffix("\n"))
