"""A user's own `transformers.Trainer` on tiny texts, with nothing of ours in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from tests import tiny

TOKENIZER = tiny.make_tokenizer()
WIDTH = 40


class Texts(Dataset[dict[str, torch.Tensor]]):
    """Questions with their answers as plain language modelling data, padded to one width."""

    def __init__(self, count: int, rule: str) -> None:
        self.rows = [self._row(tiny.example(number, rule=rule, task=rule)) for number in range(count)]

    @staticmethod
    def _row(example: Any) -> dict[str, torch.Tensor]:
        tokens = TOKENIZER(example.prompt + example.choices.gold_text)["input_ids"][-WIDTH:]
        ids = torch.zeros(WIDTH, dtype=torch.long)
        ids[: len(tokens)] = torch.tensor(tokens)
        labels = torch.where(torch.arange(WIDTH) < len(tokens), ids, -100)
        return {"input_ids": ids, "labels": labels}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.rows[index]

    def one_by_one(self) -> list[dict[str, torch.Tensor]]:
        """Inputs of one example each."""
        return [{name: tensor[None] for name, tensor in row.items()} for row in self.rows]


def arguments(folder: Path, **options: Any) -> TrainingArguments:
    plain: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "num_train_epochs": 2,
        "learning_rate": 5e-3,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "logging_strategy": "no",
    }
    return TrainingArguments(**(plain | options))


def train(
    model: Any,
    data: Dataset[Any],
    folder: Path,
    *,
    callbacks: Sequence[TrainerCallback] = (),
    trainer: type[Trainer] = Trainer,
    **options: Any,
) -> Any:
    """The model, trained in place by a plain Trainer."""
    trainer(model=model, args=arguments(folder, **options), train_dataset=data, callbacks=list(callbacks)).train()
    return model


def weights(model: Any) -> Mapping[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def distance(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """Euclidean, over all weights."""
    return float(sum(((one[name] - other[name]) ** 2).sum() for name in one) ** 0.5)
