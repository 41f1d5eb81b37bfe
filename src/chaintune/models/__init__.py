"""Names, folders, GGUF files and adapters in; a loaded model out."""

import chaintune.hf  # noqa: F401 - says what to install
from chaintune.models.digest import model_digest
from chaintune.models.gguf_files import dequantise
from chaintune.models.loading import LoadedModel, Reader, load, load_reader, merge_adapter, save, with_adapter
from chaintune.models.names import ALIASES, ModelFiles, locate, tell_other_base, whole_name
from chaintune.models.precision import Precision, check_quantize, resolve_precision

__all__ = [
    "ALIASES",
    "LoadedModel",
    "ModelFiles",
    "Precision",
    "Reader",
    "check_quantize",
    "dequantise",
    "load",
    "load_reader",
    "locate",
    "merge_adapter",
    "model_digest",
    "resolve_precision",
    "save",
    "tell_other_base",
    "whole_name",
    "with_adapter",
]
