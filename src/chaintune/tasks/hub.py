"""Data files from the Hugging Face Hub: plain files only, never a loading script."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class HubError(Exception):
    """The Hub did not give the files; the text says why."""


def fetch(repo: str, patterns: Sequence[str], *, revision: str = "") -> tuple[Path, str]:
    """The folder that holds a data set's files, and the commit that the revision, else the default branch, stands for.

    `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean everywhere.

    Raises:
        HubError: no connection, no such data set, or no right to read it.
    """
    # Imported here: it takes half a second, and most runs find their data elsewhere.
    from huggingface_hub import snapshot_download

    with _hub_errors(repo), _no_bars_in_logs():
        folder = snapshot_download(
            repo, repo_type="dataset", revision=revision or None, allow_patterns=list(patterns), endpoint=_endpoint()
        )
    return Path(folder), Path(folder).name


def cached(repo: str, revision: str = "") -> Path | None:
    """The folder of a data set's files that were fetched before; None where there is none."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"datasets--{repo.replace('/', '--')}"
    named = folder / "refs" / (revision or "main")
    commit = named.read_text(encoding="utf-8").strip() if named.is_file() else revision
    return folder / "snapshots" / commit if commit and (folder / "snapshots" / commit).is_dir() else None


def file_names(repo: str, *, revision: str = "") -> list[str]:
    """The names of all files of a data set.

    Raises:
        HubError: no connection, no such data set or revision, or no right to read it.
    """
    from huggingface_hub import HfApi

    with _hub_errors(repo):
        info = HfApi(endpoint=_endpoint()).dataset_info(repo, revision=revision or "main")
    return [file.rfilename for file in info.siblings or ()]


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """Every way in which the Hub's client fails becomes a `HubError`."""
    from huggingface_hub.errors import HFValidationError, HTTPError

    try:
        yield
    except (OSError, HTTPError, HFValidationError) as error:
        reason = str(error).split("\n")[0]
        where = f"Hub data set {repo} at {_endpoint() or 'https://huggingface.co'}"
        raise HubError(f"{where}: {type(error).__name__}: {reason}") from error


@contextmanager
def _no_bars_in_logs() -> Iterator[None]:
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
