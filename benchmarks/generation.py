"""Tokens a second: chaintune's texts beside those of plain `generate` of transformers at batch 16, in one run.

    python benchmarks/generation.py [--task do_not_answer] [--prompts 100] [--rounds 3] [--new-tokens 40 64]

Both write to the same prompts, greedily and with the same limit, with one model in memory, and take turns. The plain
one takes prompts as they come, padded on the left, batch by batch. Tokens count up to the end of each text, and
seconds with decoding.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from chaintune import models, tasks
from chaintune.execution.bases import open_base
from chaintune.models.encoding import encode_prompts
from chaintune.records import Generation
from chaintune.scoring.generation import generate
from chaintune.scoring.writing import end_tokens
from chaintune.store.folder import FolderStore

Prompts = Sequence[tuple[int, ...]]


def prompts_of(task: str, count: int, tokenizer: Any) -> list[tuple[int, ...]]:
    """Prompts of a task as a model reads them, evenly spaced over it."""
    loaded = tasks.load(task)
    examples = sorted((*loaded.train, *loaded.test), key=lambda one: one.id)
    return encode_prompts(tokenizer, examples[:: max(1, len(examples) // count)][:count])


def run_theirs(
    loaded: models.LoadedModel, prompts: Prompts, new_tokens: int, batch: int
) -> tuple[float, list[str], int]:
    """Seconds, the texts, and how many tokens they have."""
    model, tokenizer = loaded.model, loaded.tokenizer
    ends, texts, tokens = end_tokens(model, tokenizer), list[str](), 0
    pad = min(ends, default=0)
    started = time.monotonic()
    for start in range(0, len(prompts), batch):
        rows = prompts[start : start + batch]
        width = max(map(len, rows))
        inputs = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows], device=loaded.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=loaded.device)
        out = model.generate(
            inputs,
            attention_mask=mask,
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=sorted(ends),
            pad_token_id=pad,
        )
        for row in out[:, width:].tolist():
            end = next((place + 1 for place, token in enumerate(row) if token in ends), len(row))
            texts.append(tokenizer.decode(row[:end], skip_special_tokens=True))
            tokens += end
    return time.monotonic() - started, texts, tokens


def run_ours(loaded: models.LoadedModel, prompts: Prompts, new_tokens: int) -> tuple[float, list[str], int]:
    """The same."""
    names = [str(number) for number in range(len(prompts))]
    started = time.monotonic()
    written = generate(loaded.model, loaded.tokenizer, prompts, Generation(max_new_tokens=new_tokens), names=names)
    seconds = time.monotonic() - started
    return seconds, [text.text for (text,) in written], sum(text.tokens for (text,) in written)


def race(loaded: models.LoadedModel, prompts: Prompts, *, new_tokens: int, rounds: int, batch: int) -> None:
    """Take turns, and print what came of it."""
    ours_rates, theirs_rates, alike = list[float](), list[float](), 0.0
    run_ours(loaded, prompts[:16], 4)  # what is set up at the first call counts for neither
    for _ in range(rounds):
        seconds, ours, tokens = run_ours(loaded, prompts, new_tokens)
        ours_rates.append(tokens / seconds)
        seconds, theirs, tokens = run_theirs(loaded, prompts, new_tokens, batch)
        theirs_rates.append(tokens / seconds)
        alike = statistics.mean(one == other for one, other in zip(ours, theirs, strict=True))
    ratios = [ours / theirs for ours, theirs in zip(ours_rates, theirs_rates, strict=True)]
    print(
        f"| {new_tokens} | {len(prompts)} | {statistics.mean(map(len, prompts)):.0f} | {spread(theirs_rates, 1)} "
        f"| {spread(ours_rates, 1)} | {spread(ratios, 2)} | {100 * alike:.0f} % |",
        flush=True,
    )


def spread(values: Sequence[float], digits: int) -> str:
    """Median, and the range where there is one."""
    middle, low, high = (f"{one:.{digits}f}" for one in (statistics.median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def main() -> None:
    """Run every race and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="do_not_answer")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--new-tokens", nargs="+", type=int, default=[40, 64])
    parser.add_argument("--batch", type=int, default=16, help="of the plain one")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    precision = models.resolve_precision(options.precision)
    loaded = models.load(open_base(options.model, FolderStore()).folder, precision=precision)
    print(
        f"{platform.platform()}, {torch.get_num_threads()} threads, torch {torch.__version__}, transformers "
        f"{transformers.__version__}, {options.model}, {precision}, {options.task}\n"
    )
    print("| new tokens | prompts | their tokens | generate, tokens/s | chaintune, tokens/s | ratio | texts alike |")
    print("| --- " * 7 + "|")
    prompts = prompts_of(options.task, options.prompts, loaded.tokenizer)
    for new_tokens in options.new_tokens:
        race(loaded, prompts, new_tokens=new_tokens, rounds=options.rounds, batch=options.batch)


if __name__ == "__main__":
    main()
