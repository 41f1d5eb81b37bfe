"""Texts that a model writes behind prompts, many side by side, without padding and without masks.

What the prompts of a batch begin with is read once. The batch then reads as far as its shortest prompt goes and goes on
token by token together: longer prompts read their own next token while shorter ones write already. So every position
of the batch holds a token that counts, and what has ended leaves it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from math import ceil
from typing import Any, NamedTuple, TypeVar

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from chaintune.models.forward import are_read_alike, logits_only_at
from chaintune.models.roomy_cache import holds_keys_and_values, with_room
from chaintune.models.token_tree import common_beginning
from chaintune.models.undisturbed import evaluating
from chaintune.records.examples import canonical_digest
from chaintune.records.generation import GeneratedText, Generation, Remember, Texts, at_once
from chaintune.scoring.memory import Portions
from chaintune.scoring.writing import Rules, Writing, end_tokens

# Rows of more than these gain little; benchmarks/generation.py measures it. Tokens bound what keys and values take.
_CPU_ROWS, _GPU_ROWS = 128, 256
_CPU_TOKENS, _GPU_TOKENS = 16_384, 32_768
# To drop a row copies the cache of all others, which costs about an eighth of a step.
_DROPPED_FRACTION = 1 / 8
_STEPS_BETWEEN_REPORTS = 8

T = TypeVar("T")
# Writes the next token of some texts, by their logits.
GoOn = Callable[[Sequence[Writing], torch.Tensor], None]


class Asked(NamedTuple):
    """A text that is to be written: the prompt's name, its token ids, and which of its samples."""

    name: str
    prompt: tuple[int, ...]
    sample: int


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[tuple[int, ...]],
    generation: Generation,
    *,
    names: Sequence[str],
    batch_tokens: int | None = None,
    batch_rows: int | None = None,
    on_written: Callable[[int, int], None] = lambda *_: None,
    remember: Remember = at_once,
) -> Texts:
    """The texts written behind each prompt, its samples, in the order of the prompts.

    At temperature 0 each token is the likeliest, and above it drawn from the whole distribution: what the model's
    generation configuration says of penalties, top-k or forbidden tokens has no part in it, only the tokens that it
    says end a text. What is drawn depends on seed, name and sample, so that nothing depends on the batch but rounding.

    Models whose cache is more than keys and values, such as recurrent ones, write through `generate` of transformers,
    in batches of prompts of one length.

    Args:
        model: a causal language model of transformers, or a PEFT model around one; its mode is restored.
        tokenizer: of the model.
        prompts: as token ids, at least one each; with the longest text none longer than the model's context.
        generation: how texts are written.
        names: one a prompt, different ones.
        batch_tokens: of prompts and texts whose keys and values are held together; None is what suits the device.
        batch_rows: texts that are written together; None is what suits the device.
        on_written: called now and then with the numbers of texts and of tokens that were written so far.
        remember: keeps the texts of a batch, under a digest of its names and prompts.

    Raises:
        ModelError: the model answers with something that is no number, or memory does not suffice for one text.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    samples, texts = generation.samples, dict[int, list[GeneratedText]]()
    rows = _even(len(prompts) * samples, batch_rows or (_CPU_ROWS if on_cpu else _GPU_ROWS))
    tokens = batch_tokens or (_CPU_TOKENS if on_cpu else _GPU_TOKENS)
    order = sorted(range(len(prompts)), key=lambda number: (len(prompts[number]), prompts[number], names[number]))
    with torch.no_grad(), evaluating(model):
        writer = _Writer(model, tokenizer, generation, prompts, rows, tokens, on_written)
        lengths = [len(prompts[number]) for number in order]
        batches = writer.cut(order, lengths, tokens // samples, rows // samples)
        # Longest first, so that what is too much for memory fails at once.
        for batch in reversed(batches):
            asked = [Asked(names[number], prompts[number], sample) for number in batch for sample in range(samples)]
            name = canonical_digest([[names[number], list(prompts[number])] for number in batch])
            written = remember(name, partial(writer.write, asked))
            writer.count(written)
            texts |= dict(zip(batch, written, strict=True))
    return [texts[number] for number in range(len(prompts))]


def _even(texts: int, rows: int) -> int:
    """Rows of equally large batches, so that the last one is not a few that take nearly as long."""
    return ceil(texts / max(1, ceil(texts / rows)))


class _Writer:
    """Writes batch after batch; remembers how much memory allows, and how much is written."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        generation: Generation,
        prompts: Sequence[tuple[int, ...]],
        rows: int,
        tokens: int,
        on_written: Callable[[int, int], None],
    ) -> None:
        self._model, self._generation, self._rows, self._on_written = model, generation, rows, on_written
        self._rules = Rules(generation, tokenizer, end_tokens(model, tokenizer))
        self._side_by_side = not prompts or _goes_on(model, prompts, generation.max_new_tokens)
        self._texts = self._tokens = 0
        self._portions = Portions[Asked](
            type(model).__name__,
            tokens,
            cut=lambda asked, tokens: self.cut(asked, [len(one.prompt) for one in asked], tokens, rows),
            weigh=lambda asked: sum(len(one.prompt) + generation.max_new_tokens for one in asked),
        )

    def cut(self, items: Sequence[T], lengths: Sequence[int], tokens: int, rows: int) -> list[Sequence[T]]:
        """Runs of items whose texts fit into one batch; of one length each where the model takes no others.

        Args:
            items: by length.
            lengths: tokens of each item's prompt.
            tokens: of one batch at most, each prompt as long as the longest, with its text.
            rows: of one batch at most.
        """
        runs, start = list[Sequence[T]](), 0
        for place, length in enumerate(lengths):
            count = place - start + 1
            held = count * (length + self._generation.max_new_tokens)
            other = not self._side_by_side and length != lengths[start]
            if count > 1 and (count > rows or held > tokens or other):
                runs.append(items[start:place])
                start = place
        return [*runs, items[start:]] if items else []

    def write(self, asked: Sequence[Asked]) -> Texts:
        """The texts of a batch, prompt by prompt."""
        flat: list[GeneratedText] = []
        for whole in self.cut(asked, [len(one.prompt) for one in asked], self._portions.tokens, self._rows):
            for _, texts in self._portions.each(whole, partial(self._write, before=flat)):
                flat += texts
        samples = self._generation.samples
        return [flat[start : start + samples] for start in range(0, len(flat), samples)]

    def count(self, written: Texts) -> None:
        """Add texts that are there, from an earlier run or this one, and report it."""
        self._texts += sum(map(len, written))
        self._tokens += sum(text.tokens for samples in written for text in samples)
        self._on_written(self._texts, self._tokens)

    def _write(self, asked: Sequence[Asked], *, before: Sequence[GeneratedText]) -> list[GeneratedText]:
        writings = [self._rules.begin(*one) for one in asked]
        texts, tokens = self._texts + len(before), self._tokens + sum(text.tokens for text in before)
        steps = count()

        def go_on(rows: Sequence[Writing], logits: torch.Tensor) -> None:
            self._rules.go_on(rows, logits)
            if next(steps) % _STEPS_BETWEEN_REPORTS == _STEPS_BETWEEN_REPORTS - 1:
                ended = sum(one.finish_reason is not None for one in writings)
                self._on_written(texts + ended, tokens + sum(len(one.tokens) for one in writings))

        write = _write_side_by_side if self._side_by_side else _write_by_transformers
        write(self._model, writings, go_on, new_tokens=self._generation.max_new_tokens)
        return [self._rules.finished(one) for one in writings]


