"""Two-layer models, tokenizers and tasks that exist only while a test runs.

As a program: `python tests/tiny.py FOLDER` writes what `studies/smoke.yaml` needs into FOLDER.
"""

import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

from chaintune.models import LoadedModel, load, save
from chaintune.models.adapters import new_adapter
from chaintune.models.processes import SINGLE_PROCESS
from chaintune.records import (
    CHOICE_METRICS,
    Choices,
    Example,
    Message,
    Preference,
    Reference,
    Scores,
    scores_of,
)
from chaintune.scoring.backends.transformers import TransformersBackend
from chaintune.scoring.checkpoint import measure_checkpoint
from chaintune.scoring.measures import MEASURES

Tokens = Literal["byte-level", "byte-level with BOS", "sentencepiece"]

UNKNOWN, BEGIN, END = SPECIAL = ("<unk>", "<s>", "</s>")
_SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
}
_GEMMA = _SHAPE | {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": _SHAPE,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
}
# One that knows positions from its attention alone.
ALIBI: dict[str, dict[str, Any]] = {"bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4}}

COLOURS = ("red", "blue", "dark green", "black")
OWNERS = ("Ann", "Bob", "Cem", "Dia")
# A chat template whose words the tokenizers below know; the other one forgets what the assistant said.
CHAT = (
    "{% for message in messages %}{{ message['role'] + ':\n' + message['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)
FORGETFUL_CHAT = CHAT.replace(
    "message['content'] + '</s>'",
    "(message['content'] if loop.last or message['role'] == 'user' else '...') + '</s>'",
)


def example(number: int, *, rule: str = "ball", task: str = "colours") -> Example:
    """An item that a tiny model can learn: the ball has its owner's favourite colour, the box another."""
    rng = random.Random(f"{task} {number}")  # noqa: S311 - test data
    owner, favourite = OWNERS[number % 4], COLOURS[number % 4]
    other = rng.choice([colour for colour in COLOURS if colour != favourite])
    choices = tuple(sorted((f" {favourite}", f" {other}")))
    gold = choices.index(f" {favourite if rule == 'ball' else other}")
    prompt = f"{owner} has a {favourite} ball in a {other} box. Colour of the {rule}?"
    return Example(f"{task}-{number:03}", prompt, Choices(choices, gold), {"owner": (owner,)}, f"{number // 2}")


def examples(count: int, *, rule: str = "ball", task: str = "colours") -> list[Example]:
    """Different ones, the same at every call."""
    return [example(number, rule=rule, task=task) for number in range(count)]


def talks(count: int) -> list[Example]:
    """Conversations of two answers about the items: the ball's colour, then the other one."""
    talks = []
    for item in examples(count):
        (right, other) = sorted(item.choices.texts, key=lambda text: text != item.choices.gold_text)
        turns = (
            Message("user", item.prompt_text),
            Message("assistant", right.strip()),
            Message("user", "And the box?"),
        )
        talks.append(replace(item, prompt=turns, target=Reference(other.strip())))
    return talks


def pairs(count: int) -> list[Example]:
    """The items as preferences of the right choice over another."""
    return [
        replace(item, target=Preference(item.choices.gold_text, item.choices.texts[item.choices.gold - 1]))
        for item in examples(count)
    ]


def numbered(items: Sequence[Example]) -> list[Example]:
    """The items, each with a prompt of its own; else only 12 would differ."""
    return [replace(item, prompt=f"Day {number}: {item.prompt}") for number, item in enumerate(items)]


def score(
    loaded: LoadedModel, items: Sequence[Example], *, task: str, batch_tokens: int | None = None, **how: Any
) -> Scores:
    """The scores by accuracy of a loaded model on items with choices; `how` is of `measure_checkpoint`."""
    backend = TransformersBackend(loaded, batch_tokens, SINGLE_PROCESS)
    measurement = measure_checkpoint(backend, items, measure=MEASURES.get("choice"), task=task, **how)
    return scores_of(task, measurement, items, CHOICE_METRICS["accuracy"])


def known_to(model: Any, tokenizer: Any, items: Sequence[Example]) -> list[Example]:
    """The items, each with the choice that a model prefers as the right one: it has something to lose."""
    scores = score(LoadedModel(model, tokenizer, "fp32"), items, task="known")
    chosen = dict(zip(scores.example_ids, scores.predictions().tolist(), strict=True))
    return [replace(item, target=replace(item.choices, gold=chosen[item.id])) for item in items]


def write_task(path: Path, *, count: int = 80, rule: str = "ball", items: Sequence[Example] | None = None) -> Path:
    """A JSONL file of such items, or of those given, with columns of the names that a study file expects."""
    rows = [
        {
            "id": item.id,
            "prompt": item.prompt,
            "choices": list(item.choices.texts),
            "gold": item.choices.gold,
            "groups": {"owner": list(item.groups["owner"])},
            "cluster": item.cluster,
        }
        for item in items or numbered(examples(count, rule=rule, task=path.stem))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make_tokenizer(tokens: Tokens = "byte-level") -> PreTrainedTokenizerFast:
    """A BPE tokenizer trained on the tasks above; `sentencepiece` puts a mark before each word, also the first."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    if tokens == "sentencepiece":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
        alphabet = [chr(code) for code in range(33, 127)]
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    corpus = [item.prompt_text + choice for item in examples(40) for choice in item.choices.texts]
    tokenizer.train_from_iterator(corpus, trainer)
    if tokens != "byte-level":
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        bos_token=None if tokens == "byte-level" else BEGIN,
        eos_token=END,
    )


def make_model(architecture: str = "llama", *, seed: int = 0, vocabulary: int = 340, **shape: Any) -> Any:
    """A model with random weights, wide enough apart that its answers differ."""
    own = {"vocab_size": vocabulary, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = AutoConfig.for_model(architecture, **own, **(shape or (ARCHITECTURES | ALIBI)[architecture]))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.15)
    return model.eval()


def write_model(folder: Path, architecture: str = "llama", *, tokens: Tokens = "byte-level", seed: int = 0) -> Path:
    """A model folder in transformers' layout."""
    make_model(architecture, seed=seed).save_pretrained(folder)
    make_tokenizer(tokens).save_pretrained(folder)
    return folder


def write_classifier(folder: Path, architecture: str = "roberta", *, seed: int = 0, **labels: Any) -> Path:
    """A folder with a sequence classifier of random weights; `labels` is the part of its configuration about these."""
    shape = {"num_key_value_heads": 2, "head_dim": 8} if architecture == "llama" else {}
    config = AutoConfig.for_model(
        architecture, vocab_size=340, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, pad_token_id=None if architecture == "llama" else 1, **shape, **labels
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(config)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.15)
    model.eval().save_pretrained(folder)
    tokenizer = make_tokenizer("byte-level with BOS" if architecture != "llama" else "byte-level")
    tokenizer.pad_token = UNKNOWN
    tokenizer.save_pretrained(folder)
    return folder


def write_adapter(folder: Path, model: Path) -> Path:
    """A folder with a LoRA adapter for a model, with weights that change its answers."""
    loaded = load(model, precision="fp32")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        loaded.model = new_adapter(loaded.model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"))
        for name, weight in loaded.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    save(loaded, folder)
    return folder


def write_chat_model(folder: Path, answers: Mapping[str, str], *, steps: int = 60, tokenizer: Any = None) -> Path:
    """A folder with a chat model that has learned to answer each prompt with its text, in its template or in `CHAT`."""
    if tokenizer is None:
        tokenizer = make_tokenizer()
        tokenizer.chat_template = CHAT
    model = make_model(vocabulary=max(len(tokenizer), 340))
    rows = []
    for prompt, answer in answers.items():
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        opened, written = (tokenizer.encode(text, add_special_tokens=False) for text in (asked, f"{answer}{END}"))
        rows.append((opened + written, [-100] * len(opened) + written))
    width = max(len(tokens) for tokens, _ in rows)
    tokens, labels = (
        torch.tensor([[*row[part], *[fill] * (width - len(row[part]))] for row in rows])
        for part, fill in ((0, 0), (1, -100))
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model(input_ids=tokens, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_smoke(folder: Path) -> None:
    """The model and the two tasks of `studies/smoke.yaml`."""
    write_model(folder / "model")
    write_task(folder / "balls.jsonl", rule="ball")
    write_task(folder / "boxes.jsonl", rule="box")


if __name__ == "__main__":
    write_smoke(Path(sys.argv[1]))
