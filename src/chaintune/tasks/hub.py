"""Data files from the Hugging Face Hub: plain files only, never a loading script."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class HubError(Exception):
    """The Hub did not give the files; the text says why."""


def fetch(repo: str, patterns: Sequence[str], *, revision: str = "") -> tuple[Path, str]:
    """The folder that holds a data set's files, and the commit that the revision stands for.

    `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean everywhere.

    Args:
        repo: name of the data set on the Hub.
        patterns: globs of the files to fetch.
        revision: branch, tag or commit; the default branch when empty.

    Raises:
        HubError: no connection, no such data set, or no right to read it.
    """
    # Imported here: it takes half a second, and most runs find their data elsewhere.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError

    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        with _no_bars_in_logs():
            folder = snapshot_download(
                repo, repo_type="dataset", revision=revision or None, allow_patterns=list(patterns), endpoint=endpoint
            )
    except (OSError, HTTPError) as error:
        reason = str(error).split("\n")[0]
        where = f"Hub data set {repo} at {endpoint or 'https://huggingface.co'}"
        raise HubError(f"{where}: {type(error).__name__}: {reason}") from error
    return Path(folder), Path(folder).name


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
