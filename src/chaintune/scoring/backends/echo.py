"""Log-probabilities of what a server reads: it repeats a prompt with the log-probability of each token.

Prompts go to it as token ids, which our own tokenizer makes of them, so that the same tokens are scored as of a model
that is files: where prompt and answer meet, what stands in front, and how turns are rendered is never the server's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from chaintune.errors import ModelError
from chaintune.models.loading import Reader
from chaintune.scoring.backends.server import FIRST_RETRIES, RefusedError, Server, choices_of

# Words that tokenizers divide differently, of letters that decode alike everywhere.
_PROBE = "In 1987 twelve cats, all unfazed, outgrew Hyderabad's zoo; 46 didn't."
_BLANKS = str.maketrans("", "", " \u2581\u0120")  # as tokenizers write them
_WAY_OUT = "serve the model by vLLM or SGLang, have it scored from its files, or ask for texts ('measure: generation')"
# A probability of 1, and what rounding makes of it.
_MOST = 1e-3


# What servers answer to what they do not know how to do.
_CANNOT = (400, 404, 405, 415, 422, 500, 501)


class _NoNumbersError(ModelError):
    """An answer lacks log-probabilities."""


@dataclass(frozen=True)
class Echo:
    """The log-probabilities that a server gives of prompts.

    Attributes:
        server: that is asked.
        reader: whose tokenizer makes its prompts.
    """

    server: Server
    reader: Reader

    def check(self) -> None:
        """Ask once whether the server gives log-probabilities of what it reads, and reads as the tokenizer does.

        Raises:
            ModelError: it does not.
        """
        if lack := self.lack:
            raise ModelError(f"{lack}, and choices, likelihoods and preferences need them: {_WAY_OUT}")

    def logprobs(self, rows: Sequence[Sequence[int]]) -> tuple[list[list[float]], dict[str, Any]]:
        """Natural-log probability of each token of each row given those before it, of the first one NaN; the answer.

        Args:
            rows: token ids.

        Raises:
            ModelError: the server does not give them.
        """
        answer = self._ask(rows)
        choices = self._choices(answer, rows)
        return [self._numbers(choice, len(row)) for choice, row in zip(choices, rows, strict=True)], answer

    @cached_property
    def lack(self) -> str:
        """Why the server gives no log-probabilities of what it reads, as a sentence; empty where it does.

        Raises:
            ModelError: it cannot be asked, or reads token ids as other words than the tokenizer means.
        """
        tokenizer = self.reader.tokenizer
        ids = list(tokenizer(_PROBE, verbose=False)["input_ids"])
        while ids and ids[-1] in tokenizer.all_special_ids:  # so that the last one is known by its words
            ids.pop()
        try:
            (choice,) = self._choices(self._ask([ids], retries=FIRST_RETRIES), [ids])
            self._numbers(choice, len(ids))
        except _NoNumbersError as error:
            return str(error)
        except RefusedError as error:
            if error.status not in _CANNOT:
                raise
            return str(error)
        tokens = [_joined(one) for one in choice["logprobs"].get("tokens") or ()]
        probe, read = _joined(_PROBE), "".join(tokens)
        if probe in read and not "".join(tokens[: len(ids)]).endswith(probe):
            return f"{self.server.url} gives log-probabilities of other tokens than those that it was sent"
        if probe not in read and probe not in _joined(choice.get("text")):
            raise ModelError(
                f"{self.server.url} reads the token ids of tokenizer '{tokenizer.name_or_path}' as other "
                "words than it means; name the folder or Hub id of the model that is served by --tokenizer"
            )
        return ""

    def _ask(self, rows: Sequence[Sequence[int]], **how: int) -> dict[str, Any]:
        # One token is written, as not every server takes none; it is not looked at.
        body = {"prompt": list(map(list, rows)), "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        return self.server.ask("/completions", body, **how)

    def _choices(self, answer: Mapping[str, Any], rows: Sequence[Sequence[int]]) -> list[Mapping[str, Any]]:
        """What the answer holds for each row, after a check that the server read these tokens and no more."""
        sent, usage = sum(map(len, rows)), answer.get("usage")
        read = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        if isinstance(read, int) and read != sent:
            raise _NoNumbersError(f"{self.server.url} read {read} tokens where {sent} were sent")
        return choices_of(answer, len(rows), self.server.url)

    def _numbers(self, choice: Mapping[str, Any], count: int) -> list[float]:
        said = choice.get("logprobs")
        numbers = said.get("token_logprobs") if isinstance(said, dict) else None
        got = len(numbers) if isinstance(numbers, list) else 0
        if not isinstance(numbers, list) or not count <= got <= count + 1:
            raise _NoNumbersError(f"{self.server.url} gives {got} log-probabilities of {count} tokens that it read")
        if numbers[0] is not None:  # nothing is before it; so it would be another token's
            raise _NoNumbersError(f"{self.server.url} gives a log-probability of the first token that it read")
        rest = numbers[1:count]
        if wrong := [one for one in rest if not isinstance(one, int | float) or not one <= _MOST]:  # nor NaN
            raise _NoNumbersError(
                f"{self.server.url} gives '{self.server.shown(wrong[0])}' as the log-probability of a token"
            )
        return [math.nan, *map(float, rest)]


def _joined(text: object) -> str:
    """A text without its blanks."""
    return str(text).translate(_BLANKS)
