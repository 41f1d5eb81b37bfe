"""Cross entropy of answer tokens, of examples side by side or as a tree."""

from typing import Any

import torch

from chaintune.models.forward import logits_only_at
from chaintune.tuning.shared_prefixes import answer_logits
from chaintune.tuning.tokenized import IGNORED


def answer_loss(
    model: Any, batch: dict[str, Any], items: torch.Tensor | None = None, *, wrapped: Any = None
) -> torch.Tensor:
    """Cross entropy in nats, summed over a micro-batch's answer tokens and divided by their number in the whole step.

    The vocabulary's logits are computed at answer positions only.

    Args:
        model: a causal language model of transformers, or a PEFT model around one.
        batch: of `collate` or `collate_tree`; it may lie on another device.
        items: answer tokens of the step; None counts those of the batch.
        wrapped: what to call in the model's place, such as DDP around it.
    """
    labels = batch["labels"].to(next(model.parameters()).device)
    if "tree" in batch:
        return mean_loss(answer_logits(model, batch["tree"], wrapped=wrapped), labels[0, 1:], items)
    called = model if wrapped is None else wrapped
    with logits_only_at(model, predicted_positions(labels)):
        logits = called(input_ids=batch["input_ids"].to(labels.device), use_cache=False).logits
    answers = labels[:, 1:][labels[:, 1:] != IGNORED]  # [N], the rows of logits [N, V]
    return mean_loss(logits, answers, items)


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