def _goes_on(model: Any, prompts: Sequence[tuple[int, ...]], new_tokens: int) -> bool:
    """Whether texts of different lengths can be written side by side: whether keys and values are all that is kept."""
    if not are_read_alike(model, (1, max(map(len, prompts)) + new_tokens)):
        return False
    first = torch.tensor([prompts[0][:1]], device=next(model.parameters()).device)
    return holds_keys_and_values(getattr(model(input_ids=first, use_cache=True), "past_key_values", None))


def _write_side_by_side(model: Any, writings: Sequence[Writing], go_on: GoOn, *, new_tokens: int) -> None:
    """Write texts to their ends, all of them at the same position at any time.

    Args:
        model: whose cache is keys and values.
        writings: by the lengths of their prompts.
        go_on: writes the next token of some, by their logits.
        new_tokens: of each text at most.
    """
    rows, prompts = list(writings), [one.prompt for one in writings]
    read, longest = len(prompts[0]), len(prompts[-1])
    # The last token of a prompt predicts, so each row reads it for itself.
    shared = min(common_beginning(min(prompts), max(prompts)), read - 1)
    first = [prompts[0][:shared]] if shared else [prompt[:read] for prompt in prompts]
    logits, cache = _read(model, first, [not shared and len(prompt) == read for prompt in prompts[: len(first)]])
    cache = with_room(cache, rows=len(rows), tokens=longest + new_tokens - len(first[0]))
    at_end = [len(prompt) == read for prompt in prompts]
    if shared:
        logits, _ = _read(model, [prompt[shared:read] for prompt in prompts], at_end, cache)
    while True:
        go_on([row for row, predicts in zip(rows, at_end, strict=True) if predicts], logits)
        left = [place for place, row in enumerate(rows) if row.finish_reason is None]
        if not left:
            return
        if len(left) <= (1 - _DROPPED_FRACTION) * len(rows):
            cache.batch_select_indices(torch.tensor(left, device=logits.device))
            rows = [rows[place] for place in left]
        read += 1
        at_end = [len(row.prompt) <= read and row.finish_reason is None for row in rows]
        logits, _ = _read(model, [[_token_at(row, read - 1)] for row in rows], at_end, cache)


