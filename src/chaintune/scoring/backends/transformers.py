"""Models of transformers in this process, along trees of tokens where they can attend so."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chaintune.errors import ModelError
from chaintune.models.encoding import Encoded, check_lengths, encode_examples, encode_of, errors_of, prompts_of
from chaintune.models.loading import LoadedModel
from chaintune.models.processes import SINGLE_PROCESS, Rank
from chaintune.models.taught import encode_taught
from chaintune.records import Example, Generation, Remember, Texts
from chaintune.records.generation import Keep, at_once, kept_nowhere
from chaintune.scoring.backends.backend import BackendKind, CheckpointFiles
from chaintune.scoring.generation import generate
from chaintune.scoring.logprobs import answer_logprobs
from chaintune.scoring.rounding import rounding

# One by one would group the arithmetic otherwise too, and take five times as long.
_APART_ROWS = 8


@dataclass(frozen=True)
class TransformersBackend:
    """A loaded model.

    Attributes:
        loaded: the model and its tokenizer; it is left as it was.
        batch_tokens: tokens that go through the model together; None is what suits the device.
        share: of the work that is this process's, where several score together, each with the whole model or its
            piece of it; they have to call everything alike, and all get all numbers.
    """

    loaded: LoadedModel
    batch_tokens: int | None = None
    share: Rank = SINGLE_PROCESS

    @property
    def about(self) -> Mapping[str, str]:
        """The precision."""
        return {"precision": self.loaded.precision}

    def answer_logprobs(
        self,
        examples: Sequence[Example],
        *,
        task: str,
        on_scored: Callable[[int], None] = lambda _: None,
        keep: Keep = kept_nowhere,  # noqa: ARG002 - all are there at once, or soon again
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Log-probability and tokens of each answer, as `Backend` has it."""
        encoded = encode_of(self.loaded.tokenizer, examples, self.loaded.context_tokens, task=task)
        return self._logprobs(examples, encoded, task, on_scored)

    def ended_logprobs(
        self, examples: Sequence[Example], *, task: str, on_scored: Callable[[int], None] = lambda _: None
    ) -> tuple[list[list[float]], list[list[int]]]:
        """The same of answers with their ends, of the last turn of a conversation."""
        with errors_of(task):
            taught = encode_taught(self.loaded.tokenizer, examples, last_turn_only=True)
        encoded = [turn for (turn,) in taught]
        lengths = [example.longest_tokens for example in encoded]
        check_lengths(examples, lengths, self.loaded.context_tokens, task=task)
        return self._logprobs(examples, encoded, task, on_scored)

    def _logprobs(
        self, examples: Sequence[Example], encoded: Sequence[Encoded], task: str, on_scored: Callable[[int], None]
    ) -> tuple[list[list[float]], list[list[int]]]:
        rows = answer_logprobs(
            self.loaded.model, encoded, batch_tokens=self.batch_tokens, on_scored=on_scored, share=self.share
        )
        logprobs = self.share.merged(rows, self.loaded.device)
        for example, row in zip(examples, logprobs, strict=True):
            if any(map(math.isnan, row)):
                what = f"the model gives NaN for example '{example.id}'"
                raise ModelError(f"task '{task}': {what}; its weights are broken")
        return logprobs, [[len(answer) for answer in example.continuations] for example in encoded]

    def generate(
        self,
        examples: Sequence[Example],
        *,
        task: str,
        generation: Generation,
        on_written: Callable[[int, int], None] = lambda *_: None,
        remember: Remember = at_once,
        apart: bool = False,
    ) -> Texts:
        """The texts written to each prompt, as `Backend` has it."""
        loaded = self.loaded
        prompts = prompts_of(loaded.tokenizer, examples, loaded.context_tokens, generation.max_new_tokens, task=task)
        with errors_of(task):
            return generate(
                loaded.model,
                loaded.tokenizer,
                prompts,
                generation,
                names=[example.id for example in examples],
                batch_tokens=self.batch_tokens,
                batch_rows=_few(len(prompts) * generation.samples) if apart else None,
                on_written=on_written,
                remember=remember,
            )

    def rounding(self, examples: Sequence[Example], logprobs: Sequence[Sequence[float]]) -> str:
        """What changed when some examples were scored with their prompts read one by one."""
        encoded = encode_examples(self.loaded.tokenizer, examples)
        model, tokens = self.loaded.model, self.batch_tokens
        return rounding(model, examples, encoded, logprobs, batch_tokens=tokens, share=self.share)


def _few(texts: int) -> int:
    """Rows of batches that are smaller than the usual ones of so many texts: one where these are small."""
    return max(1, min(_APART_ROWS, texts // _APART_ROWS))


def _open(checkpoint: CheckpointFiles) -> TransformersBackend:
    return TransformersBackend(checkpoint.load())


KIND = BackendKind(
    "transformers",
    "1",
    frozenset({"log-probabilities", "log-probabilities of ended answers", "text"}),
    _open,
    TransformersBackend,
)
