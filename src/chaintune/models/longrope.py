"""LongRoPE, of Phi-3 and its kin: models with other rotary frequencies for long texts.

Transformers tells by the longest position of a forward pass, for all that is in it. So a text that is read beside a
longer one, or whose beginning was read before it had grown long, is not read as it would be by itself.

"dynamic" frequencies, which grow with the text as well, do so only beyond the context that the configuration states.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def are_read_alike(model: Any, lengths: Iterable[int]) -> bool:
    """Whether texts of these lengths, in tokens, get the same frequencies in any batch."""
    known = list(lengths)
    return not known or not any(min(known) <= turn < max(known) for turn in _turns(model))


def _turns(model: Any) -> Iterator[int]:
    """Lengths in tokens beyond which the model takes other frequencies; layers of one kind may have their own."""
    rope = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    for kind in (rope, *(own for own in rope.values() if isinstance(own, Mapping))):
        if kind.get("rope_type") == "longrope":
            yield int(kind["original_max_position_embeddings"])
