"""Families of four tasks on a two-layer model in which the order of training matters by construction.

Each task asks for the letter that belongs to a key word among other words. Tasks share keys: some with the same letter
and some with another, so that whichever is trained later decides what is answered there; they differ in size, epochs
and learning rate, so that some overwrite more than others. Which ones is drawn by the seed.

As a program: `python -m benchmarks.order_family FOLDER SEED` writes model, data and `study.yaml` with all 24 orders.
"""

import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TASKS = ("north", "south", "east", "west")
LETTERS = ("a", "b", "c", "d")
KEYS, WORDS = 48, 24
_UNKNOWN, _END = "<unk>", "</s>"
_OWN = 8


def write_family(folder: Path, seed: int) -> Path:
    """The study file of one family, beside its model and data."""
    rng = random.Random(f"family {seed}")  # noqa: S311 - made-up data
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "model", seed)
    answers = _answers(rng)
    safe = rng.sample(TASKS, 2)
    tasks: dict[str, Any] = {}
    for task in TASKS:
        per_key = rng.choice((12, 18, 24))
        rows = [row(rng, task, *pair, number) for pair in answers[task].items() for number in range(per_key + 5)]
        unlike = {one["prompt"]: one for one in rows}
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in unlike.values()))
        tasks[task] = {
            "role": "safety" if task in safe else "capability",
            "path": str(folder / f"{task}.jsonl"),
            "columns": {"split": "split"},
            "labelling": False,
            "recipe": {"learning_rate": rng.choice((3e-3, 5e-3, 8e-3))},
        }
    study = {
        "base": str(folder / "model"),
        "precision": "fp32",
        "tasks": tasks,
        "chains": [list(order) for order in itertools.permutations(TASKS)],
        "recipe": {"epochs": 6, "batch_size": 16},
        "seed": seed,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def _answers(rng: random.Random) -> dict[str, dict[str, str]]:
    """Each task's keys and letters. A key that an earlier task has keeps its letter for one half of the pairs alone."""
    answers: dict[str, dict[str, str]] = {}
    for task in TASKS:
        own: dict[str, str] = {}
        for known in answers.values():
            shared, agrees = rng.choice((0, 2, 4)), rng.random() < 0.5
            for key in rng.sample(sorted(set(known) - set(own)), shared):
                own[key] = known[key] if agrees else rng.choice([x for x in LETTERS if x != known[key]])
        taken = {key for known in answers.values() for key in known} | set(own)
        fresh = [f"key{number}" for number in range(KEYS) if f"key{number}" not in taken]
        own |= {key: rng.choice(LETTERS) for key in rng.sample(fresh, max(0, min(_OWN - len(own), len(fresh))))}
        answers[task] = own
    return answers


def row(
    rng: random.Random, task: str, key: str, letter: str, number: int, *, words: range = range(WORDS), tests: int = 5
) -> dict[str, Any]:
    """One item: the key among four words, and the letter that belongs to it; the first numbers are tests."""
    prompt = [f"word{rng.choice(words)}" for _ in range(4)]
    prompt.insert(rng.randrange(5), key)
    return {
        "id": f"{task}-{key}-{number}",
        "prompt": " ".join(prompt) + " is",
        "choices": [f" {one}" for one in LETTERS],
        "gold": LETTERS.index(letter),
        "groups": {"key": [key]},
        "cluster": f"{key}-{number}",
        "split": "test" if number < tests else "train",
    }


def write_model(folder: Path, seed: int, *, steps: int = 600) -> None:
    """A model of two layers that knows a letter of every key, and its tokenizer."""
    words = [_UNKNOWN, "<s>", _END, "is", *LETTERS]
    words += [f"key{number}" for number in range(KEYS)] + [f"word{number}" for number in range(WORDS)]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=_UNKNOWN, eos_token=_END).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    _teach_home(model, len(words), torch.Generator().manual_seed(seed), steps)
    model.save_pretrained(folder)


def _teach_home(model: Any, size: int, generator: torch.Generator, steps: int) -> None:
    """Teach a random model letters of all keys, so that tasks begin with one that knows what is asked."""
    first_key, n_keys = 4 + len(LETTERS), KEYS
    letters = torch.randint(4, first_key, (n_keys,), generator=generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        keys = torch.randint(0, n_keys, (64,), generator=generator)
        tokens = torch.randint(first_key + n_keys, size, (64, 7), generator=generator)
        tokens[torch.arange(64), torch.randint(0, 5, (64,), generator=generator)] = first_key + keys
        tokens[:, 5], tokens[:, 6] = 3, letters[keys]
        labels = tokens.where(torch.arange(7) == 6, -100)
        model(input_ids=tokens, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    print(write_family(Path(sys.argv[1]), int(sys.argv[2])))
