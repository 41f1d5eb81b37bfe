"""Sequence classifiers: loaded from a folder, asked for the probability of one label of each text."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerBase

from chaintune.errors import ConfigError, ModelError, nearest
from chaintune.models.folders import opening
from chaintune.models.loading import put_on, read_model, read_tokenizer
from chaintune.models.precision import Precision, default_device

# A classifier is small beside what it judges, so its probabilities are those of single precision everywhere.
PRECISION: Precision = "fp32"
_NO_CLASSIFIER = "cannot be loaded as a sequence classifier"
_CPU_TOKENS, _GPU_TOKENS = 2048, 32_768
# Tokenizers without a limit of their own name such a number.
_NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a classifier, as its configuration names them.

    Attributes:
        names: in the order of its outputs.
        are_apart: whether each label has a probability of its own; else they share 1.
    """

    names: tuple[str, ...]
    are_apart: bool

    def place(self, label: str | int, model: str) -> int:
        """The place of a label by its name, case ignored, or by its number.

        Raises:
            ConfigError: there is no such label.
        """
        if isinstance(label, int):
            if 0 <= label < len(self.names):
                return label
            raise ConfigError(f"classifier '{model}': label {label}, it has labels 0 to {len(self.names) - 1}")
        folded = [name.casefold() for name in self.names]
        if label.casefold() not in folded:
            raise ConfigError(f"classifier '{model}': label '{label}', {nearest(label, self.names)}")
        return folded.index(label.casefold())


@dataclass(frozen=True, slots=True)
class Classifier:
    """A sequence classifier in memory.

    Attributes:
        model: of transformers.
        tokenizer: its own.
        labels: that it tells apart.
        most_tokens: that it reads of a text.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    labels: Labels
    most_tokens: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What a classifier says of one text.

    Attributes:
        probability: of the label that was asked for.
        tokens: of the text.
        read: how many of them were read, from the beginning.
    """

    probability: float
    tokens: int
    read: int


def labels_of(folder: Path) -> Labels:
    """The labels of the classifier in a folder, from its configuration alone.

    Raises:
        ModelError: it cannot be read, or is no classifier, or one of numbers.
    """
    with opening(f"model folder {folder}", _NO_CLASSIFIER):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        names = tuple(str(config.id2label[place]) for place in range(config.num_labels))
    kinds = config.architectures or []
    if not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        raise ModelError(
            f"model folder {folder}: it holds a {kinds[0] if kinds else config.model_type}, which is no sequence "
            "classifier; name one, or take scorer 'judge' for a model that answers in words"
        )
    if config.problem_type == "regression":
        raise ModelError(f"model folder {folder}: it gives numbers, not probabilities of labels; name a classifier")
    return Labels(names, config.problem_type == "multi_label_classification" or len(names) == 1)


def load_classifier(folder: Path, *, on_meta: bool = False) -> Classifier:
    """The classifier of a folder, in evaluation mode, on the default device; every weight of its files is in it.

    Args:
        folder: transformers' layout, weights in safetensors. No code that comes with it is run.
        on_meta: read shapes but no weights.

    Raises:
        ModelError: it cannot be loaded as a sequence classifier, or does not fit the device.
    """
    labels = labels_of(folder)
    where: dict[str, Any] = {"device_map": {"": torch.device("meta")}} if on_meta else {}
    model, _ = read_model(AutoModelForSequenceClassification, folder, PRECISION, otherwise=_NO_CLASSIFIER, **where)
    tokenizer = read_tokenizer(folder)
    if not on_meta:
        put_on(model, default_device(), folder)
    model.eval()
    return Classifier(model, tokenizer, labels, _most_tokens(model, tokenizer))


@torch.inference_mode()
def probabilities(
    classifier: Classifier,
    texts: Sequence[str],
    label: int,
    *,
    on_judged: Callable[[int], None] = lambda _: None,
) -> list[Judged]:
    """What the classifier says of each text.

    Texts of equally many tokens go through it together, so that nothing is padded and no text's number depends on
    which others stand beside it, but for rounding.

    Args:
        classifier: as `load_classifier` returned it.
        texts: in any order; what is too long is cut at its end.
        label: its place among the labels.
        on_judged: called with the number of texts done.

    Raises:
        ModelError: it answers with something that is no number.
    """
    whole = [len(ids) for ids in classifier.tokenizer(list(texts), verbose=False)["input_ids"]] if texts else []
    cut = {"truncation": True, "max_length": classifier.most_tokens, "padding": False}
    rows = classifier.tokenizer(list(texts), **cut)["input_ids"] if texts else []
    judged: dict[int, Judged] = {}
    device = next(classifier.model.parameters()).device
    for places in _batches([len(row) for row in rows], _CPU_TOKENS if device.type == "cpu" else _GPU_TOKENS):
        ids = torch.tensor([rows[place] for place in places], device=device)
        logits = _logits(classifier.model, ids).float()
        shares = logits.sigmoid() if classifier.labels.are_apart else logits.softmax(-1)
        for place, probability in zip(places, shares[:, label].tolist(), strict=True):
            if not 0 <= probability <= 1:
                raise ModelError("the classifier gives no number for a text; its weights are broken")
            judged[place] = Judged(probability, whole[place], len(rows[place]))
        on_judged(len(judged))
    return [judged[place] for place in range(len(texts))]


def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Of rows without padding, also of a model that has no token for it and would refuse several rows."""
    if not ids.shape[1]:  # a tokenizer that puts nothing around a text reads nothing in an empty one
        ids = torch.full((len(ids), 1), model.config.eos_token_id or 0, device=ids.device)
    config, padding = model.config, model.config.pad_token_id
    config.pad_token_id = -1 if padding is None else padding
    try:
        logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    finally:
        config.pad_token_id = padding
    return logits


def _batches(lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Places of texts of one length, longest first."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, length in enumerate(lengths):
        by_length[length].append(place)
    for length in sorted(by_length, reverse=True):
        at_once = max(1, most_tokens // max(length, 1))
        places = by_length[length]
        yield from (places[start : start + at_once] for start in range(0, len(places), at_once))


def _most_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens of the longest text that a model reads; of RoBERTa's kind positions begin behind the padding."""
    config = model.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None) or _NO_LIMIT
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return int(min(positions - (0 if padding is None else padding + 1), tokenizer.model_max_length, _NO_LIMIT))
