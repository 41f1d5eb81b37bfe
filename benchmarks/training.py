"""Training tokens a second: chaintune's stage beside TRL's trainers, on the same items, in one run.

    python benchmarks/training.py [--items 128] [--rounds 2] [--precision bf16] [--families]
    python benchmarks/training.py --task gsm8k --items 128
    python benchmarks/training.py --task hh_rlhf --items 64

`--task` names what is taught: by SFT, or pairs by DPO beside TRL's DPOTrainer, both with the references of the pairs
computed before the clock starts. The rows are looked for where tasks look for them, such as `CHAINTUNE_DATA`.

Every contender starts each round from the same weights and trains one epoch of the same BBQ items at
batch 16; rounds alternate, and tokens count without padding. TRL runs as it comes, and once more with
gradient checkpointing off, which it has on by default and which a small model does not need. A plain loop
over full-vocabulary logits shows what the Trainer itself costs. `--families` takes whole contexts of BBQ, all four
questions on each, keeps them together in a step and lets one more contender compute what they share once. Tokens
always count as if nothing were shared, so that rates compare examples a second.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
import trl

from chaintune import models, tasks
from chaintune.execution.bases import open_base
from chaintune.models.encoding import as_read, encode_examples
from chaintune.models.precision import dtype_of
from chaintune.records import Choices, Example, Message, Preference, Recipe, Task
from chaintune.records.examples import Text
from chaintune.store.folder import FolderStore
from chaintune.tuning.order import families
from chaintune.tuning.tune import tune

BATCH = 16


def chaintune_stage(
    folder: Path, task: Task, precision: models.Precision, micro: int, *, share: bool | None, together: bool
) -> tuple[int, float]:
    """Tokens and seconds of one stage."""
    loaded = models.load(folder, precision=precision)
    recipe = Recipe(
        batch_size=BATCH, micro_batch_size=micro, learning_rate=1e-4, share_prefixes=share, keep_together=together
    )
    with tempfile.TemporaryDirectory() as scratch:
        tuned = tune(loaded, task.train, task=task.name, recipe=recipe, seed=0, log=Path(scratch) / "steps.jsonl")
    return tuned.train_tokens, tuned.seconds


def contexts(count: int) -> Task:
    """BBQ examples, the four questions on one context all or none."""
    task = tasks.load("bbq")
    pool = sorted([*task.train, *task.test], key=lambda item: item.prompt_text)
    texts = [tuple(item.prompt_text.encode()) for item in pool]
    four = [sorted(family) for family in families(texts) if len(family) == 4]
    chosen = np.random.default_rng(0).permutation(len(four))[: count // 4]
    return replace(task, train=tuple(pool[index] for family in chosen for index in four[family]))


def trl_stage(folder: Path, task: Task, precision: models.Precision, *, checkpointing: bool) -> tuple[int, float]:
    """Tokens and seconds of TRL's trainer on the same prompts and answers."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype_of(precision))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = datasets.Dataset.from_list([trl_row(as_read(tokenizer, example)) for example in task.train])
    with tempfile.TemporaryDirectory() as scratch:
        options = {
            "output_dir": scratch,
            "per_device_train_batch_size": BATCH,
            "num_train_epochs": 1,
            "learning_rate": 1e-4,
            "bf16": precision == "bf16",
            "use_cpu": not torch.cuda.is_available(),
            "activation_checkpointing": checkpointing,
            "max_length": None,
            "report_to": "none",
            "save_strategy": "no",
            "logging_strategy": "no",
            "disable_tqdm": True,
        }
        how = {"model": model, "train_dataset": rows, "processing_class": tokenizer}
        if "chosen" in rows.column_names:
            trainer = trl.DPOTrainer(args=trl.DPOConfig(precompute_ref_log_probs=True, **options), **how)
        else:
            trainer = trl.SFTTrainer(args=trl.SFTConfig(**options), **how)
        tokens = sum(map(trl_tokens, trainer.train_dataset))
        started = time.monotonic()
        trainer.train()
        return tokens, time.monotonic() - started


def trl_row(example: Example) -> dict[str, Any]:
    """An example as TRL takes it."""

    def shown(text: Text) -> Any:
        return text if isinstance(text, str) else [{"role": turn.role, "content": turn.content} for turn in text]

    def answer(text: Text) -> Any:
        bare = isinstance(text, str) and not isinstance(example.prompt, str)
        return shown((Message("assistant", text),) if bare and isinstance(text, str) else text)

    answers = list(map(answer, example.answers))
    if isinstance(example.target, Preference):
        return {"prompt": shown(example.prompt), "chosen": answers[0], "rejected": answers[1]}
    gold = example.target.gold if isinstance(example.target, Choices) else 0
    return {"prompt": shown(example.prompt), "completion": answers[gold]}


