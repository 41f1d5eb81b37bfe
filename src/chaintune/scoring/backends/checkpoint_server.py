"""A server that was started here for one checkpoint whose files are here: it is asked by tokens.

Prompts are rendered and cut into tokens by our own code, so that the server reads what our own scorer would read: the
same chat template, the same beginning, the same special tokens.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from chaintune.errors import ModelError
from chaintune.models.encoding import Encoded, encode_prompts, prompts_of
from chaintune.models.loading import Reader
from chaintune.records import Example, Generation, Remember, Texts
from chaintune.scoring.backends.backend import Serving
from chaintune.scoring.backends.openai import OpenAiBackend
from chaintune.scoring.backends.server import Server

# It computes many side by side, and nobody else asks it.
ALL_ITS_OWN = Serving(at_once=64)
# Programs that take the tokens that end a text.
_TAKES_ENDS = ("vllm", "sglang")


@dataclass(frozen=True, kw_only=True)
class CheckpointServer(OpenAiBackend):
    """The checkpoint behind a server that was started here.

    Attributes:
        reader: tokenizer and context of the checkpoint.
    """

    reader: Reader

    def generate(
        self,
        examples: Sequence[Example],
        *,
        task: str,
        generation: Generation,
        on_written: Callable[[int, int], None],
        remember: Remember,
        apart: bool = False,
    ) -> Texts:
        """The texts written to each prompt, as `Backend` has it.

        Raises:
            DataError: a prompt with the longest text is longer than the model's context.
            ModelError: the server does not answer.
        """
        context, new_tokens = self.reader.context_tokens, generation.max_new_tokens
        prompts_of(self.reader.tokenizer, examples, context, new_tokens, task=task)
        how: dict[str, Any] = {"on_written": on_written, "remember": remember, "apart": apart}
        return super().generate(examples, task=task, generation=generation, **how)

    def logprobs(self, encoded: Sequence[Encoded]) -> list[list[float]] | None:
        """Natural-log probability of each continuation of each example; None where the server gives none of prompts.

        Raises:
            ModelError: it does not answer.
        """
        with self._server:
            try:
                self._echo.check()
            except ModelError:
                return None
            return self._all(self._sums, encoded, lambda _: None)

    def _sums(self, example: Encoded) -> list[float]:
        rows, _ = self._echo.logprobs([example.prefix + answer for answer in example.continuations])
        return [math.fsum(row[len(example.prefix) :]) for row in rows]

    def _prompt(self, example: Example) -> tuple[str, dict[str, Any]]:
        (tokens,) = encode_prompts(self.reader.tokenizer, [example])
        ends = {"stop_token_ids": list(self.reader.ends)} if self._server.kind in _TAKES_ENDS else {}
        return "/completions", {"prompt": list(tokens), **ends}

    @cached_property
    def _server(self) -> Server:
        return Server(self.url, self.name, self.serving, is_ours=True)

    @cached_property
    def _reader(self) -> Reader:
        return self.reader
