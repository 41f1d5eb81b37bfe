"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

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
