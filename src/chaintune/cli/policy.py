"""`chaintune policy`: write a policy to begin with."""

from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from chaintune.cli.compare import ReadFlags
from chaintune.cli.comparison import CompareFlags, spare_pandas
from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.output import echo
from chaintune.errors import ConfigError

policy = typer.Typer(help="Budgets of forgetting for `chaintune compare --policy`.", no_args_is_help=True)


@policy.callback()
def _group() -> None:
    """Budgets of forgetting for `chaintune compare --policy`."""


@policy.command()
@expand_dataclasses
def init(
    read_flags: ReadFlags,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")] = Path("policy.yaml"),
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            "--scores",
            metavar="SCORES",
            help="Propose budgets that can be kept at the sizes of these scores or this log; repeat the option for the "
            "scores after.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="DIM",
            help="Add budgets for the groups of this field of the log; repeat for more.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", metavar="[TASK=]METRIC", help="Metric of the budgets; repeat the option for other tasks."
        ),
    ] = None,
) -> int:
    """Write a commented policy to start from; an existing file is not overwritten."""
    if path.exists():
        raise ConfigError(f"{path}: there is a file already; name another one, or remove it")
    if scores:
        spare_pandas()
        from chaintune.gate.proposal import proposed_policy

        flags = CompareFlags(by=by, metric=metric, on_missing="intersect")
        text = proposed_policy(scores, flags.options(read_flags.options()))
    elif by or metric or read_flags != ReadFlags():
        raise ConfigError("policy init: --by, --task, --cluster and the like say how scores are read; add --scores")
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
    return 0
