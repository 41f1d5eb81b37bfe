"""Reads checkpoints into models, one at a time, and keeps the last in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaintune.execution.bases import BaseModel
from chaintune.models import LoadedModel, Precision, Reader, with_adapter
from chaintune.models.classifiers import Classifier, load_classifier
from chaintune.models.memory import free_memory
from chaintune.models.precision import Quantize
from chaintune.plan.nodes import Node


@dataclass(frozen=True, slots=True)
class _ModelInMemory:
    """A model in memory.

    Attributes:
        key: of the checkpoint that it is.
        loaded: the model.
        weights, adapter: folders that it was read from; None of a model that was trained since.
        to_train: whether it may be trained further.
    """

    key: str
    loaded: LoadedModel
    weights: Path | None = None
    adapter: Path | None = None
    to_train: bool = True


class CheckpointModels:
    """The models of checkpoints, of which one is in memory.

    A child that follows its parent starts from memory, adapters on one base are put on the base in memory, anything
    else is read from its folder. All give the same bits, since a checkpoint is stored in the precision that it has in
    memory.
    """

    def __init__(
        self, bases: Mapping[str, BaseModel], *, precision: Precision, stop_servers: Callable[[], None]
    ) -> None:
        self._bases = bases
        self._precision = precision
        self._stop_servers = stop_servers
        self._in_memory: _ModelInMemory | None = None
        self._classifier: tuple[str, Classifier] | None = None
        self._readers: dict[str, Reader] = {}

    def checkpoint(self, key: str, folder: Path, node: Node, *, to_train: bool = True) -> LoadedModel:
        """The model of a checkpoint, from memory where it is there."""
        if self._in_memory is not None and self._in_memory.key == key and (self._in_memory.to_train or not to_train):
            return self._in_memory.loaded
        weights, adapter = self.folders(key, folder, node)
        model = None if to_train else self._on_weights_in_memory(weights, adapter, node)
        self.forget()  # never two models in memory
        loaded = self._in_template(model, node) if model else self.read(weights, adapter, node)
        self._in_memory = _ModelInMemory(key, loaded, weights, adapter, to_train=model is None)
        return loaded

    def read(self, weights: Path, adapter: Path | None, node: Node, *, quantize: Quantize | None = None) -> LoadedModel:
        """A checkpoint of the node's base, read from its folders, beside the model in memory."""
        self._stop_servers()  # which hold as much memory as they find
        base = self._bases[node.base]
        return self._in_template(base.load(weights, adapter, precision=self._precision, quantize=quantize), node)

    def folders(self, key: str, folder: Path, node: Node) -> tuple[Path, Path | None]:
        """Where the weights of a checkpoint lie, and the adapter on top of them if there is one."""
        base = self._bases[node.base]
        # The two of a divergence may be two bases.
        if own := next((one for one in (base, *self._bases.values()) if one.key == key), None):
            return folder, own.adapter
        return base.folders(folder)

    def classifier(self, base: BaseModel) -> Classifier:
        """The classifier that a base is, in place of the model in memory."""
        if self._classifier is None or self._classifier[0] != base.key:
            self.let_go()
            self._classifier = base.key, load_classifier(base.folder)
        return self._classifier[1]

    def reader(self, name: str) -> Reader:
        """What a base reads texts with."""
        if name not in self._readers:
            self._readers[name] = self._bases[name].reader()
        return self._readers[name]

    def template(self, base: str) -> Any:
        """The chat template of a base, or several by name; None where it has none."""
        return self.reader(base).tokenizer.chat_template

    def hold(self, key: str, loaded: LoadedModel) -> None:
        """Keep a model that was made here, as the one in memory."""
        self._in_memory = _ModelInMemory(key, loaded)

    def forget(self) -> None:
        """Hold no model any longer: its weights are about to change, or another takes its place."""
        self._in_memory = self._classifier = None

    def let_go(self) -> None:
        """Free the model in memory, and the memory of a server."""
        self._stop_servers()
        self.forget()
        free_memory()

    def _in_template(self, loaded: LoadedModel, node: Node) -> LoadedModel:
        """The model with the chat template and the ends of texts of its base, as all checkpoints of a base are asked.

        A folder in the store may bear others: weights do not depend on what a base's files said when they were made.
        """
        reader = self.reader(node.base)
        loaded.tokenizer.chat_template = reader.tokenizer.chat_template
        if (written_by := getattr(loaded.model, "generation_config", None)) is not None:
            written_by.eos_token_id = reader.stated_ends
        return loaded

    def _on_weights_in_memory(self, weights: Path, adapter: Path | None, node: Node) -> LoadedModel | None:
        """The model in memory with another adapter on top, where it has these weights."""
        if self._in_memory is None or self._in_memory.weights != weights:
            return None
        return with_adapter(
            self._in_memory.loaded,
            adapter,
            instead_of=self._in_memory.adapter,
            trust_remote_code=self._bases[node.base].trust_remote_code,
        )
