"""A server of this machine that holds one checkpoint whose files are here: it is asked by tokens.

Prompts are rendered and cut into tokens by our own code, so that the server reads what our own scorer would read: the
same chat template, the same beginning, the same special tokens. Its address leads nowhere else: no key, no proxy.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from chaintune.errors import ModelError, require
from chaintune.models.encoding import Encoded, encode_of, errors_of, prompts_of
from chaintune.models.loading import Reader
from chaintune.records import Example, GeneratedText, Generation, Remember, Texts, canonical_digest
from chaintune.records.generation import FinishReason, Keep, kept_nowhere

# Of one part that is kept, and at once: a server computes many side by side.
_PART, _AT_ONCE = 256, 64
_SECONDS_TO_ANSWER = 3600.0
# Our own scorer takes no rules from a model's generation configuration, and servers take them unless told otherwise.
_NO_RULES: Mapping[str, Any] = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}


class NoLogprobsError(ModelError):
    """A server gives no log-probabilities of prompts."""


@dataclass(frozen=True)
class CheckpointServer:
    """The checkpoint behind a server.

    Attributes:
        url: of the server, up to `/v1`.
        name: of the model there.
        reader: tokenizer and context of the checkpoint.
    """

    url: str
    name: str
    reader: Reader

    @property
    def about(self) -> Mapping[str, str]:
        """The precision, which is the server's."""
        return {"precision": "served"}

    def answer_logprobs(
        self,
        examples: Sequence[Example],
        *,
        task: str,
        on_scored: Callable[[int], None],
        keep: Keep = kept_nowhere,
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Log-probability and tokens of each answer, as `Backend` has it."""
        encoded = encode_of(self.reader.tokenizer, examples, self.reader.context_tokens, task=task)
        logprobs: list[list[float]] = []
        for start in range(0, len(encoded), _PART):
            part = encoded[start : start + _PART]
            name = canonical_digest([[list(one.prefix), list(map(list, one.continuations))] for one in part])
            with errors_of(task):
                logprobs += keep(name, partial(self.logprobs, part))
            on_scored(len(logprobs))
        return logprobs, [[len(answer) for answer in example.continuations] for example in encoded]

    def logprobs(self, encoded: Sequence[Encoded]) -> list[list[float]]:
        """Natural-log probability of each continuation of each example.

        Raises:
            NoLogprobsError: the server gives none.
            ModelError: it does not answer.
        """
        rows = [(example.prefix, answer) for example in encoded for answer in example.continuations]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            sums = iter(list(threads.map(lambda row: self._logprob(*row), rows)))
        return [[next(sums) for _ in example.continuations] for example in encoded]

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
        """The texts written to each prompt, as `Backend` has it; many requests are under way at once."""
        context, new = self.reader.context_tokens, generation.max_new_tokens
        prompts = prompts_of(self.reader.tokenizer, examples, context, new, task=task)
        texts: Texts = []
        for start in range(0, len(prompts), _PART):
            part = prompts[start : start + _PART]
            names = [example.id for example in examples[start : start + _PART]]
            name = canonical_digest([names, [list(prompt) for prompt in part]])
            with errors_of(task):
                texts += remember(name, partial(self._written, part, generation))
            written = [text for samples in texts for text in samples]
            on_written(len(written), sum(text.tokens for text in written))
        return texts

    def rounding(self, examples: Sequence[Example], logprobs: Sequence[Sequence[float]]) -> str:  # noqa: ARG002
        """Nothing: it is the server that groups requests."""
        return ""

    @cached_property
    def _client(self) -> Any:
        require("models behind a server", "openai", extra="openai")
        from openai import DefaultHttpxClient, OpenAI

        direct = DefaultHttpxClient(trust_env=False)
        return OpenAI(base_url=self.url, api_key="none", http_client=direct, timeout=_SECONDS_TO_ANSWER)

    def _written(self, prompts: Sequence[tuple[int, ...]], generation: Generation) -> Texts:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(lambda prompt: self._samples(prompt, generation), prompts))

    def _samples(self, prompt: tuple[int, ...], generation: Generation) -> list[GeneratedText]:
        drawn = {"seed": generation.seed, "n": generation.samples} if generation.temperature else {}
        stop = {"stop": list(generation.stop)} if generation.stop else {}
        answer = self._completion(
            prompt,
            max_tokens=generation.max_new_tokens,
            temperature=generation.temperature,
            top_p=1.0,
            extra_body={**_NO_RULES, "stop_token_ids": list(self.reader.ends)},
            **drawn,
            **stop,
        )
        if len(answer.choices) < (generation.samples if drawn else 1):
            raise ModelError(f"the server answers with {len(answer.choices)} of {generation.samples} texts")
        tokens = answer.usage.completion_tokens if answer.usage else 0
        return [
            GeneratedText(choice.text or "", _finish_reason(choice), tokens // len(answer.choices))
            for choice in answer.choices
        ]

    def _logprob(self, prefix: tuple[int, ...], answer: tuple[int, ...]) -> float:
        end = len(prefix) + len(answer)
        completion = self._completion((*prefix, *answer), max_tokens=0, temperature=0.0, echo=True, logprobs=1)
        known = completion.choices[0].logprobs if completion.choices else None
        own = list(known.token_logprobs or ())[len(prefix) : end] if known else []
        if len(own) < len(answer) or any(one is None for one in own):
            raise NoLogprobsError(
                "the server sends no log-probabilities of the prompt where 'echo' and 'logprobs' ask for them; leave "
                "choices and likelihoods to our own scorer, 'measures: [generation]', or serve by vLLM"
            )
        return float(sum(own))

    def _completion(self, prompt: Sequence[int], **how: Any) -> Any:
        client = self._client
        from openai import OpenAIError

        try:
            return client.completions.create(model=self.name, prompt=list(prompt), **how)
        except OpenAIError as error:
            text = " ".join(str(error).split())[:400]
            raise ModelError(f"the server at {self.url} does not answer ({text})") from None


def _finish_reason(choice: Any) -> FinishReason:
    if choice.finish_reason == "length":
        return "length"
    # What vLLM and SGLang say of a stop string; of a token they give its id.
    return "stop string" if isinstance(getattr(choice, "stop_reason", None), str) else "stop"
