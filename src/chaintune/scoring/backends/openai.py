"""Models behind an OpenAI-compatible server: `openai:URL#NAME`, or `openai:NAME` for OpenAI's own.

Turns go to its chat completions, plain text to its completions, and log-probabilities come from servers that repeat
what they read. What was answered is kept at once, so nothing is asked twice.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from chaintune.errors import DataError, ModelError
from chaintune.models import Reader, load_reader
from chaintune.models.encoding import Encoded, encode_of, encode_prompts
from chaintune.models.folders import CONFIG
from chaintune.models.names import locate_tokenizer
from chaintune.records import Example, GeneratedText, Generation, Message, Remember, Texts, canonical_digest
from chaintune.records.generation import Keep, kept_nowhere
from chaintune.scoring.backends.backend import AS_USUAL, Ability, Backend, BackendKind, Served, Serving
from chaintune.scoring.backends.echo import Echo
from chaintune.scoring.backends.server import KEY, Server, choices_of, is_here

_OFFICIAL = "https://api.openai.com/v1"
# What servers change in how they write, by default or as a model's files say, turned off: texts are drawn from the
# model's own distribution.
_PLAINLY: dict[str, dict[str, Any]] = {
    "vllm": {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
    "sglang": {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "llamacpp": {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
}
# Programs that refuse several samples in one request, unless they were started for it.
ONE_BY_ONE = ("llamacpp",)
# What llama.cpp says of the file that it serves.
_META = {"n_params": "parameters", "size": "bytes"}
_Answer = TypeVar("_Answer")


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
        serving: how it is asked.
    """

    url: str
    name: str
    serving: Serving = AS_USUAL

    @property
    def about(self) -> Mapping[str, str]:
        """Where it is served; nobody can check which weights these are."""
        return {"precision": "served"}

    def answer_logprobs(
        self,
        examples: Sequence[Example],
        *,
        task: str,
        on_scored: Callable[[int], None] = lambda _: None,
        keep: Keep = kept_nowhere,
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Log-probability and tokens of each answer, as `Backend` has it; several requests are under way at once.

        Raises:
            ModelError: the server gives no log-probabilities of what it reads, or cannot be asked.
        """
        with self._server:
            return self._answer_logprobs(examples, task, on_scored, keep)

    def _answer_logprobs(
        self, examples: Sequence[Example], task: str, on_scored: Callable[[int], None], keep: Keep
    ) -> tuple[list[list[float]], list[list[int]]]:
        echo, most = self._echo, self._server.context_tokens
        limits = [limit for limit in (echo.reader.context_tokens, None if most is None else most - 1) if limit]
        encoded = encode_of(echo.reader.tokenizer, examples, min(limits, default=None), task=task)
        echo.check()
        same = _SameModel(self._server, keep)

        def ask(pair: tuple[Example, Encoded]) -> list[float]:
            example, tokens = pair
            with _named(task, example):
                return cast("list[float]", keep(_part(example), partial(_summed, echo, same, tokens)))

        done = count(1)
        rows = self._all(ask, list(zip(examples, encoded, strict=True)), lambda _row: on_scored(next(done)))
        return rows, [[len(answer) for answer in one.continuations] for one in encoded]

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
        same = _SameModel(self._server, partial(_text_kept, remember))

        def write(example: Example) -> list[GeneratedText]:
            with _named(task, example):
                return remember(_part(example), lambda: [self._samples(example, generation, same)])[0]

        written: list[int] = []

        def tell(samples: list[GeneratedText]) -> None:
            written.extend(text.tokens for text in samples)
            on_written(len(written), sum(written))

        with self._server:
            _ = self._server.kind  # before the threads, of which each would ask
            return self._all(write, examples, tell)

    def check(self, needs: frozenset[Ability]) -> None:
        """Ask once whether the server can compute what is needed.

        Raises:
            ModelError: it cannot; the message says what to do.
        """
        if "log-probabilities" in needs:
            with self._server:
                self._echo.check()

    def rounding(self, examples: Sequence[Example], logprobs: Sequence[Sequence[float]]) -> str:  # noqa: ARG002
        """Nothing: it is the server that groups requests."""
        return ""

    @cached_property
    def _server(self) -> Server:
        return Server(self.url, self.name, self.serving)

    def reader_here(self) -> Reader | None:
        """Tokenizer and context of the model that is served, where they are here."""
        with self._server:
            return self._reader

    @cached_property
    def _reader(self) -> Reader | None:
        """The tokenizer of the model that is served: as the user names it, else of a folder of this machine."""
        if named := self.serving.tokenizer_of(self.name):
            return _reader_of(locate_tokenizer(named))
        if not is_here(self.url):  # the same path there may be another folder
            return None
        roots = (self._server.entry.get("root"), self._server.base_entry.get("root"), self.name)
        folders = [Path(root) for root in roots if isinstance(root, str) and root]
        here = next((folder for folder in folders if folder.is_absolute() and (folder / CONFIG).is_file()), None)
        return _reader_of(here) if here else None

    @cached_property
    def _echo(self) -> Echo:
        if self._reader is None:
            raise ModelError(
                f"{self.url} does not say which tokenizer model '{self.name}' has, and log-probabilities of answers "
                "need it; name the folder or Hub id of the model by --tokenizer"
            )
        return Echo(self._server, self._reader)

    def _all(
        self, ask: Callable[[Any], _Answer], asked: Sequence[Any], on_done: Callable[[_Answer], None]
    ) -> list[_Answer]:
        """The answers, in order; where one fails, what is under way is waited for and kept, and no more is asked."""
        with ThreadPoolExecutor(self.serving.at_once) as threads:
            futures = [threads.submit(ask, one) for one in asked]
            try:
                for future in as_completed(futures):
                    on_done(future.result())
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
        return [future.result() for future in futures]

    def _samples(self, example: Example, generation: Generation, same: "_SameModel") -> list[GeneratedText]:
        path, prompt = self._prompt(example)
        texts: list[GeneratedText] = []
        while (left := generation.samples - len(texts)) > 0:  # some servers write fewer at a time
            left = 1 if self._server.kind in ONE_BY_ONE else left
            drawn = {"seed": generation.seed + len(texts), "n": left} if generation.temperature else {}
            body = {
                **prompt,
                # OpenAI's own took the older name away.
                "max_completion_tokens" if self.url == _OFFICIAL else "max_tokens": generation.max_new_tokens,
                "temperature": generation.temperature,
                **drawn,
                **({"stop": list(generation.stop)} if generation.stop else {}),
                **_PLAINLY.get(self._server.kind, {}),
            }
            answer = same.checked(self._server.ask(path, body))
            made = len(answer["choices"]) if isinstance(answer.get("choices"), list) else 0
            choices = choices_of(answer, max(1, min(made, left)), self.url)
            usage = answer.get("usage")
            tokens = usage.get("completion_tokens") if isinstance(usage, dict) else 0
            texts += [_text(choice, (tokens or 0) // len(choices), self.url) for choice in choices]
        return texts

    def _prompt(self, example: Example) -> tuple[str, dict[str, Any]]:
        """Where a prompt goes, and it: as text and turns where the server reads them as we do, else as token ids."""
        turns = example.prompt
        if self._reader is not None:
            tokenizer = self._reader.tokenizer
            (tokens,) = encode_prompts(tokenizer, [example])
            plain = (
                tokenizer(turns, verbose=False)["input_ids"]
                if isinstance(turns, str)
                else tokenizer.apply_chat_template(_plain(turns), add_generation_prompt=True, return_dict=False)
                if tokenizer.chat_template and not example.chat.template
                else None
            )
            if plain is None or tuple(plain) != tokens:
                self._echo.check()
                return "/completions", {"prompt": list(tokens)}
        elif not isinstance(turns, str) and example.chat.template:
            raise DataError(
                "the server renders turns by its own chat template, and the task names another one; name the folder or "
                "Hub id of the model by --tokenizer, or leave 'chat_template' out"
            )
        if isinstance(turns, str):
            return "/completions", {"prompt": turns}
        return "/chat/completions", {"messages": _plain(turns)}


@lru_cache(maxsize=4)
def _reader_of(folder: Path) -> Reader:
    return load_reader(folder)


@dataclass
class _SameModel:
    """What the server calls its model, the same in every answer, of an earlier run too.

    Attributes:
        server: that answers.
        keep: keeps the name.
        name: as the first answer has it; None before.
    """

    server: Server
    keep: Keep
    name: str | None = None

    def checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer.

        Raises:
            ModelError: it is another model's.
        """
        name = str(answer.get("model") or "")
        if self.server.is_ours:
            return answer
        if self.name is None:
            self.name = str(self.keep("model", lambda: name))
        if name != self.name:
            raise ModelError(
                f"{self.server.url} answers as model '{name}' where it answered as '{self.name}' before; have it serve "
                "one model while it is asked, another one under another name"
            )
        return answer


def _text_kept(remember: Remember, name: str, compute: Callable[[], str]) -> str:
    """A text, kept as one that was written."""
    return remember(name, lambda: [[GeneratedText(compute(), "stop", 0)]])[0][0].text


def _summed(echo: Echo, same: _SameModel, tokens: Encoded) -> list[float]:
    """The log-probability of each answer."""
    rows, answer = echo.logprobs([tokens.prefix + answer for answer in tokens.continuations])
    same.checked(answer)
    return [math.fsum(row[len(tokens.prefix) :]) for row in rows]


def _part(example: Example) -> str:
    """The name of what is kept of an example."""
    return canonical_digest([example.id, example.asked_content()])


@contextmanager
def _named(task: str, example: Example) -> Iterator[None]:
    """Within this context what goes wrong bears the names of the task and the example."""
    try:
        yield
    except DataError as error:
        raise DataError(f"task '{task}', example '{example.id}': {error}") from error
    except ModelError as error:
        raise ModelError(f"task '{task}', example '{example.id}': {error}") from None


def _plain(turns: Sequence[Message]) -> list[dict[str, Any]]:
    return [{"role": turn.role, "content": turn.content, **turn.extra} for turn in turns]


def _text(choice: Mapping[str, Any], tokens: int, url: str) -> GeneratedText:
    """What was written, of a completion or of a turn."""
    message = choice.get("message")
    holder = message if isinstance(message, dict) else choice
    text = holder.get("content" if holder is message else "text", 0)
    if text is not None and not isinstance(text, str):
        raise ModelError(f"{url} answers with no text")
    # What vLLM and SGLang call the string that stopped it; of a token they give its id.
    is_string = any(isinstance(choice.get(key), str) for key in ("stop_reason", "matched_stop"))
    reason = "length" if choice.get("finish_reason") == "length" else "stop string" if is_string else "stop"
    return GeneratedText(text or "", cast("Any", reason), tokens)


def _identity(reference: str) -> str:
    """Address, name, and what the server says of the model that stays the same while it serves it."""
    url, name = split_reference(reference)
    with Server(url, name) as server:
        entry, base, meta = server.entry, server.base_entry, server.entry.get("meta")
    # `created` is the time of the request with most servers, and a longer context changes no answer.
    said = [entry.get("owned_by"), entry.get("root"), base.get("root") if base is not entry else None]
    said += [f"{meta[key]} {what}" for key, what in _META.items() if key in meta] if isinstance(meta, dict) else []
    words = [str(one) for one in dict.fromkeys(said) if one and one != name]
    return f"{url}#{name}" + (f" ({', '.join(words)})" if words else "")


KIND = BackendKind(
    "openai",
    "2",
    frozenset({"log-probabilities", "text"}),
    Served(
        _identity,
        lambda reference, serving: cast("Backend", OpenAiBackend(*split_reference(reference), serving)),
        lambda reference, serving, needs: OpenAiBackend(*split_reference(reference), serving).check(needs),
        lambda reference, serving: OpenAiBackend(*split_reference(reference), serving).reader_here(),
    ),
)
