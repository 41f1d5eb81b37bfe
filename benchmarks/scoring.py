"""Items a second: chaintune's scorer beside lm-eval's, on the same prompts and choices, in one run.

    python benchmarks/scoring.py [--items 200] [--rounds 3] [--sets religion random csqa ...]

Both load the same folder in the same precision and alternate; lm-eval runs its HF backend at the batch
size of `--batches` that was fastest on the first items. `religion` is a whole category of BBQ, `random` a
thousand of its items; `-listed` names the choices in the prompt; `harness-bbq` is lm-eval's own BBQ task,
twelve continuations an item, beside the three of chaintune's. `--items` cuts every set, 0 leaves them whole.
The ceiling is the rate of plain matrix products, measured before and after each round.
"""

import argparse
import importlib
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import torch
import transformers
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from chaintune import models, tasks
from chaintune.execution.bases import open_base
from chaintune.models.encoding import encode_examples
from chaintune.models.precision import dtype_of
from chaintune.records import Example
from chaintune.scoring.logprobs import answer_logprobs
from chaintune.scoring.trees import count_tokens
from chaintune.store.folder import FolderStore
from chaintune.tasks.prompts import question_prompt

SETS = ("religion", "random", "csqa", "csqa-listed", "openbookqa", "openbookqa-listed", "harness-bbq")


@dataclass
class Race:
    """One set of items and what each contender took for it."""

    name: str
    items: Sequence[Example]
    theirs: Sequence[tuple[str, str]]
    ours_seconds: list[float] = field(default_factory=list)
    theirs_seconds: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)


def chosen(name: str, count: int) -> Race:
    """The items of a set, and what lm-eval is asked about them."""
    kind = {"religion": "bbq", "random": "bbq", "harness-bbq": "bbq"}.get(name, name.removesuffix("-listed"))
    items: list[Example] = [*tasks.load(kind).train, *tasks.load(kind).test]
    if name in ("religion", "harness-bbq"):
        items = [item for item in items if item.groups["category"] == ("Religion",)]
    items.sort(key=lambda item: item.id)
    if name == "random":
        order = np.random.default_rng(0).permutation(len(items))[:1000]
        items = [items[index] for index in sorted(order)]
    if name.endswith("-listed"):
        items = [listed(item) for item in items]
    items = items[: count or None]
    return Race(name, items, harness_bbq(items) if name == "harness-bbq" else requests(items))


def listed(item: Example) -> Example:
    """The same question with its choices in the prompt."""
    question = item.prompt_text.removeprefix("Question: ").removesuffix("\nAnswer:")
    return replace(item, prompt=question_prompt(question, [choice.strip() for choice in item.choices.texts]))


def requests(items: Sequence[Example]) -> list[tuple[str, str]]:
    """Context and continuation of every choice."""
    return [(item.prompt_text, choice) for item in items for choice in item.choices.texts]


def harness_bbq(items: Sequence[Example]) -> list[tuple[str, str]]:
    """What lm-eval's own `bbq` asks about the same items: two people, and ten ways to say that one cannot know."""
    unknown = importlib.import_module("lm_eval.tasks.bbq.utils").UNKNOWN_RESPONSES
    asked = []
    for item in items:
        context, question = _context_and_question(item.prompt_text)
        named = [c.strip() for c, role in zip(item.choices.texts, item.choices.roles, strict=True) if role != "unknown"]
        asked += [(f"{context}\n\nQ: {question}\nA:", f" {answer}") for answer in [*named, *unknown]]
    return asked


def _context_and_question(prompt: str) -> tuple[str, str]:
    """The first two lines of chaintune's BBQ prompt."""
    context, question = prompt.split("\n")[:2]
    return context, question.removeprefix("Question: ")


def run_theirs(harness: HFLM, asked: Sequence[tuple[str, str]], batch: int) -> tuple[float, list[float]]:
    """Seconds, and the log-probability of every request."""
    harness.batch_size_per_gpu = batch
    instances = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(asked)]
    started = time.monotonic()
    answers = harness.loglikelihood(instances, disable_tqdm=True)
    return time.monotonic() - started, [value for value, _ in answers]


def run_ours(loaded: models.LoadedModel, items: Sequence[Example]) -> tuple[float, list[list[float]]]:
    """Seconds with encoding, and the log-probability of every choice."""
    started = time.monotonic()
    rows = answer_logprobs(loaded.model, encode_examples(loaded.tokenizer, items))
    return time.monotonic() - started, rows


def ceiling(precision: models.Precision) -> float:
    """Floating-point operations a second of plain matrix products, now."""
    left, right = (torch.randn(1536, 1536, dtype=dtype_of(precision)) for _ in range(2))
    out = torch.mm(left, right)
    started, products = time.monotonic(), 0
    while time.monotonic() - started < 1:
        torch.mm(left, right, out=out)
        products += 1
    return 2 * 1536**3 * products / (time.monotonic() - started)


