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
    return mean_loss(*_predicted(model, batch, wrapped), items)


def answer_log_probabilities(
    model: Any, batch: dict[str, Any], *, wrapped: Any = None
) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Log-probability in nats of each sequence's answer tokens together, and how many these are.

    Args:
        model: a causal language model of transformers, or a PEFT model around one.
        batch: of `collate` or `collate_tree`; it may lie on another device.
        wrapped: what to call in the model's place, such as DDP around it.

    Shape:
        `[S]`, in the order of the batch's sequences.
    """
    logits, answers = _predicted(model, batch, wrapped)
    each = -torch.nn.functional.cross_entropy(logits.float(), answers, reduction="none")
    if not batch["answered"]:
        return each, ()
    numbers, counts = zip(*batch["answered"], strict=True)
    sums = [part.sum() for part in each.split(counts)]
    order = sorted(range(len(numbers)), key=lambda place: numbers[place])
    return torch.stack([sums[place] for place in order]), tuple(counts[place] for place in order)


def _predicted(model: Any, batch: dict[str, Any], wrapped: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits that predict the answer tokens, and these. Shape: `[N, V]`, `[N]`."""
    labels = batch["labels"].to(next(model.parameters()).device)
    if "tree" in batch:
        return answer_logits(model, batch["tree"], wrapped=wrapped), labels[0, 1:]
    called = model if wrapped is None else wrapped
    with logits_only_at(model, predicted_positions(labels)):
        logits = called(input_ids=batch["input_ids"].to(labels.device), use_cache=False).logits
    return logits, labels[:, 1:][labels[:, 1:] != IGNORED]


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
