"""Joining a Ray cluster, or starting one on this machine."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from chaintune.errors import ConfigError

# What decides results or where data is looked for is the same on every machine.
_PASSED_ON = ("CHAINTUNE_", "HF_", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM")
_SECONDS_TO_ANSWER = 10.0
# Ray says it in the text of whatever error it raises.
_UNKNOWN_CALLER = "authentication token"
_OTHER_VERSION = "version mismatch"


@contextmanager
def connected(address: str | None = None) -> Iterator[None]:
    """While this lasts, there is a Ray cluster; one that this call started or joined is left at its end.

    Args:
        address: of a running cluster, as Ray writes it: `host:port`, or `auto` for the one that this machine belongs
            to; None is the one that `RAY_ADDRESS` names, else a new one on this machine.

    Raises:
        ConfigError: Ray is not installed, or the cluster cannot be reached, or has other versions of Ray or Python.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError("--executor ray: Ray is not installed; pip install 'chaintune[ray]'") from error
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_reachable(address)
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    ending = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of ours tells nobody about itself
    try:
        ray.init(
            address,
            runtime_env={"env_vars": passed},
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level="error",
        )
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        raise ConfigError(f"--address {address}: {_why(error)}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ending)  # Ray's own way to end leaves no word and no journal
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Knock first: Ray itself waits a minute and more for an address where nothing is."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in address:
        return
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise ConfigError(f"--address {address}: no Ray cluster can be reached there ({error})") from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _why(error: BaseException) -> str:
    """Why a cluster could not be joined."""
    said, cause = str(error), error.__cause__
    while cause is not None:
        said, cause = f"{said} {cause}", cause.__cause__
    if _UNKNOWN_CALLER in said.lower():
        return (
            "the Ray cluster there asks for a token; set RAY_AUTH_MODE=token, and on every machine the same token in "
            "~/.ray/auth_token or RAY_AUTH_TOKEN (ray get-auth-token shows it)"
        )
    if _OTHER_VERSION in said.lower():
        return f"the Ray cluster there has other versions; install the same on both sides ({' '.join(said.split())})"
    return f"no Ray cluster can be reached there ({_first_line(error)})"