def race(contest: Race, loaded: models.LoadedModel, harness: HFLM, *, batches: Sequence[int], rounds: int) -> None:
    """Alternate, and print what came of it."""
    few = contest.theirs[:96]
    batch = min(batches, key=lambda size: run_theirs(harness, few, size)[0])
    encoded = encode_examples(loaded.tokenizer, contest.items)
    tokens = count_tokens(encoded, bin_tokens=2048)
    read = len({e.prefix + choice[:k] for e in encoded for choice in e.continuations for k in range(len(choice))})
    plain = sum(len(e.prefix) + len(choice) - 1 for e in encoded for choice in e.continuations)
    for _ in range(rounds):
        before = ceiling(loaded.precision)
        seconds, ours = run_ours(loaded, contest.items)
        rate = (before + ceiling(loaded.precision)) / 2
        contest.ours_seconds.append(seconds)
        contest.shares.append(arithmetic(loaded.model, tokens, read) / seconds / rate)
        seconds, theirs = run_theirs(harness, contest.theirs, batch)
        contest.theirs_seconds.append(seconds)
    ratios = [b / a for a, b in zip(contest.ours_seconds, contest.theirs_seconds, strict=True)]
    count = len(contest.items)
    print(
        f"| {contest.name} | {count} | {spread([count / s for s in contest.theirs_seconds])} (batch {batch}) "
        f"| {spread([count / s for s in contest.ours_seconds])} | {spread(ratios)} | {plain / count:.0f} "
        f"| {tokens / count:.0f} | {plain / tokens:.1f} | {spread([100 * s for s in contest.shares])} "
        f"| {agreement(contest, ours, theirs)} |",
        flush=True,
    )


def arithmetic(model: Any, tokens: int, read: int) -> float:
    """Floating-point operations of the matrix products of a forward pass, those of attention left out.

    Args:
        model: whose weights are counted.
        tokens: that go through the layers.
        read: of which the vocabulary's logits are computed.
    """
    table: int = model.get_input_embeddings().weight.numel()
    weights: int = sum(weight.numel() for weight in model.parameters())
    return 2.0 * ((weights - table) * tokens + table * read)


def agreement(contest: Race, ours: Sequence[Sequence[float]], theirs: Sequence[float]) -> str:
    """How far log-probabilities lie apart, and both accuracies."""
    if contest.name == "harness-bbq":
        return "other prompts"
    flat = iter(theirs)
    rows = [[next(flat) for _ in row] for row in ours]
    apart = [abs(a - b) for left, right in zip(ours, rows, strict=True) for a, b in zip(left, right, strict=True)]
    golds = [item.choices.gold for item in contest.items]
    right = [
        100 * float(np.mean([int(np.argmax(row)) == gold for row, gold in zip(table, golds, strict=True)]))
        for table in (rows, ours)
    ]
    alike = 100 * float(np.mean([np.argmax(a) == np.argmax(b) for a, b in zip(rows, ours, strict=True)]))
    return (
        f"median {statistics.median(apart):.2g}, largest {max(apart):.2g} nats; "
        f"accuracy {right[0]:.1f} and {right[1]:.1f} %; {alike:.1f} % of answers alike"
    )


def spread(values: Sequence[float]) -> str:
    """Median, and the range where there is one."""
    middle = statistics.median(values)
    return f"{middle:.1f}" if len(values) == 1 else f"{middle:.1f} ({min(values):.1f} to {max(values):.1f})"


def loading(folder: Path, precision: models.Precision, items: Sequence[Example], batch: int) -> str:
    """The same race over a few items, each contender loading its model first."""
    started = time.monotonic()
    run_ours(models.load(folder, precision=precision), items)
    ours = time.monotonic() - started
    started = time.monotonic()
    run_theirs(open_harness(folder, precision), requests(items), batch)
    return f"{len(items)} items with loading: chaintune {ours:.1f} s, lm-eval {time.monotonic() - started:.1f} s"


def open_harness(folder: Path, precision: models.Precision) -> HFLM:
    """lm-eval's HF backend."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return HFLM(pretrained=str(folder), dtype=dtype_of(precision), device=device, batch_size=16)


def main() -> None:
    """Run every race and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200, help="of each set; 0 for all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    folder, precision = open_base(options.model, FolderStore()).folder, models.resolve_precision(options.precision)
    print(
        f"{platform.platform()}, {torch.get_num_threads()} threads, torch {torch.__version__}, transformers "
        f"{transformers.__version__}, lm-eval {lm_eval.__version__}, {options.model}, {precision}\n"
    )
    loaded, harness = models.load(folder, precision=precision), open_harness(folder, precision)
    print("| items | n | lm-eval, items/s | chaintune, items/s | ratio | tokens an item, choice by choice "
          "| in trees | fewer | % of ceiling | agreement: lm-eval's and chaintune's |")  # fmt: skip
    print("| --- " * 10 + "|")
    for name in options.sets:
        race(chosen(name, options.items), loaded, harness, batches=options.batches, rounds=options.rounds)
    print("\n" + loading(folder, precision, chosen("religion", 100).items, options.batches[-1]))


if __name__ == "__main__":
    main()
