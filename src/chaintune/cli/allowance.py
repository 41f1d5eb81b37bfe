"""What servers may be asked: told before the first request, and agreed to where somebody else's server is asked."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from chaintune.cli.output import echo
from chaintune.errors import ConfigError

if TYPE_CHECKING:
    from chaintune.execution.server_requests import ServerWork


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
