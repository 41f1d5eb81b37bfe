"""A text that is being written: which token comes next, and what ends it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from chaintune.errors import BrokenModelError
from chaintune.models.loading import ends_of
from chaintune.records.generation import FinishReason, GeneratedText, Generation

# Of a stop string's tail: a token in front of it may lose its blank, or be a part of a letter.
_MORE_TOKENS = 4


@dataclass(slots=True)
class Writing:
    """A text behind a prompt, as far as it is written.

    Attributes:
        name: of the prompt, for messages.
        prompt: as token ids, at least one.
        draws: a number in [0, 1) for each token, where tokens are drawn; else none.
        tokens: that are written.
        finish_reason: of a text that has ended.
    """

    name: str
    prompt: tuple[int, ...]
    draws: Sequence[float]
    tokens: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None


@dataclass(frozen=True)
class Rules:
    """How texts are written with a model.

    Attributes:
        generation: as the user asks for them.
        tokenizer: of the model.
        ends: tokens that end a text.
    """

    generation: Generation
    tokenizer: Any
    ends: frozenset[int]

    def begin(self, name: str, prompt: tuple[int, ...], sample: int) -> Writing:
        """A text of which nothing is written; what is drawn depends on the seed, the name and the sample alone."""
        drawn = self.generation.temperature > 0
        draws = uniform(self.generation, name, sample) if drawn else ()
        return Writing(name, prompt, draws)

    def go_on(self, writings: Sequence[Writing], logits: torch.Tensor) -> None:
        """Write the next token of each text that has not ended.

        Raises:
            BrokenModelError: what the model says is no number.

        Shape:
            logits `[B, V]`.
        """
        best = logits.argmax(dim=-1)
        tops = logits.gather(1, best[:, None])[:, 0]
        if not bool(torch.isfinite(tops).all()):
            broken = writings[int(torch.isfinite(tops).logical_not().nonzero()[0, 0])]
            raise BrokenModelError(f"the model gives NaN behind the prompt of '{broken.name}'; its weights are broken")
        if self.generation.temperature:
            numbers = [one.draws[min(len(one.tokens), len(one.draws) - 1)] for one in writings]
            best = drawn_tokens(logits, self.generation.temperature, numbers)
        for writing, token in zip(writings, best.tolist(), strict=True):
            if writing.finish_reason is None:
                writing.tokens.append(token)
                writing.finish_reason = self._reason(writing.tokens)

    def _reason(self, tokens: Sequence[int]) -> FinishReason | None:
        if tokens[-1] in self.ends:
            return "stop"
        if self.generation.stop and self._is_stopped(tokens):
            return "stop string"
        return "length" if len(tokens) >= self.generation.max_new_tokens else None

    def _is_stopped(self, tokens: Sequence[int]) -> bool:
        # Each token that is no special one is a byte at least.
        longest = max(len(stop.encode()) for stop in self.generation.stop) + _MORE_TOKENS
        tail = self._decode([token for token in tokens if token not in self._special][-longest:])
        if not any(stop in tail for stop in self.generation.stop):
            return False
        whole = self._decode(tokens)
        return any(stop in whole for stop in self.generation.stop)

    @cached_property
    def _special(self) -> frozenset[int]:
        return frozenset(self.tokenizer.all_special_ids)

    def finished(self, writing: Writing) -> GeneratedText:
        """A text that has ended, cut in front of the first stop string."""
        text = self._decode(writing.tokens)
        if writing.finish_reason == "stop string":
            text = text[: min(place for stop in self.generation.stop if (place := text.find(stop)) >= 0)]
        return GeneratedText(text, writing.finish_reason or "length", len(writing.tokens))

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """What ends a text: the end-of-sequence tokens of the model's generation configuration, and the tokenizer's."""
    return ends_of(getattr(getattr(model, "generation_config", None), "eos_token_id", None), tokenizer)


def uniform(generation: Generation, name: str, sample: int) -> list[float]:
    """Numbers in [0, 1), one for each token of a sample of a prompt; its neighbours in a batch have no part in them."""
    digest = hashlib.sha256(json.dumps([generation.seed, name, sample]).encode()).digest()
    draws = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16])))
    numbers: list[float] = draws.random(generation.max_new_tokens).tolist()
    return numbers


def drawn_tokens(logits: torch.Tensor, temperature: float, numbers: Sequence[float]) -> torch.Tensor:
    """The token at which each row's distribution function passes a number.

    Args:
        logits: finite in their maximum.
        temperature: above 0.
        numbers: in [0, 1), one a row.

    Shape:
        `[B, V]` -> `[B]`.
    """
    wide = logits.double()
    heights = torch.softmax((wide - wide.amax(dim=-1, keepdim=True)) / temperature, dim=-1).cumsum(dim=-1)
    at = torch.tensor(numbers, dtype=torch.float64, device=logits.device)[:, None] * heights[:, -1:]
    return torch.searchsorted(heights, at, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
