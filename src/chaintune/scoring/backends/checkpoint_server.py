"""A server that was started here for one checkpoint whose files are here: it is asked by tokens.

Prompts are rendered and cut into tokens by our own code, so that the server reads what our own scorer would read: the
same chat template, the same beginning, the same special tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from chaintune.models.encoding import Encoded, prompts_of
from chaintune.models.loading import Reader
from chaintune.records import Example, Generation
from chaintune.scoring.backends.openai import OpenAiBackend
from chaintune.scoring.backends.server import Server

# It computes many side by side, and nobody else asks it.
_AT_ONCE = 64
# Programs that take the tokens that end a text.
_TAKES_ENDS = ("vllm", "sglang")


@dataclass(frozen=True, kw_only=True)
class CheckpointServer(OpenAiBackend):
    """The checkpoint behind a server that was started here.

    Attributes:
        reader: tokenizer and context of the checkpoint.
    """

    reader: Reader

    def logprobs(self, encoded: Sequence[Encoded]) -> list[list[float]] | None:
        """Natural-log probability of each continuation of each example; None where the server gives none of prompts.

        Raises:
            ModelError: it does not answer, or reads tokens as other words than the checkpoint's tokenizer.
        """
        with self._server:
            return None if self._echo.lack else self._all(self._sums, encoded, lambda _: None)

    def _sums(self, example: Encoded) -> list[float]:
        rows, _ = self._echo.logprobs([example.prefix + answer for answer in example.continuations])
        return [math.fsum(row[len(example.prefix) :]) for row in rows]

    def _prompts(
        self, examples: Sequence[Example], generation: Generation, *, task: str
    ) -> list[tuple[str, dict[str, Any]]]:
        """Where each prompt goes, and it; a `DataError` where one with the longest text exceeds the model's context."""
        context, new_tokens = self.reader.context_tokens, generation.max_new_tokens
        prompts = prompts_of(self.reader.tokenizer, examples, context, new_tokens, task=task)
        ends = {"stop_token_ids": list(self.reader.ends)} if self._server.kind in _TAKES_ENDS else {}
        return [("/completions", {"prompt": list(tokens), **ends}) for tokens in prompts]

    @property
    def _at_once(self) -> int:
        return self.serving.at_once or _AT_ONCE

    @cached_property
    def _server(self) -> Server:
        return Server(self.url, self.name, self.serving, is_ours=True)

    @cached_property
    def _reader(self) -> Reader:
        return self.reader
