"""`transformers.Trainer` with a loss on the answers only, and what is watched while it runs."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from chaintune.errors import StageError
from chaintune.models.answer_logits import logits_only_at
from chaintune.tuning.shared_prefixes import answer_logits
from chaintune.tuning.shares import StepRank
from chaintune.tuning.tokenized import IGNORED, TrainingExample, collate


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step, as the log and the progress bar show it."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    tokens_per_second: float


class AnswerTrainer(Trainer):
    """Trainer whose loss is the mean cross entropy of a step's answer tokens.

    The vocabulary's logits are computed at answer positions only. Lessons are read in the order
    given, so the order is the caller's alone.

    Args:
        share: which of several processes that train together this one is; None is the only one.
        batches: positions of the lessons of each micro-batch of this process; None cuts them front to back.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self, *arguments: Any, share: StepRank | None = None, batches: list[list[int]] | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, compute_loss_func=answer_loss, **options)
        self.share, self._batches = share or StepRank(), batches
        self.tokens_seen = 0
        self._unchecked: list[torch.Tensor] = []

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The lessons in micro-batches; accelerate's own way of sharing them out would fill up a short last step."""
        if self._batches is None:
            return super().get_train_dataloader()
        return DataLoader(self.train_dataset, batch_sampler=self._batches, collate_fn=self.data_collator)

    def _defer_fsdp_gradient_reduction(self) -> AbstractContextManager[None]:
        """Of a sharded model gradients are added up at every micro-batch: kept until the last they would be whole."""
        return nullcontext()

    def all_tokens_seen(self) -> int:
        """Tokens that all processes have read; they have to ask together."""
        return self.share.total(self.tokens_seen, self.args.device)

    def _get_train_sampler(self, train_dataset: Dataset[TrainingExample] | None = None) -> SequentialSampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def compute_loss(self, model: Any, inputs: dict[str, Any], **options: Any) -> Any:
        """Loss of one micro-batch, already divided by the answer tokens of the whole step.

        Raises:
            StageError: the loss of a micro-batch of the step is not finite; raised at the step's last one, as to look
                is to wait for the device.
        """
        self.tokens_seen += inputs["tokens"]
        bare = self.accelerator.unwrap_model(model)
        if "tree" in inputs:
            logits = answer_logits(bare, inputs["tree"], wrapped=model)
            loss = mean_loss(logits, inputs["labels"][0, 1:], options.get("num_items_in_batch"))
            # As Trainer does with its own: gradients are averaged over processes, and what is wanted is their sum.
            loss = loss * self.share.ranks
        else:
            labels = inputs["labels"]
            inputs = {"input_ids": inputs["input_ids"], "labels": labels, "use_cache": False}
            with logits_only_at(bare, predicted_positions(labels)):
                loss = super().compute_loss(model, inputs, **options)
        value = loss[0] if isinstance(loss, tuple) else loss
        self._unchecked.append(value.detach())
        if self.accelerator.sync_gradients:
            self._check_losses()
        return loss

    def _check_losses(self) -> None:
        losses, self._unchecked = torch.stack(self._unchecked), []
        broken = losses[~torch.isfinite(losses)].tolist()
        if broken:
            raise StageError(
                f"the loss became {broken[0]} at step {self.state.global_step + 1} of {self.state.max_steps}; "
                "a smaller learning_rate or max_grad_norm usually helps"
            )


class StageLog(TrainerCallback):
    """Writes one JSON line a step and reports it."""

    def __init__(self, trainer: AnswerTrainer, path: Path, on_step: Callable[[Step], None]) -> None:
        self._trainer = trainer
        self._path = path
        self._on_step = on_step
        self._writes = trainer.share.rank == 0
        self._started = time.monotonic()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock and an empty log."""
        self._started = time.monotonic()
        if self._writes:
            self._path.write_text("", encoding="utf-8")

    def on_log(
        self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        """Take down what the Trainer logs after a step."""
        if not logs or "loss" not in logs:
            return
        seen = self._trainer.all_tokens_seen()
        step = Step(
            step=state.global_step,
            steps=state.max_steps,
            loss=float(logs["loss"]),
            learning_rate=float(logs["learning_rate"]),
            gradient_norm=float(logs.get("grad_norm", 0.0)),
            tokens=seen,
            tokens_per_second=seen / max(time.monotonic() - self._started, 1e-9),
        )
        if self._writes:
            line = {name: getattr(step, name) for name in Step.__slots__}
            with self._path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
        self._on_step(step)


def answer_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | None = None) -> torch.Tensor:
    """Cross entropy in nats, summed over the answer tokens and divided by their number in the whole step.

    Args:
        outputs: logits `[N, V]` at the positions of `predicted_positions`.
        labels: `[B, T]`, -100 except on the answers.
        num_items_in_batch: answer tokens of the step; None counts those of `labels`.
    """
    targets = labels[:, 1:][labels[:, 1:] != IGNORED]  # [N], the rows of outputs.logits [N, V]
    return mean_loss(outputs.logits, targets, num_items_in_batch)


def example_loss(model: Any, example: TrainingExample) -> torch.Tensor:
    """Negative log-likelihood of one example's answer under a model, in nats, ready to be differentiated."""
    device = next(model.parameters()).device
    batch = collate([example])
    labels = batch["labels"].to(device)
    with logits_only_at(model, predicted_positions(labels)):
        outputs = model(input_ids=batch["input_ids"].to(device), use_cache=False)
    return answer_loss(outputs, labels, torch.tensor(1.0))


def mean_loss(logits: torch.Tensor, targets: torch.Tensor, total: torch.Tensor | None) -> torch.Tensor:
    """Cross entropy in nats, summed and divided by `total`, or by the number of targets where that is None.

    Shape:
        logits `[N, V]`, targets `[N]`.
    """
    summed = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
    return summed / (total if total is not None else targets.numel())


def predicted_positions(labels: torch.Tensor) -> torch.Tensor:
    """Positions whose next token is an answer token. Shape: `[B, T]`."""
    return torch.nn.functional.pad(labels[:, 1:] != IGNORED, (0, 1))