def _read(
    model: Any, tokens: Sequence[Sequence[int]], predicting: Sequence[bool], cache: Any = None
) -> tuple[torch.Tensor, Any]:
    """Read tokens behind those of a cache. Logits behind the last one of the rows that predict, and the cache.

    Shape:
        `[N, V]`, of N rows that predict.
    """
    inputs = torch.tensor(tokens, device=next(model.parameters()).device)  # [B, T]
    positions = torch.zeros_like(inputs, dtype=torch.bool)
    positions[:, -1] = torch.tensor(predicting, device=inputs.device)
    with logits_only_at(model, positions):
        out = model(input_ids=inputs, past_key_values=cache, use_cache=True)
    return out.logits, out.past_key_values


def _token_at(row: Writing, position: int) -> int:
    """Of prompt and text; behind the end of a text that waits to be dropped its last token again."""
    if position < len(row.prompt):
        return row.prompt[position]
    return row.tokens[min(position - len(row.prompt), len(row.tokens) - 1)]


def _write_by_transformers(model: Any, writings: Sequence[Writing], go_on: GoOn, *, new_tokens: int) -> None:
    """Write texts to their ends behind prompts of one length, by `generate` of transformers.

    Args:
        model: any causal language model.
        writings: behind prompts of one length.
        go_on: writes the next token of some, by their logits.
        new_tokens: of each text at most.
    """
    prompts = torch.tensor([one.prompt for one in writings], device=next(model.parameters()).device)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    with _own_rules(base):
        base.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            logits_processor=LogitsProcessorList([_Chosen(writings, go_on)]),
            stopping_criteria=StoppingCriteriaList([_Ended(writings)]),
            max_new_tokens=new_tokens,
        )


class _Chosen(LogitsProcessor):
    """Leaves nothing possible but the token that was chosen here."""

    def __init__(self, writings: Sequence[Writing], go_on: GoOn) -> None:
        self._writings, self._go_on = writings, go_on

    def __call__(self, _input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._go_on(self._writings, scores)
        tokens = torch.tensor([one.tokens[-1] for one in self._writings], device=scores.device)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


class _Ended(StoppingCriteria):
    def __init__(self, writings: Sequence[Writing]) -> None:
        self._writings = writings

    def __call__(self, input_ids: torch.Tensor, _scores: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.tensor([one.finish_reason is not None for one in self._writings], device=input_ids.device)


@contextmanager
def _own_rules(model: Any) -> Iterator[None]:
    """Within this context transformers takes no rules from the model's generation configuration."""
    usual = model.generation_config
    model.generation_config = GenerationConfig(pad_token_id=0)
    try:
        yield
    finally:
        model.generation_config = usual
