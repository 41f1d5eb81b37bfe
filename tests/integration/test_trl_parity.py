"""A stage beside TRL's own trainers: the same data in the same order give the same losses and weights.

In fp32 on a CPU. What differs is rounding (attention, and TRL's loss over padded batches), which AdamW divides by
gradients that may be as small: losses agree to 1e-5 of their size, weights to 1e-3 of what the stage changed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from chaintune.models import load
from chaintune.records import Example, Message, Preference, Recipe, Reference
from chaintune.tuning.objectives import objective_of, targets_of, with_objective
from chaintune.tuning.order import training_order
from chaintune.tuning.tokenized import all_tokens
from chaintune.tuning.tune import tune
from tests import tiny
from tests.conftest import MakeModel

BATCH, RATE = 4, 1e-3
# TRL masks what the template does not mark; the marks change no text.
MARKED = tiny.CHAT.replace(
    "message['role'] + ':\n' + message['content'] + '</s>' }}",
    "message['role'] + ':\n' }}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '</s>' }}"
    "{% endgeneration %}{% else %}{{ message['content'] + '</s>' }}{% endif %}",
)
OPTIONS: dict[str, Any] = {
    "per_device_train_batch_size": BATCH, "num_train_epochs": 1, "learning_rate": RATE, "lr_scheduler_type": "linear",
    "warmup_steps": 0, "max_grad_norm": 1.0, "weight_decay": 0.0, "logging_steps": 1, "use_cpu": True, "bf16": False,
    "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False,
    "max_length": None, "activation_checkpointing": False, "seed": 0,
}  # fmt: skip

TEXTS = [replace(item, target=Reference(item.choices.gold_text)) for item in tiny.numbered(tiny.examples(16))]
TALKS = [replace(talk, id=f"{n:02}") for n, talk in enumerate(tiny.talks(16))]
PAIRS = [replace(pair, id=f"{n:02}", prompt=f"Day {n}: {pair.prompt}") for n, pair in enumerate(tiny.pairs(16))]
DIALOGUES = [
    replace(pair, prompt=(Message("user", pair.prompt_text),), target=Preference("red, of course", "black"))
    for pair in PAIRS
]


class InOrder(SFTTrainer):  # type: ignore[misc,unused-ignore]
    """Reads its rows front to back."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return torch.utils.data.SequentialSampler(train_dataset or self.train_dataset)


class PairsInOrder(DPOTrainer):  # type: ignore[misc,unused-ignore]
    """Reads its rows front to back."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return torch.utils.data.SequentialSampler(train_dataset or self.train_dataset)


def weights(model: Any) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for _, weight in sorted(model.named_parameters())])


def turns(*messages: Message) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in messages]


def row(example: Example) -> dict[str, Any]:
    """An example as TRL takes it."""
    match example.prompt, example.target:
        case str(prompt), Reference(str(text)):
            return {"prompt": prompt, "completion": text}
        case tuple(prompt), Reference(str(text)):
            return {"messages": turns(*prompt, Message("assistant", text))}
        case str(prompt), Preference(chosen, rejected):
            return {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        case tuple(prompt), Preference(str(chosen), str(rejected)):
            sides = {"chosen": chosen, "rejected": rejected}
            return {"prompt": turns(*prompt)} | {
                side: turns(Message("assistant", text)) for side, text in sides.items()
            }
    raise AssertionError(example)


def theirs(folder: Path, examples: Sequence[Example], template: str, out: Path, settings: Mapping[str, Any]) -> Any:
    """Losses and weights of TRL's trainer."""
    tokenizer = tiny.make_tokenizer()
    tokenizer.pad_token, tokenizer.chat_template = tokenizer.unk_token, template
    rows = Dataset.from_list([row(example) for example in examples])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    trainer: Any
    if targets_of(examples) == {Preference}:
        own = DPOConfig(output_dir=str(out), precompute_ref_log_probs=True, **OPTIONS, **settings)
        trainer = PairsInOrder(model=model, args=own, train_dataset=rows, processing_class=tokenizer)
    else:
        masked = {"assistant_only_loss": not isinstance(examples[0].prompt, str)}
        trainer = InOrder(
            model=model,
            args=SFTConfig(output_dir=str(out), **OPTIONS, **masked),
            train_dataset=rows,
            processing_class=tokenizer,
        )
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], weights(trainer.model)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("examples", "template", "recipe", "settings"),
    [
        (TEXTS, tiny.CHAT, Recipe(), {}),
        (TALKS, MARKED, Recipe(), {}),
        (PAIRS, tiny.CHAT, Recipe(), {}),
        (DIALOGUES, tiny.CHAT, Recipe(beta=0.5), {"beta": 0.5}),
        (PAIRS, tiny.CHAT, Recipe(loss="ipo"), {"loss_type": ["ipo"]}),
    ],
    ids=["sft on text", "sft on turns", "dpo on text", "dpo on turns", "ipo"],
)
def test_losses_and_weights_are_those_of_trl(
    examples: list[Example],
    template: str,
    recipe: Recipe,
    settings: dict[str, Any],
    model_folder: MakeModel,
    tmp_path: Path,
) -> None:
    recipe = replace(recipe, batch_size=BATCH, learning_rate=RATE, warmup_fraction=0.0)
    recipe = with_objective(recipe, targets_of(examples), task="a")
    ours = load(model_folder(), precision="fp32")
    ours.tokenizer.chat_template = template
    before = weights(ours.model).clone()
    by_id = sorted(examples, key=lambda example: example.id)
    encoded = objective_of(recipe).encode(ours.tokenizer, by_id)
    order = training_order(list(map(all_tokens, encoded)), batch_size=BATCH, epochs=1, seed=0)
    losses, expected = theirs(model_folder(), [by_id[place] for place in order], template, tmp_path, settings)
    done = tune(ours, examples, task="a", recipe=recipe, seed=0, log=tmp_path / "log")
    logged = [json.loads(line)["loss"] for line in (tmp_path / "log").read_text().splitlines()]
    assert logged == pytest.approx(losses, rel=1e-5)
    changed = expected - before
    assert float((weights(done.loaded.model) - expected).norm() / changed.norm()) < 1e-3
    assert float(changed.norm()) > 0.1
