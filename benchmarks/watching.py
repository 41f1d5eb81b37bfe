"""Memory of training that is watched by `ForgettingCallback`, beside the same training that is not.

    python benchmarks/watching.py [--rounds 1] [--steps 4] [--methods full lora] [--examples 60]

Each training is a process of its own, and the two alternate. The model is a random Llama of 8 million weights that a
plain `transformers.Trainer` tunes in fp32 on a CPU, 8 sequences of 128 tokens a step; the callback scores made-up
questions of about 100 tokens before the first step and after every second one. Peak: the most memory that the process
ever held, libraries, data and model included. Growth: the same less what it held right before the Trainer was made.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer, TrainingArguments
from transformers import default_data_collator as collate

from chaintune import ForgettingCallback
from chaintune.models.adapters import new_adapter
from chaintune.records import Choices, Example, Task

BATCH, LENGTH, VOCABULARY = 8, 128, 16_384
SUBJECTS, PLACES = ("Ann", "Bob", "Cem", "Dia"), ("school", "market", "harbour")


def made_model(method: str) -> Any:
    """A random model of 8 million weights, with an adapter for `lora`."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    lora = LoraConfig(task_type="CAUSAL_LM", r=16, target_modules="all-linear")
    return new_adapter(model, lora) if method == "lora" else model


def made_tokenizer() -> PreTrainedTokenizerFast:
    """One that reads a letter as a token or two."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([example.prompt for example in made_task(12).test], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def made_task(count: int) -> Task:
    """Questions that share little, so that none is computed for free."""
    examples = []
    for number in range(count):
        one, other, place = SUBJECTS[number % 4], SUBJECTS[(number + 1 + number % 3) % 4], PLACES[number % 3]
        prompt = f"{number}. {one} met {other} at the {place} and left before noon, {number} days ago. Who stayed?"
        choices = (f" {one}", f" {other}", " Nobody can tell")
        examples.append(Example(f"{number:04}", prompt, Choices(choices, number % 3), {"who": (one,)}, str(number)))
    return Task("made up", "safety", "1", (), tuple(examples), ("who",), "", "")


def held_mib() -> float:
    """Memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def train(method: str, *, watched: bool, steps: int, examples: int) -> dict[str, float]:
    """Train once in this process; what it held before and at most, in MiB."""
    torch.manual_seed(0)
    model = made_model(method)
    rows = [{"input_ids": ids, "labels": ids} for ids in torch.randint(0, VOCABULARY, (BATCH * steps, LENGTH))]
    before = held_mib()
    with tempfile.TemporaryDirectory() as folder:
        options = TrainingArguments(
            folder, max_steps=steps, per_device_train_batch_size=BATCH, use_cpu=True, report_to="none",
            save_strategy="no", disable_tqdm=True, dataloader_pin_memory=False, logging_strategy="no",
        )  # fmt: skip
        trainer = Trainer(model=model, args=options, train_dataset=rows, data_collator=collate)
        if watched:
            watch = ForgettingCallback(made_task(examples), by=["who"], every=2, tokenizer=made_tokenizer())
            watch.attach(trainer)
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"peak": peak, "growth": peak - before}


def child(method: str, watched: bool, options: argparse.Namespace) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", method, "--steps", str(options.steps)]
    command += ["--examples", str(options.examples)] + (["--watched"] if watched else [])
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - this file
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found


def main() -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--methods", nargs="+", default=["full", "lora"])
    parser.add_argument("--examples", type=int, default=60)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--watched", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(train(options.child, watched=options.watched, steps=options.steps, examples=options.examples)))
        return
    for method in options.methods:
        rounds = [(child(method, False, options), child(method, True, options)) for _ in range(options.rounds)]
        for name in ("peak", "growth"):
            plain, watched = (median(found[side][name] for found in rounds) for side in (0, 1))
            ratios = sorted(found[1][name] / found[0][name] for found in rounds)
            print(
                f"{method:5} {name:6} {plain:7.0f} MiB without, {watched:7.0f} MiB with; "
                f"ratio {median(ratios):.3f} (from {ratios[0]:.3f} to {ratios[-1]:.3f} in {len(ratios)} rounds)",
                flush=True,
            )


if __name__ == "__main__":
    main()
