"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from chaintune.errors import ConfigError

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.", show_default=False)]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for the results. [default: runs/NAME-OF-STUDY]", show_default=False)
]
StoreRoot = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="FOLDER|URL",
        envvar="CHAINTUNE_STORE",
        help="Where finished stages and scores lie, shared by all studies: a folder, or a URL such as "
        "s3://bucket/prefix. [default: .chaintune]",
        show_default=False,
    ),
]
MaxStore = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="The most that the store may take, such as 50GB; a run that needs more does not begin.",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the study file, e.g. recipe.learning_rate=1e-4."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RemoteCode = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run Python code that comes with a model. Only for models you trust."),
]
ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="NAME",
        help="Who computes: local (this process), or ray (a Ray cluster, as many jobs at once as it has room for).",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="A running Ray cluster, such as ray-head:6379 or auto. [default: RAY_ADDRESS, else a new one here]",
        show_default=False,
    ),
]


def check_address(executor: str, address: str | None) -> None:
    """Refuse an address for an executor that takes none.

    Raises:
        ConfigError: it does not, or there is no such executor.
    """
    from chaintune.execution.executors import EXECUTORS

    if address and not EXECUTORS.get(executor).takes_address:
        raise ConfigError("--address is about a Ray cluster; add --executor ray")
