"""What computes log-probabilities and text. A backend is a file here, or an entry point of an installed package."""

from chaintune.errors import ConfigError
from chaintune.registry import Registry
from chaintune.scoring.backends.backend import AS_USUAL, Backend, BackendKind, CheckpointFiles, Served, Serving

BACKENDS = Registry(
    "backend",
    "chaintune.backends",
    BackendKind,
    {name: f"chaintune.scoring.backends.{name}:KIND" for name in ("transformers", "openai")},
)
DEFAULT = "transformers"

__all__ = [
    "AS_USUAL",
    "BACKENDS",
    "DEFAULT",
    "Backend",
    "BackendKind",
    "CheckpointFiles",
    "Served",
    "Serving",
    "backend_of",
    "reference_of",
]


def backend_of(model: str, files: str = DEFAULT) -> str:
    """The name of the backend that computes a model: the one that serves it, else the one for models that are files.

    Args:
        model: as a user names it; one that is served is written `BACKEND:REFERENCE`.
        files: name of the backend that the user chose for models that are files.

    Raises:
        ConfigError: there is no such backend, or it opens no files.
    """
    chosen, (prefix, colon, _) = BACKENDS.get(files), model.partition(":")
    if colon and prefix in BACKENDS.names and BACKENDS.get(prefix).is_served:
        return prefix
    if chosen.is_served:
        raise ConfigError(
            f"backend '{files}' computes models that it serves, written {files}:REFERENCE, and '{model}' is none; name "
            "another backend, or such a model"
        )
    return files


def reference_of(model: str) -> str:
    """The REFERENCE of a served model, which is written `BACKEND:REFERENCE`."""
    return model.partition(":")[2]
