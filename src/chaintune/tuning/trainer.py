"""`transformers.Trainer` with the loss of an objective, and what is watched while it runs."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from chaintune.errors import StageError
from chaintune.tuning.objectives import Objective, Tokenized
from chaintune.tuning.optimizer import Step
from chaintune.tuning.step_rank import StepRank


class StageTrainer(Trainer):
    """Trainer whose loss is an objective's, a mean over the items of the whole step.

    Examples are read in the order given, so the order is the caller's alone.

    Args:
        objective: whose loss it is.
        share: which of several processes that train together this one is; None is the only one.
        batches: positions of the examples of each micro-batch of this process; None cuts them front to back.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        *arguments: Any,
        objective: Objective,
        share: StepRank | None = None,
        batches: list[list[int]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.objective, self.share, self._batches = objective, share or StepRank(), batches
        self.tokens_seen = 0
        self._unchecked: list[torch.Tensor] = []

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The examples in micro-batches; accelerate's own way of sharing them out would fill up a short last step."""
        if self._batches is None:
            return super().get_train_dataloader()
        return DataLoader(self.train_dataset, batch_sampler=self._batches, collate_fn=self.data_collator)

    def _defer_fsdp_gradient_reduction(self) -> AbstractContextManager[None]:
        """Of a sharded model gradients are added up at every micro-batch: kept until the last they would be whole."""
        return nullcontext()

    def all_tokens_seen(self) -> int:
        """Tokens that all processes have read; they have to ask together."""
        return self.share.total(self.tokens_seen, self.args.device)

    def _get_train_sampler(self, train_dataset: Dataset[Tokenized] | None = None) -> SequentialSampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> torch.Tensor:
        items = torch.tensor(float(sum(batch["items"] for batch in batch_samples)), device=device)
        together: torch.Tensor = items if self.share.ranks == 1 else self.accelerator.gather(items).sum()
        return together

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | None = None, **_: Any
    ) -> torch.Tensor:
        """Loss of one micro-batch, already divided by the items of the whole step.

        Raises:
            StageError: the loss of a micro-batch of the step is not finite; raised at the step's last one, as to look
                is to wait for the device.
        """
        self.tokens_seen += inputs["tokens"]
        bare = self.accelerator.unwrap_model(model)
        # Gradients are averaged over processes, and what is wanted is their sum.
        loss = self.objective.loss(bare, inputs, num_items_in_batch, wrapped=model) * self.share.ranks
        self._unchecked.append(loss.detach())
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

    def __init__(self, trainer: StageTrainer, path: Path, on_step: Callable[[Step], None]) -> None:
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
