"""Data files from the Hugging Face Hub: plain files only, never a loading script."""

import os
from collections.abc import Sequence
from pathlib import Path


class HubError(Exception):
    """The Hub did not give the files; the text says why."""


def fetch(repo: str, patterns: Sequence[str]) -> tuple[Path, str]:
    """The folder that holds a data set's files, and the revision that the default branch resolved to.

    `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean everywhere.

    Args:
        repo: name of the data set on the Hub.
        patterns: globs of the files to fetch.

    Raises:
        HubError: no connection, no such data set, or no right to read it.
    """
    # Imported here: it takes half a second and most runs find their data elsewhere.
    from huggingface_hub import snapshot_download

    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        folder = Path(snapshot_download(repo, repo_type="dataset", allow_patterns=list(patterns), endpoint=endpoint))
    except OSError as error:
        where = f"Hub data set {repo} at {endpoint or 'https://huggingface.co'}"
        raise HubError(f"{where}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    return folder, folder.name