def trl_tokens(row: dict[str, Any]) -> int:
    """Tokens of a row that TRL has read; of a pair those of both texts."""
    if "input_ids" in row:
        return len(row["input_ids"])
    return 2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"])


def plain_loop(folder: Path, task: Task, precision: models.Precision) -> tuple[int, float]:
    """Tokens and seconds of a bare loop: AdamW, padding to the longest, logits everywhere."""
    loaded = models.load(folder, precision=precision)
    end = loaded.tokenizer.eos_token_id
    encoded = encode_examples(loaded.tokenizer, task.train)
    rows = [(e.prefix, e.continuations[x.choices.gold] + (end,)) for e, x in zip(encoded, task.train, strict=True)]
    optimizer = torch.optim.AdamW(loaded.model.parameters(), lr=1e-4, fused=True)
    loaded.model.train()
    started, tokens = time.monotonic(), 0
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        width = max(len(prefix) + len(answer) for prefix, answer in batch)
        ids = torch.full((len(batch), width), end)
        labels = torch.full((len(batch), width), -100)
        for row, (prefix, answer) in enumerate(batch):
            length = len(prefix) + len(answer)
            ids[row, :length] = torch.tensor(prefix + answer)
            labels[row, len(prefix) : length] = torch.tensor(answer)
            tokens += length
        loaded.model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(loaded.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return tokens, time.monotonic() - started


def matmul_ceiling(folder: Path, precision: models.Precision) -> float:
    """Tokens a second if training were its matrix products alone, at the rate measured now."""
    left, right = (torch.randn(1536, 1536, dtype=dtype_of(precision)) for _ in range(2))
    torch.mm(left, right)
    started, products = time.monotonic(), 0
    while time.monotonic() - started < 1:
        torch.mm(left, right)
        products += 1
    rate = 2 * 1536**3 * products / (time.monotonic() - started)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    weights = sum(p.numel() for p in model.parameters()) - model.get_input_embeddings().weight.numel()
    return float(rate / (6 * weights))


def main() -> None:
    """Run every contender in turn and print tokens a second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="bbq", help="what is taught")
    parser.add_argument("--items", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--micro", type=int, default=0, help="chaintune's micro-batch; 0 lets it choose")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--contenders", type=int, default=4, help="the first N of them")
    parser.add_argument("--families", action="store_true", help="whole contexts of BBQ, kept together")
    wanted = parser.parse_args()
    os.environ.setdefault("TQDM_DISABLE", "1")
    transformers.utils.logging.set_verbosity_error()
    precision = models.resolve_precision(wanted.precision)
    folder = open_base("smollm2-135m", FolderStore()).folder
    task = contexts(wanted.items) if wanted.families else tasks.load(wanted.task, train=wanted.items, test=1)
    peer = "DPOTrainer" if isinstance(task.train[0].target, Preference) else "SFTTrainer"
    # BBQ's rates are those of examples side by side; other tasks are trained as a study would.
    usual = False if wanted.task == "bbq" else None
    how = {"share": wanted.families or usual, "together": wanted.families}
    contenders: dict[str, Callable[[], tuple[int, float]]] = {
        "chaintune": lambda: chaintune_stage(folder, task, precision, wanted.micro, **how),
        f"TRL {peer}": lambda: trl_stage(folder, task, precision, checkpointing=True),
        f"TRL {peer}, no checkpointing": lambda: trl_stage(folder, task, precision, checkpointing=False),
    }
    if wanted.task == "bbq":
        contenders["plain loop, all logits"] = lambda: plain_loop(folder, task, precision)
    contenders = dict(list(contenders.items())[: wanted.contenders])
    if wanted.families:
        apart = {"share": False, "together": True}
        contenders["chaintune, nothing shared"] = lambda: chaintune_stage(
            folder, task, precision, wanted.micro, **apart
        )
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(wanted.rounds):
        for name, contend in contenders.items():
            tokens, seconds = contend()
            rates[name].append(tokens / seconds)
            print(f"round {number + 1}  {name:34} {tokens:6} tokens {seconds:6.1f} s {rates[name][-1]:7.1f} tokens/s")
    ceiling = matmul_ceiling(folder, precision)
    where = f"{torch.get_num_threads()} threads, {platform.machine()}"
    print(f"\n{wanted.items} examples of {wanted.task}, batch {BATCH}, {precision}, {where}")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}")
    print(f"matrix products alone: {ceiling:.0f} tokens/s")
    ours = rates["chaintune"]
    print("| contender | tokens/s, median (range) | chaintune is faster by | share of matrix products |")
    print("|---|---|---|---|")
    for name, found in rates.items():
        ratios = [mine / theirs for mine, theirs in zip(ours, found, strict=True)]
        spread = f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        middle = np.median(found)
        print(f"| {name} | {middle:.0f} ({min(found):.0f} to {max(found):.0f}) | {spread} | {middle / ceiling:.0%} |")


if __name__ == "__main__":
    main()
