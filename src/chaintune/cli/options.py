"""Options that several commands share."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from chaintune.cli.output import echo
from chaintune.errors import ConfigError
from chaintune.scoring.backends import Serving

if TYPE_CHECKING:
    from chaintune.execution.server_requests import ServerWork
    from chaintune.runs.session import RunOptions

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
        help="The store of finished stages and scores, shared by all studies: a folder, or a URL such as "
        "s3://bucket/prefix. [default: .chaintune]",
        show_default=False,
    ),
]
MaxStore = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="Size limit of the store, such as 50GB; a run that needs more does not begin.",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the study file, e.g. recipe.learning_rate=1e-4."
    ),
]
Tables = Annotated[
    Literal["few", "all", "none"],
    typer.Option("--tables", help="Which tables to print beside the sentences: the first ones, all, or none."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run code that comes with a model, and code and commands that a study names. Use only if you trust both.",
    ),
]


AllowUnused = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-unused",
        metavar="PATTERN",
        help="Allow weights in a model's files that the model does not use, such as 'vision_tower.*'; others are an "
        "error.",
        show_default=False,
    ),
]


_SERVERS = "Models behind a server"


def _tokenizers(texts: Sequence[str]) -> str | dict[str, str]:
    """The tokenizer of every served model, or by name."""
    if len(texts) <= 1 and not any("=" in text for text in texts):
        return "".join(texts)
    named = dict(text.partition("=")[::2] for text in texts)
    if not all(named.values()):
        raise ConfigError(f"--tokenizer {' '.join(texts)}: expected NAME=MODEL for each, NAME as in openai:URL#NAME")
    return named


@dataclass(frozen=True)
class Allowance:
    """How much servers may be asked.

    Attributes:
        max_requests: at most; None leaves it to `yes`.
        yes: whether any number will do.
    """

    max_requests: int | None = None
    yes: bool = False

    def __call__(self, work: "Sequence[ServerWork]") -> None:
        """Say what servers are about to be asked, and have it agreed to; a server of this machine needs no leave.

        Raises:
            ConfigError: it is more than may be asked, or nobody is there to agree.
        """
        from chaintune.execution.server_requests import check_requests

        for one in work:
            echo(f"to be asked of {one}", err=True)
        if self.max_requests is not None:
            check_requests(work, self.max_requests)
            return
        if self.yes or all(one.is_here for one in work):
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            requests = sum(one.requests for one in work)
            raise ConfigError(
                f"{requests:,} requests would go to a server that is not on this machine, and no terminal "
                f"is there to confirm them; add --yes, or --max-requests {requests}"
            )
        if not typer.confirm("Send them?", err=True):
            raise ConfigError("no request was sent; take fewer examples (--test)")


@dataclass(frozen=True)
class ServerFlags:
    """Options of how servers are asked, and how much."""

    yes: Annotated[
        bool, typer.Option("--yes", help="Send any number of requests without asking.", rich_help_panel=_SERVERS)
    ] = False
    max_requests: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Limit of requests to servers; a run that needs more does not begin.",
            rich_help_panel=_SERVERS,
            show_default=False,
        ),
    ] = None
    at_once: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Concurrent requests. [default: 8; 64 to a server that is started for each checkpoint]",
            rich_help_panel=_SERVERS,
            show_default=False,
        ),
    ] = None
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Time after which a request counts as lost.", rich_help_panel=_SERVERS),
    ] = 600
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]MODEL",
            help="Folder or Hub id of the served model, whose tokenizer log-probabilities need; repeat it with NAME "
            "for several models. Without NAME it applies to the measured models, or to judges if no measured model "
            "is served. [default: the folder that a server on this machine says it reads]",
            rich_help_panel=_SERVERS,
            show_default=False,
        ),
    ] = None

    @property
    def serving(self) -> Serving:
        """How servers are asked."""
        return Serving(self.at_once, self.timeout, _tokenizers(self.tokenizer or ()))

    @property
    def allowance(self) -> Allowance:
        """How much."""
        return Allowance(self.max_requests, yes=self.yes)


@dataclass(frozen=True)
class RunFlags(ServerFlags):
    """Options of where finished work lies and who computes the rest."""

    store: StoreRoot = None
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            metavar="NAME",
            help="Where jobs run: local (this process), or ray (a Ray cluster, as many jobs as it has room for).",
        ),
    ] = "local"
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="A running Ray cluster, such as ray-head:6379 or auto. [default: RAY_ADDRESS, else a new one here]",
            show_default=False,
        ),
    ] = None
    trust_remote_code: RemoteCode = False
    allow_unused: AllowUnused = None

    def check(self) -> None:
        """Refuse an address for an executor that takes none.

        Raises:
            ConfigError: it takes none, or there is no such executor.
        """
        if not self.address:
            return
        from chaintune.execution.executors import EXECUTORS  # loads what plans are made of

        if not EXECUTORS.get(self.executor).takes_address:
            raise ConfigError("--address names a Ray cluster; add --executor ray")

    def options(self, max_store: int | None = None) -> "RunOptions":
        """The options of a run that is shown on stderr."""
        from chaintune.cli.display import RunDisplay
        from chaintune.runs.session import RunOptions

        return RunOptions(self.executor, self.address, max_store, RunDisplay, self.serving, self.allowance)
