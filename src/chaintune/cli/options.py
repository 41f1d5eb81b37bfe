"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.", show_default=False)]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for the results. [default: runs/NAME-OF-STUDY]", show_default=False)
]
StoreRoot = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="CHAINTUNE_STORE",
        help="Folder where finished stages and scores lie, shared by all studies. [default: .chaintune]",
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
