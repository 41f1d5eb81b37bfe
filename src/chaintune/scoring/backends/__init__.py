"""What computes log-probabilities and text. A backend is a file here, or an entry point of an installed package."""

from chaintune.registry import Registry
from chaintune.scoring.backends.backend import Backend, BackendKind, CheckpointFiles

BACKENDS = Registry(
    "backend",
    "chaintune.backends",
    BackendKind,
    {"transformers": "chaintune.scoring.backends.transformers:KIND"},
)
DEFAULT = "transformers"

__all__ = ["BACKENDS", "DEFAULT", "Backend", "BackendKind", "CheckpointFiles"]
