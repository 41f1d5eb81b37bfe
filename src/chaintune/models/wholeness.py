"""Whether what was loaded is what the files hold: every weight of the one is in the other."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from chaintune.errors import ModelError, number_of
from chaintune.models.token_tree import common_beginning

# Words, digits, blanks, letters that few tokens hold.
_PROBE = 'A wolf\'s 12 cubs,\n\tcafé:  {"a": 1.50} end? 你好'

_log = logging.getLogger(__name__)


def check_whole(model: Any, about: Mapping[str, Any], folder: Path, allow_unused: Sequence[str]) -> tuple[str, ...]:
    """Names of the weights of the files that the model leaves out, all of which are allowed.

    What the architecture ties, or declares to be optional, transformers does not list.

    Args:
        model: of transformers.
        about: what transformers says of its loading: weights that were missing, unexpected, or of another shape.
        folder: it was read from.
        allow_unused: patterns of names, with `*` and `?`.

    Raises:
        ModelError: weights are missing, or left out without a word that allows it, or of another shape.
    """
    if other := sorted(about["mismatched_keys"]):
        name, in_file, in_model = other[0]
        many = number_of(len(other), "of its weights has", "of its weights have")
        raise ModelError(
            f"model folder {folder}: {many} another shape than its configuration says: {name} is {list(in_file)} in "
            f"the file, {list(in_model)} in the model; name the folder of one whole model"
        )
    buffers = {name for name, _ in model.named_buffers()}
    unused = sorted(set(about["unexpected_keys"]) - buffers)
    allowed = tuple(name for name in unused if any(fnmatchcase(name, pattern) for pattern in allow_unused))
    strange, missing = [name for name in unused if name not in allowed], sorted(about["missing_keys"])
    if missing:
        total = len({*(name for name, _ in model.named_parameters()), *missing})
        known = f", and hold {len(strange)} that it does not know{_two(strange)}" if strange else ""
        raise ModelError(
            f"model folder {folder}: its files lack {len(missing)} of the model's {total} weights{_two(missing)}{known}"
            "; they would be drawn at random, so name a folder that holds the whole model"
        )
    if strange:
        raise ModelError(
            f"model folder {folder}: its files hold {number_of(len(strange), 'weight')} that {type(model).__name__} "
            f"does not have{_two(strange)}; name a model that uses them, or, where they are not needed, allow it: "
            f"--allow-unused '{_pattern(strange)}'"
        )
    return allowed


def check_adapter(missing: Collection[str], unexpected: Collection[str], total: int, folder: Path) -> None:
    """Refuse an adapter of which a part found no place, or that leaves a place empty.

    Raises:
        ModelError: there are some.
    """
    if not missing and not unexpected:
        return
    parts = []
    if unexpected:
        one, several = f"of its {total} weights is", f"of its {total} weights are"
        parts.append(f"{number_of(len(unexpected), one, several)} not in the model{_two(sorted(unexpected))}")
    if missing:
        one, several = "weight that the model has a place for is", "weights that the model has a place for are"
        parts.append(f"{number_of(len(missing), one, several)} not in its file{_two(sorted(missing))}")
    raise ModelError(
        f"adapter {folder}: {', and '.join(parts)}; it belongs to another model, or was saved under other names: name "
        "the base that it was trained on"
    )


def check_shapes(other: Sequence[str], total: int, folder: Path) -> None:
    """Refuse an adapter for a model of another shape.

    Raises:
        ModelError: there are some.
    """
    if other:
        names = [name.replace(".default.", ".") for name in other]
        raise ModelError(
            f"adapter {folder}: {len(names)} of its {total} weights are of another shape than the model's{_two(names)}"
            "; name the base that it was trained on"
        )


def check_kind(model: Any, folder: Path) -> None:
    """Refuse an encoder, which reads what follows a token before it predicts it.

    Raises:
        ModelError: it is one.
    """
    config = model.config
    both_ways = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if both_ways and not getattr(config, "is_decoder", False) and not getattr(config, "causal", False):
        raise ModelError(
            f"model folder {folder}: a model of type '{config.model_type}' is an encoder, which sees the words that it "
            "would have to predict; name a causal language model"
        )


def check_vocabulary(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Refuse a tokenizer with tokens that the model has no embedding for; special ones that no text is read as may be.

    Raises:
        ModelError: there are some.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    vocabulary = tokenizer.get_vocab()
    if max(vocabulary.values(), default=0) < rows:
        return
    added = tokenizer.added_tokens_decoder
    read = {tokenizer.bos_token_id, tokenizer.eos_token_id}
    beyond = [
        token
        for token, number in sorted(vocabulary.items(), key=lambda pair: pair[1])
        if number >= rows and (number in read or not (number in added and added[number].special))
    ]
    if beyond:
        raise ModelError(
            f"model folder {folder}: its tokenizer has {len(beyond)} tokens that the model's {rows} embeddings do not "
            f"reach{_two([repr(token) for token in beyond])}; name a folder whose tokenizer and weights belong together"
        )


def check_checkpoint_of(model: Any, base: Any, *, what: str, name: str) -> None:
    """Refuse a model whose weights are not those of a base in name and shape.

    Raises:
        ModelError: it is no checkpoint of the base.
    """
    rows, usual_rows = (one.get_input_embeddings().weight.shape[0] for one in (model, base))
    if rows != usual_rows:
        raise ModelError(
            f"{what}: its model has {rows:,} embeddings and base '{name}' {usual_rows:,}; every checkpoint of a chain "
            "has the base's vocabulary, so train it without further tokens, or take the larger model as the base"
        )
    own, usual = ({name: list(weight.shape) for name, weight in one.named_parameters()} for one in (model, base))
    if other := sorted(name for name in own.keys() | usual.keys() if own.get(name) != usual.get(name)):
        shapes = (str(one.get(other[0], "missing")) for one in (own, usual))
        raise ModelError(
            f"{what}: its model is no checkpoint of base '{name}': {other[0]} is {' and '.join(shapes)}; name one that "
            "was trained from it"
        )


def check_same_tokens(
    tokenizer: PreTrainedTokenizerBase, base: PreTrainedTokenizerBase, *, what: str, name: str
) -> None:
    """Refuse a tokenizer that reads text as other tokens than a base's; its chat template may be another.

    Raises:
        ModelError: it does.
    """
    todo = "every checkpoint of a chain is asked in the base's tokens, so name one that was trained with them"
    own, usual = tokenizer.get_vocab(), base.get_vocab()
    if other := sorted({token for token, _ in own.items() ^ usual.items()}):
        many = number_of(len(other), "token")
        named = _two([repr(token) for token in other])
        raise ModelError(f"{what}: its vocabulary differs from that of base '{name}' in {many}{named}; {todo}")
    if tokenizer(_PROBE)["input_ids"] != base(_PROBE)["input_ids"]:
        raise ModelError(f"{what}: its tokenizer splits text in another way than that of base '{name}'; {todo}")
    if tokenizer.chat_template is not None and tokenizer.chat_template != base.chat_template:
        _log.warning(
            "%s: its chat template is not that of base '%s'; every checkpoint of a chain is asked alike, so its own is "
            "not used",
            what,
            name,
        )


def _pattern(names: Sequence[str]) -> str:
    """What some sorted names have in common, as far as it is one part of a model."""
    first, last = (name.split(".") for name in (names[0], names[-1]))
    shared = first[: min(common_beginning(first, last), len(first) - 1)] or first[: len(first) - 1][:1]
    return ".".join([*shared, "*"]) if shared else names[0]


def _two(names: Sequence[str]) -> str:
    """Two names for an example, in brackets; nothing where there are none."""
    return f" ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})" if names else ""


@contextmanager
def without_report() -> Iterator[None]:
    """Keep transformers from printing a table of what it missed; `check_whole` refuses it in one sentence."""

    def is_no_report(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(is_no_report)
    try:
        yield
    finally:
        logger.removeFilter(is_no_report)
