"""Models behind an OpenAI-compatible server: `openai:URL#NAME`, or `openai:NAME` for OpenAI's own.

Turns go to its chat completions, plain text to its completions, and log-probabilities come from servers that repeat
what they read. What was answered is kept at once, so nothing is asked twice.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast

from chaintune.errors import DataError, ModelError
from chaintune.models import Reader, load_reader
from chaintune.models.encoding import Encoded, encode_of
from chaintune.models.folders import CONFIG
from chaintune.models.names import locate_tokenizer
from chaintune.records import Example, GeneratedText, Generation, Remember, Texts, canonical_digest
from chaintune.records.generation import Keep, kept_nowhere
from chaintune.scoring.backends.backend import AS_USUAL, AT_ONCE, Ability, Backend, BackendKind, Served, Serving
from chaintune.scoring.backends.echo import Echo
from chaintune.scoring.backends.prompts import own_ids, plain_turns
from chaintune.scoring.backends.same_model import SameModel, text_kept
from chaintune.scoring.backends.served_name import OFFICIAL, identity_of, split_reference
from chaintune.scoring.backends.server import Server, choices_of, is_here

# What servers change in how they write, by default or as a model's files say, turned off: texts are drawn from the
# model's own distribution.
_PLAINLY: dict[str, dict[str, Any]] = {
    "vllm": {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
    "sglang": {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "llamacpp": {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
}
# Programs that refuse several samples in one request, unless they were started for it.
_ONE_BY_ONE = ("llamacpp",)
_Answer = TypeVar("_Answer")
_Prompt = tuple[str, dict[str, Any]]
_LOG = logging.getLogger(__name__)


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
        """Where it is served, and what it answers as; nobody can check which weights these are."""
        return {"precision": "served", **self._answered_as}

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
        same = SameModel(self._server, keep, self._answered_as)

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
        same = SameModel(self._server, partial(text_kept, remember), self._answered_as)

        def write(pair: tuple[Example, _Prompt]) -> list[GeneratedText]:
            example, prompt = pair
            with _named(task, example):
                return remember(_part(example), lambda: [self._samples(prompt, generation, same)])[0]

        written: list[int] = []

        def tell(samples: list[GeneratedText]) -> None:
            written.extend(text.tokens for text in samples)
            on_written(len(written), sum(written))

        with self._server:
            # Before the threads: tokenizers keep state while they work, and each thread would ask what the server is.
            prompts, _ = self._prompts(examples, generation, task=task), self._server.kind
            return self._all(write, list(zip(examples, prompts, strict=True)), tell)

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
        """The answers, in order; where one fails, what is under way is waited for and kept, and no more is asked.

        Whoever interrupts it waits for none.
        """
        threads = ThreadPoolExecutor(self._at_once)
        futures = [threads.submit(ask, one) for one in asked]
        try:
            for future in as_completed(futures):
                on_done(future.result())
        except Exception:
            threads.shutdown(cancel_futures=True)
            raise
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
        return [future.result() for future in futures]

    @property
    def _at_once(self) -> int:
        return self.serving.at_once or AT_ONCE

    def _samples(self, prompt: _Prompt, generation: Generation, same: SameModel) -> list[GeneratedText]:
        path, asked = prompt
        texts: list[GeneratedText] = []
        while (left := generation.samples - len(texts)) > 0:  # some servers write fewer at a time
            left = 1 if self._server.kind in _ONE_BY_ONE else left
            drawn = {"seed": generation.seed + len(texts), "n": left} if generation.temperature else {}
            body = {
                **asked,
                # OpenAI's own took the older name away.
                "max_completion_tokens" if self.url == OFFICIAL else "max_tokens": generation.max_new_tokens,
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

    def _prompts(self, examples: Sequence[Example], generation: Generation, *, task: str) -> list[_Prompt]:  # noqa: ARG002
        """Where each prompt goes, and it."""
        prompts: list[_Prompt] = []
        for example in examples:
            with _named(task, example):
                prompts.append(self._prompt(example))
        return prompts

    def _prompt(self, example: Example) -> _Prompt:
        """As text and turns where the server reads them as we do or takes nothing else, else as token ids."""
        turns, reader = example.prompt, self._reader
        ids = own_ids(reader.tokenizer, example) if reader else None
        if ids is not None and self._takes_ids:
            return "/completions", {"prompt": list(ids)}
        if isinstance(turns, str):
            return "/completions", {"prompt": turns}
        if example.chat.template:
            way_out = "" if reader else "name the folder or Hub id of the model by --tokenizer, or "
            raise DataError(
                "the server renders turns by its own chat template, and the task names another one; "
                f"{way_out}leave 'chat_template' out"
            )
        return "/chat/completions", {"messages": plain_turns(turns)}

    @cached_property
    def _takes_ids(self) -> bool:
        """Whether the server shows that it reads token ids as our own tokenizer does; a warning where it does not."""
        if lack := self._echo.lack:
            _LOG.warning(
                "%s; so prompts that our own code would read otherwise, as those with control tokens in them, go to it "
                "as text and turns, and are read as the server does",
                lack,
            )
        return not lack

    @cached_property
    def _answered_as(self) -> dict[str, str]:
        """What the server called its model in the first answer of all, by `ANSWERED_AS`; empty before."""
        return {}


@lru_cache(maxsize=4)
def _reader_of(folder: Path) -> Reader:
    return load_reader(folder)


def _summed(echo: Echo, same: SameModel, tokens: Encoded) -> list[float]:
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


def _text(choice: Mapping[str, Any], tokens: int, url: str) -> GeneratedText:
    """What was written, of a completion or of a turn."""
    message = choice.get("message")
    holder = message if isinstance(message, dict) else choice
    text = holder.get("content" if holder is message else "text", 0)
    if choice.get("finish_reason") == "content_filter":
        raise ModelError(
            f"{url} withholds a text, or the rest of one (finish_reason content_filter), and what it withholds is no "
            "text of the model's; leave the example out, or turn its filter off"
        )
    text = holder.get("refusal") if text is None else text  # where OpenAI's own keep the words of a refusal
    if text is not None and not isinstance(text, str):
        raise ModelError(f"{url} answers with no text")
    # What vLLM and SGLang call the string that stopped it; of a token they give its id.
    is_string = any(isinstance(choice.get(key), str) for key in ("stop_reason", "matched_stop"))
    reason = "length" if choice.get("finish_reason") == "length" else "stop string" if is_string else "stop"
    return GeneratedText(text or "", cast("Any", reason), tokens)


KIND = BackendKind(
    "openai",
    "2",
    frozenset({"log-probabilities", "text"}),
    Served(
        identity_of,
        lambda reference, serving: cast("Backend", OpenAiBackend(*split_reference(reference), serving)),
        lambda reference, serving, needs: OpenAiBackend(*split_reference(reference), serving).check(needs),
        lambda reference, serving: OpenAiBackend(*split_reference(reference), serving).reader_here(),
    ),
)
