"""Base models: a name as a user writes it, located and addressed by content."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaintune.errors import ModelError
from chaintune.files.names import shown_names
from chaintune.models import (
    LoadedModel,
    Precision,
    Reader,
    dequantise,
    load,
    load_reader,
    locate,
    model_digest,
    tell_other_base,
)
from chaintune.models.classifiers import load_classifier
from chaintune.models.folders import ADAPTER_CONFIG
from chaintune.models.quantised import check_quantised
from chaintune.records import canonical_digest
from chaintune.scoring.backends import BACKENDS, DEFAULT, Served, backend_of, reference_of
from chaintune.store.store import Store


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model ready to be loaded.

    Attributes:
        name: by which it is opened on this machine.
        key: digest of its content, or of its identity.
        weights: folder in transformers' layout; None where a backend serves the model.
        adapter: PEFT's layout, put on top; usually none.
        entry: key of the store's entry that the folder is; empty where it lies elsewhere.
        backend: name of the one that computes it, and what is trained from it.
        identity: what the backend says of a model that it serves; nobody can check it.
        allow_unused: patterns of weights that the model may leave out.
        unused: names of those that it leaves out.
        is_classifier: whether it is a sequence classifier, which a scorer asks, and no language model.
        quantised: how its files hold the weights, where they are quantised; it is scored and never trained.
        trust_remote_code: run Python code that comes with it, or with a checkpoint of it. Off unless the user says so.
    """

    name: str
    key: str
    weights: Path | None
    adapter: Path | None = None
    entry: str = ""
    backend: str = DEFAULT
    identity: str = ""
    allow_unused: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    is_classifier: bool = False
    quantised: str = ""
    trust_remote_code: bool = False

    @property
    def about(self) -> dict[str, str]:
        """What results keep of the model beside its key; nothing of most."""
        about = {"identity": self.identity, "unused_weights": ", ".join(self.unused), "quantised": self.quantised}
        return {name: value for name, value in about.items() if value}

    @property
    def reference(self) -> str:
        """The name behind the backend's, of a model that a backend serves."""
        return reference_of(self.name)

    @property
    def folder(self) -> Path:
        """The folder of the weights.

        Raises:
            ModelError: a backend serves the model.
        """
        if self.weights is None:
            raise ModelError(
                f"model '{self.name}' is served by backend '{self.backend}' and its weights are not here: score, audit "
                "and compare take it, but nothing can be trained from it; name a folder, a .gguf file or a Hub id"
            )
        return self.weights

    def folders(self, checkpoint: Path) -> tuple[Path, Path | None]:
        """Where the weights of a checkpoint of it lie, and the adapter on top of them if that is what it is."""
        return (self.folder, checkpoint) if (checkpoint / ADAPTER_CONFIG).is_file() else (checkpoint, None)

    def reader(self) -> Reader:
        """What it reads texts with."""
        return load_reader(self.folder, self.adapter, trust_remote_code=self.trust_remote_code)

    def load(self, weights: Path, adapter: Path | None = None, *, precision: Precision, **how: Any) -> LoadedModel:
        """A model of its kind, as `models.load` has it.

        Raises:
            ModelError: it cannot be loaded.
        """
        how |= {"trust_remote_code": self.trust_remote_code, "allow_unused": self.allow_unused}
        return load(weights, adapter=adapter, precision=precision, **how)


def check_trainable(base: BaseModel) -> None:
    """Refuse to train from a model, or to take gradients of it, whose files hold its weights quantised.

    Raises:
        ModelError: they do.
    """
    if base.quantised:
        raise ModelError(
            f"model '{base.name}' holds its weights quantised ({base.quantised}): score and audit take it, but nothing "
            "can be trained from it and it has no curvature; name the unquantised model (recipe.quantize: 4bit holds "
            "that one in 4 bits under an adapter)"
        )


def entry_keys(bases: Iterable[BaseModel]) -> set[str]:
    """Keys of the store's entries that bases are."""
    return {base.entry for base in bases if base.entry}


def open_classifier(name: str) -> BaseModel:
    """A sequence classifier by the name a user gives it, held against its files but for the weights themselves.

    Raises:
        ModelError: it cannot be loaded as one, without code of its own.
    """
    files = locate(name)
    if files.is_gguf or files.adapter is not None:
        raise ModelError(f"classifier '{name}': expected a folder or a Hub id of a whole model with safetensors")
    key = model_digest(files)
    load_classifier(files.weights, on_meta=True)
    return BaseModel(name, key, files.weights, is_classifier=True)


def open_base(
    name: str,
    store: Store,
    backend: str = DEFAULT,
    *,
    allow_unused: Sequence[str] = (),
    trust_remote_code: bool = False,
) -> BaseModel:
    """A model by the name a user gives it, ready to be loaded; a GGUF file is dequantised into the store once.

    Its files are held against the model that they are to fill, but for the weights themselves.

    Raises:
        ConfigError: there is no such backend, or it opens no files.
        ModelError: it cannot be loaded; its files lack weights of the model, or the other way round; they are
            quantised in a way that cannot be read here.
    """
    backend = backend_of(name, backend)
    if isinstance(served := BACKENDS.get(backend).opens, Served):
        identity = served.identity(reference_of(name))
        key = canonical_digest(["served", backend, identity])
        return BaseModel(name, key, None, backend=backend, identity=identity)
    files = locate(name)
    key = model_digest(files)
    folder, entry = files.weights, ""
    if files.is_gguf:
        # The store checks every byte on first read, and only the weights matter here, not the adapter.
        entry = model_digest(type(files)(name, files.weights))

        def make(out: Path) -> dict[str, str]:
            dequantise(files.weights, out)
            return {"name": shown_names([name])[name]}

        folder = store.get_or_make("base", entry, make).path
    how: dict[str, Any] = {"allow_unused": tuple(allow_unused), "trust_remote_code": trust_remote_code}
    base = BaseModel(name, key, folder, files.adapter, entry, backend, **how)
    if quantised := check_quantised(folder):  # needs its device; whoever loads it looks further
        tell_other_base(files)
        return replace(base, quantised=quantised)
    looked_at = base.load(folder, files.adapter, precision="fp32", trainable=False, on_meta=True)
    tell_other_base(files)
    return replace(base, unused=looked_at.unused)
