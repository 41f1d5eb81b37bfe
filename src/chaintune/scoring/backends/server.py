"""An OpenAI-compatible server: asked through OpenAI's client, and what goes wrong with it in a sentence.

Requests are retried by the client, which waits as long as the server asks for. The key comes from the environment,
`OPENAI_API_KEY`, goes to the address that the user named and nowhere else, and is written nowhere: redirects are not
followed, and what a server says is shown without it.
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import urlsplit

from chaintune.errors import ModelError, nearest, require
from chaintune.scoring.backends.backend import AS_USUAL, Serving

KEY = "OPENAI_API_KEY"
# Of a request; with the client's pauses, about half a minute in all.
_RETRIES = 6
# Whoever waits for the first answer has most likely mistyped something.
FIRST_RETRIES = 2
# A list of models is not computed.
_SECONDS_TO_LIST, _RETRIES_TO_LIST = 30.0, 1
# An answer that is cut off inside its JSON, which the client takes for whole.
_CUT_ANSWERS = 3
_SHOWN_CHARACTERS = 400
# Variables that name files of certificates of authorities.
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_NO_SUCH_PATH = (404, 405, 501)


class RefusedError(ModelError):
    """A server understood a request and does not do it.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Server:
    """One model of a server.

    Attributes:
        url: of the server, up to `/v1`.
        name: of the model there.
        serving: how it is asked.
        is_ours: whether it was started here, so that no key goes to it, no proxy stands before it, and it serves one
            model, whatever it calls it.
    """

    url: str
    name: str
    serving: Serving = AS_USUAL
    is_ours: bool = False

    def __enter__(self) -> "Server":
        """The server, whose connections are closed when the context ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections; another request opens new ones."""
        if client := self.__dict__.pop("_client", None):
            client.close()

    def ask(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        retries: int = _RETRIES,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """The JSON object that the server answers with.

        Args:
            path: behind the address, such as `/completions`.
            body: that is posted; None gets instead.
            retries: of a request that was lost, or that the server wants to have again.
            seconds: after which it counts as lost; None is as `serving` has it.

        Raises:
            ModelError: the server cannot be reached, refuses the request, or answers with something else.
        """
        # No network loses what is asked of a server on this machine: one that does not answer has ended.
        retries = min(retries, FIRST_RETRIES) if self.is_ours else retries
        client = self._client.with_options(max_retries=retries, timeout=seconds or self.serving.timeout_seconds)
        from openai import OpenAIError

        said: object = None
        for _ in range(_CUT_ANSWERS):
            try:
                said = (
                    client.get(path, cast_to=object)
                    if body is None
                    else client.post(path, body={"model": self.name, **body}, cast_to=object)
                )
            except OpenAIError as error:
                sentence, status = self._sentence(error, path, seconds), getattr(error, "status_code", None)
                raise (ModelError(sentence) if status is None else RefusedError(sentence, status)) from None
            except ValueError:  # JSON that breaks off, or is no text
                continue
            if isinstance(said, dict):
                return said
        raise ModelError(f"{self.url} answers {path} with something that is no JSON object, {_CUT_ANSWERS} times over")

    @cached_property
    def entry(self) -> Mapping[str, Any]:
        """What the server's list of models says of this one; nothing where it keeps no list.

        Raises:
            ModelError: the list does not have it; or as `ask` has it.
        """
        if self._models and self.name not in self._models:
            names = [self.shown(name) for name in self._models]
            raise ModelError(f"{self.url} serves no model '{self.name}'; {nearest(self.name, names)}")
        return self._models.get(self.name, {})

    @property
    def base_entry(self) -> Mapping[str, Any]:
        """What the list says of the model that an adapter is put on, of others the same as of the model."""
        return self._models.get(str(self.entry.get("parent")), self.entry)

    @property
    def kind(self) -> str:
        """The program that serves, as it calls itself: `vllm`, `sglang`, `llamacpp`; empty where it does not say."""
        return str(self.entry.get("owned_by") or "")

    @property
    def context_tokens(self) -> int | None:
        """The longest sequence that it takes; None where it does not say."""
        most = self.entry.get("max_model_len") or self.base_entry.get("max_model_len")
        return most if isinstance(most, int) and most > 0 else None

    @cached_property
    def _models(self) -> dict[str, Mapping[str, Any]]:
        """Name -> what the server's list says of each model; empty where it keeps none."""
        try:
            seconds = min(_SECONDS_TO_LIST, self.serving.timeout_seconds)
            listed = self.ask("/models", retries=_RETRIES_TO_LIST, seconds=seconds).get("data")
        except RefusedError as error:
            if error.status not in _NO_SUCH_PATH:
                raise
            return {}
        return {str(one.get("id")): one for one in listed if isinstance(one, dict)} if isinstance(listed, list) else {}

    @cached_property
    def _client(self) -> Any:
        require("models behind a server", "openai", extra="openai")
        from openai import DefaultHttpxClient, OpenAI

        # A server of one's own asks for no key, and the client for some text.
        key = (not self.is_ours and os.environ.get(KEY)) or "none"
        if not (key.isascii() and key.isprintable()):
            raise ModelError(f"{KEY} holds characters that no key has, such as a line's end; set it again")
        return OpenAI(
            base_url=self.url,
            api_key=key,
            http_client=DefaultHttpxClient(
                follow_redirects=False,
                trust_env=not self.is_ours,
                verify=_authorities(*(os.environ.get(name) for name in _AUTHORITIES)),
            ),
        )

    def shown(self, text: object) -> str:
        """What a server said, in one line and not too long, without the key, which some servers repeat."""
        key, line = os.environ.get(KEY), " ".join(str(text).split())
        return (line.replace(key, "...") if key else line)[:_SHOWN_CHARACTERS]

    def _sentence(self, error: Exception, path: str, seconds: float | None) -> str:
        """What went wrong, without the key, which some servers repeat."""
        from openai import APITimeoutError

        status = getattr(error, "status_code", None)
        if isinstance(error, APITimeoutError):
            if seconds is not None:
                return f"{self.url} has not answered {path} within {seconds:g} seconds, twice over; is it ready?"
            return (
                f"{self.url} has not answered within {self.serving.timeout_seconds:g} seconds, several times over; "
                "wait longer by --timeout, or ask less at once by --at-once"
            )
        if status is None:
            if trouble := next((one for one in _causes(error) if isinstance(one, ssl.SSLError)), None):
                reason = getattr(trouble, "verify_message", "") or trouble.reason or "no secure connection"
                return (
                    f"{self.url} has a certificate that is not trusted ({reason}); name the file of its authority in "
                    "SSL_CERT_FILE, or the address that the certificate is for"
                )
            return f"{self.url} does not answer ({self.shown(str(error))})"
        if status in (401, 403):
            if self.is_ours:
                return (
                    f"{self.url} wants a key (HTTP {status}), and a server that is started here is sent none; leave "
                    "--api-key out of the command, and its like out of the environment (VLLM_API_KEY)"
                )
            return f"{self.url} refuses the key in {KEY} (HTTP {status})"
        if 300 <= status < 400:
            to = urlsplit(str(error.response.headers.get("location") or ""))  # type: ignore[attr-defined]
            where = f"to {self.shown(f'{to.scheme}://{to.hostname}{to.path}')}" if to.hostname else "elsewhere"
            return f"{self.url} redirects {where}, and the key would go along; name that address if you trust it"
        if status == 429:
            return (
                f"{self.url} keeps answering that it is asked too much (HTTP 429: {self._said(error)}); ask less at "
                "once by --at-once, or later: what was answered is kept"
            )
        return f"{self.url} refuses {path} (HTTP {status}: {self._said(error)})"

    def _said(self, error: Exception) -> str:
        body = getattr(error, "body", None)
        message = body.get("message") if isinstance(body, dict) else None
        return self.shown(str(message or error))


def is_here(url: str) -> bool:
    """Whether an address is of this machine.

    Example:
        >>> is_here("http://127.0.0.1:8000/v1"), is_here("https://api.openai.com/v1")
        (True, False)
    """
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".localhost")


def choices_of(answer: Mapping[str, Any], count: int, url: str) -> list[Mapping[str, Any]]:
    """What an answer holds for each of several prompts or samples, in their order.

    Args:
        answer: of completions or of chat completions.
        count: how many there are at most, and at least where there are several prompts.
        url: named in errors.

    Raises:
        ModelError: it holds something else.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != count or not all(isinstance(one, dict) for one in choices):
        got = len(choices) if isinstance(choices, list) else "no"
        raise ModelError(f"{url} answers with {got} choices where {count} were asked for")
    return sorted(choices, key=_place)


@lru_cache(maxsize=4)
def _authorities(*_named: str | None) -> ssl.SSLContext:
    """Whose certificates are trusted; read once for all clients, as long as the environment names the same ones."""
    import httpx

    return httpx.create_ssl_context()


def _place(choice: Mapping[str, Any]) -> int:
    place = choice.get("index")
    return place if isinstance(place, int) else 0


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
