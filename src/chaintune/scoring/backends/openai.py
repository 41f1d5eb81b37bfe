"""Models behind an OpenAI-compatible server, asked for texts: `openai:URL#NAME`, or `openai:NAME` for OpenAI's own.

The key comes from the environment, `OPENAI_API_KEY`, and is written nowhere. Requests are retried by OpenAI's client.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, cast
from urllib.parse import urlsplit

from chaintune.errors import ModelError, require
from chaintune.records import Example, GeneratedText, Generation, Message, Remember, Texts, canonical_digest
from chaintune.scoring.backends.backend import Backend, BackendKind, Served

KEY = "OPENAI_API_KEY"
_OFFICIAL = "https://api.openai.com/v1"
# Of one part that is kept, and at once.
_PART, _AT_ONCE = 32, 8


def split_reference(reference: str) -> tuple[str, str]:
    """The address of the server and the name of the model there.

    Raises:
        ModelError: it names no model, or an address with a user, a password or a query, which may be secrets.

    Example:
        >>> split_reference("http://localhost:8000/v1#own-judge"), split_reference("gpt-9")
        (('http://localhost:8000/v1', 'own-judge'), ('https://api.openai.com/v1', 'gpt-9'))
    """
    url, hash_sign, name = reference.rpartition("#")
    if not hash_sign:
        url, name = ("", "") if "://" in reference else (_OFFICIAL, reference)
    parts = urlsplit(url)
    if not name or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ModelError(
            f"model 'openai:{reference.partition('@')[2] or reference}': expected openai:URL#NAME, such as "
            "openai:http://localhost:8000/v1#NAME"
        )
    if parts.username is not None or parts.password is not None or parts.query:
        raise ModelError(
            f"model 'openai:...#{name}': its address holds a user, a password or a query, which would be written into "
            f"results; hand the key over in {KEY}"
        )
    return url.rstrip("/"), name


@dataclass(frozen=True)
class OpenAiBackend:
    """One model of a server.

    Attributes:
        url: of the server, up to `/v1`.
        name: of the model there.
    """

    url: str
    name: str

    @property
    def about(self) -> Mapping[str, str]:
        """Where it is served; nobody can check which weights these are."""
        return {"precision": "served"}

    def generate(
        self,
        examples: Sequence[Example],
        *,
        task: str,
        generation: Generation,
        on_written: Callable[[int, int], None],
        remember: Remember,
        apart: bool = False,  # noqa: ARG002 - it is the server that groups requests
    ) -> Texts:
        """The texts written to each prompt, as `Backend` has it; several requests are under way at once.

        Raises:
            ModelError: the server cannot be reached, refuses the request, or answers otherwise than OpenAI's would.
        """
        texts: Texts = []
        for start in range(0, len(examples), _PART):
            part = examples[start : start + _PART]
            name = canonical_digest([[example.id, example.asked_content()] for example in part])
            texts += remember(name, partial(self._written, part, generation, task))
            written = [text for samples in texts for text in samples]
            on_written(len(written), sum(text.tokens for text in written))
        return texts

    @cached_property
    def _client(self) -> Any:
        require("models behind a server", "openai", extra="openai")
        from openai import OpenAI

        # A server of one's own asks for no key, and the client for some text.
        return OpenAI(base_url=self.url, api_key=os.environ.get(KEY) or "none")

    def _written(self, examples: Sequence[Example], generation: Generation, task: str) -> Texts:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(lambda example: self._samples(example, generation, task), examples))

    def _samples(self, example: Example, generation: Generation, task: str) -> list[GeneratedText]:
        turns = (Message("user", example.prompt),) if isinstance(example.prompt, str) else example.prompt
        drawn = {"seed": generation.seed, "n": generation.samples} if generation.temperature else {}
        stop = {"stop": list(generation.stop)} if generation.stop else {}
        client = self._client
        from openai import OpenAIError

        try:
            answer = client.chat.completions.create(
                model=self.name,
                messages=[{"role": turn.role, "content": turn.content, **turn.extra} for turn in turns],
                max_tokens=generation.max_new_tokens,
                temperature=generation.temperature,
                **drawn,
                **stop,
            )
        except OpenAIError as error:
            raise ModelError(f"task '{task}', example '{example.id}': {self._refusal(error)}") from None
        if not answer.choices or len(answer.choices) < (generation.samples if drawn else 1):
            raise ModelError(f"task '{task}', example '{example.id}': {self.url} answers with no text")
        tokens = answer.usage.completion_tokens if answer.usage else 0
        return [
            GeneratedText(
                choice.message.content or "",
                "length" if choice.finish_reason == "length" else "stop",
                tokens // len(answer.choices),
            )
            for choice in answer.choices
        ]

    def _refusal(self, error: Exception) -> str:
        """What the server says, without the key, which some servers repeat in part."""
        status = getattr(error, "status_code", None)
        if status in (401, 403):
            return f"{self.url} refuses the key in {KEY} (HTTP {status})"
        key, text = os.environ.get(KEY), " ".join(str(error).split())[:400]
        return f"{self.url} does not answer ({text.replace(key, '...') if key else text})"


def _identity(reference: str) -> str:
    url, name = split_reference(reference)
    return f"{url}#{name}"


KIND = BackendKind(
    "openai",
    "1",
    frozenset({"text"}),
    Served(_identity, lambda reference: cast("Backend", OpenAiBackend(*split_reference(reference)))),
)
