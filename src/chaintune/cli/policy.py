"""`chaintune policy`: write a policy to begin with."""

from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from chaintune.cli.output import echo
from chaintune.errors import ConfigError

policy = typer.Typer(help="Budgets of forgetting for `chaintune compare --policy`.", no_args_is_help=True)


@policy.callback()
def _group() -> None:
    """Budgets of forgetting for `chaintune compare --policy`."""


@policy.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path("policy.yaml"),
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            "--scores",
            metavar="SCORES",
            help="Propose budgets that can be kept at the sizes of these scores or log; repeat it for the side after.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a commented policy to begin with; a file that is there is left alone."""
    if path.exists():
        raise ConfigError(f"{path}: there is a file already; name another one, or remove it")
    if scores:
        from chaintune.gate.proposal import proposed_policy

        text = proposed_policy(scores)
    else:
        text = resources.files("chaintune.gate").joinpath("starter.yaml").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path}: there is a file already; name another one, or remove it") from None
    except OSError as error:
        with suppress(OSError):
            path.unlink()  # what a full disk has room for is no policy
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error
    echo(f"wrote {path}")
