"""Texts that a model writes behind prompts."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch

from chaintune.records import GeneratedText, Generation, Remember, Texts, canonical_digest
from chaintune.records.generation import at_once

_BATCH = 16


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[tuple[int, ...]],
    generation: Generation,
    *,
    names: Sequence[str],
    batch_tokens: int | None = None,  # noqa: ARG001
    on_written: Callable[[int, int], None] = lambda *_: None,
    remember: Remember = at_once,
) -> Texts:
    """The texts written behind each prompt, its samples, in batches of prompts of one length.

    Args:
        model: a causal language model.
        tokenizer: of the model.
        prompts: as token ids.
        generation: how texts are written.
        names: one a prompt.
        batch_tokens: tokens that go through the model together.
        on_written: called with the numbers of texts and of tokens that were written so far.
        remember: keeps the texts of a batch.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for number, prompt in enumerate(prompts):
        by_length[len(prompt)].append(number)
    texts: dict[int, list[GeneratedText]] = {}
    written = tokens = 0
    for length in sorted(by_length):
        for start in range(0, len(by_length[length]), _BATCH):
            batch = by_length[length][start : start + _BATCH]

            def write(batch: list[int] = batch) -> Texts:
                return [
                    [_text(model, tokenizer, prompts[number], generation) for _ in range(generation.samples)]
                    for number in batch
                ]

            rows = remember(canonical_digest([names[number] for number in batch]), write)
            texts |= dict(zip(batch, rows, strict=True))
            written += sum(map(len, rows))
            tokens += sum(text.tokens for row in rows for text in row)
            on_written(written, tokens)
    return [texts[number] for number in range(len(prompts))]


def _text(model: Any, tokenizer: Any, prompt: tuple[int, ...], generation: Generation) -> GeneratedText:
    inputs = torch.tensor([prompt], device=next(model.parameters()).device)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        out = model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=generation.max_new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
        )
    model.train(was_training)
    tokens = out[0, len(prompt) :].tolist()
    ended = bool(tokens) and tokens[-1] == tokenizer.eos_token_id
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    return GeneratedText(text, "stop" if ended else "length", len(tokens))
