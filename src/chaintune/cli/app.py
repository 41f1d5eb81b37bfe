"""The commands under one name, and the exit code of each error."""

import logging
import os
import platform
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from chaintune.cli.audit import audit
from chaintune.cli.card import card
from chaintune.cli.compare import compare
from chaintune.cli.curvature import curvature
from chaintune.cli.init import init
from chaintune.cli.mitigate import mitigate
from chaintune.cli.order import order
from chaintune.cli.output import (
    CLOSED_PIPE,
    FirstOfWarnings,
    MessageFormatter,
    complain,
    complain_of_bug,
    echo,
    is_closed_pipe,
    machine_error,
    open_closed_streams,
    written,
)
from chaintune.cli.plan import plan
from chaintune.cli.policy import policy
from chaintune.cli.report import report
from chaintune.cli.rescore import rescore
from chaintune.cli.run import run
from chaintune.cli.schema import schema
from chaintune.cli.score import score
from chaintune.cli.status import status
from chaintune.cli.store import store
from chaintune.cli.suite import suite
from chaintune.cli.tasks import tasks
from chaintune.errors import ChaintuneError, ClusterError, ConfigError

BAD_INPUT, NO_CLUSTER, BUG, INTERRUPTED, TERMINATED = 2, 69, 70, 130, 143
# How requirements end that only work on chaintune has, and packages that none names and that change what is computed.
_FOR_DEVELOPERS = ("'browser'", "'dev'", "'docs'", "'test'")
_BESIDE = ("tokenizers", "datasets", "trl", "bitsandbytes", "torchao", "compressed-tensors", "deepspeed", "vllm")

app = typer.Typer(
    help="What a language model forgot when it was fine-tuned again, whom it forgot, and what brings it back.",
    epilog="Begin with: chaintune run studies/quickstart.yaml",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (init, run, order, plan, status, report, tasks, score, rescore, compare, audit, curvature, card, schema):
    app.command()(command)
app.add_typer(policy, name="policy")
app.add_typer(store, name="store")
app.add_typer(suite, name="suite")
# Fields of the recipe are options of this one too: --recipe.learning_rate 1e-4.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(mitigate)


def _versions(*, all_of_them: bool) -> Iterator[str]:
    """What a report of a fault needs to say of this machine, a line each; no name of a user, a folder or a host."""
    from importlib.metadata import PackageNotFoundError, requires, version  # slow to load, and nothing else needs it

    if not all_of_them:
        yield version("chaintune")
        return
    needed = [one for one in requires("chaintune") or () if not one.endswith(_FOR_DEVELOPERS)]
    names = dict.fromkeys(re.split(r"[^\w.-]", one)[0] for one in ("chaintune", *needed, *_BESIDE))
    found, absent = [], []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            absent.append(name)
    yield from (found[0], f"Python {platform.python_version()}", platform.platform(), *found[1:])
    yield f"not installed: {', '.join(absent) or 'none'}"


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more to stderr.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="With --version: also print Python, the platform and each package.")
    ] = False,
) -> None:
    if everything and not show_version:
        raise ConfigError("--all goes with --version here; write chaintune --version --all")
    if show_version:
        echo("\n".join(_versions(all_of_them=everything)))
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MessageFormatter())
    handler.addFilter(FirstOfWarnings())
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
    logging.captureWarnings(True)  # a library's may quote data
    # Bars of the libraries underneath would break ours, and stderr may be a log file.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    SIGTERM, which schedulers send, is handled as Ctrl-C is: nothing half-written is left.
    """
    signals: list[int] = []

    def end(number: int, _frame: object) -> None:
        signals.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
    open_closed_streams()
    code = written(_exit_code(arguments))
    if code == NO_CLUSTER:
        os._exit(code)  # Ray would wait for the cluster as Python ends, and then end with the code of a failed gate
    sys.exit(TERMINATED if signals and code == INTERRUPTED else code)


def _exit_code(arguments: Sequence[str] | None) -> int:
    try:
        result = app(args=arguments, standalone_mode=False)
    except TyperException as error:
        complain(f"{error.format_message()} (--help shows what there is)")
        return BAD_INPUT
    except ChaintuneError as error:
        complain(error)
        return NO_CLUSTER if isinstance(error, ClusterError) else BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        result = INTERRUPTED
    except SystemExit as ended:
        if not is_closed_pipe(ended):
            raise
        return CLOSED_PIPE
    except BaseException as error:  # noqa: BLE001 - a bug keeps its traceback and a code of its own, a panic of Rust too
        if is_closed_pipe(error):
            return CLOSED_PIPE
        if sentence := machine_error(error):
            complain(sentence)
            return BAD_INPUT
        complain_of_bug(error)
        return BUG
    if result == INTERRUPTED:  # typer answers Ctrl-C with this code instead of the exception
        complain("interrupted; the same command goes on where it stopped")
    return result if isinstance(result, int) else 0
