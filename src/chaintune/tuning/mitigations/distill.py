"""Distill: while another task is taught, what the model predicts stays near to what its parent predicted.

Use when: the checkpoint before the stage is at hand, and its own answers to some prompts may be looked at while the
stage trains. With `rows: new` not even prompts are needed: the parent is held to on the rows of the new task, which
pulls against learning it.

On your own Trainer: `trainer.add_callback(Distill(model, rows, weight=1.0))`, made before training begins; the rows
are inputs with `input_ids` and `labels`, of which the labelled positions count.

Source:
    Li and Hoiem 2016, Learning without forgetting, arXiv:1606.09282 (`rows: new`); Hinton, Vinyals and Dean 2015,
    arXiv:1503.02531, for the temperature and its square in front of the loss.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from chaintune.config.validation import Real, Whole, as_list, as_shown
from chaintune.errors import DataError
from chaintune.tuning.mitigations.callback import Callback, trainable_weights
from chaintune.tuning.mitigations.mitigation import Hook, Mitigation, StageModel
from chaintune.tuning.mitigations.specs import AnswersSpec, Positive, Several, as_text

if TYPE_CHECKING:  # a study file that names a mitigation is read without torch
    import torch

Direction = Literal["forward", "backward"]

_TOKEN_BYTES = 8  # an id and a log-probability
# What the parent gives less than a hundred-millionth counts as that: backward, a rest of nothing would cost infinitely.
_LEAST_LOG_PROBABILITY = -18.4


class DistillSpec(AnswersSpec):
    """A pull to what the stage's parent predicts.

    Attributes:
        weight: of the divergence beside the task's loss.
        rows: that are looked at: `own` answers of the checkpoint before the loss to `prompts`, or those of the `new`
            task.
        direction: `forward` is KL(parent || model), large where the model no longer does what the parent did;
            `backward` KL(model || parent), large where it does what the parent did not.
        temperature: that both models' logits are divided by.
        top_k: of the parent's tokens at each position; the others are one, with the mass of all of them.
        examples: prompts that are looked at, at most as many as there are.
        batch: rows of each step.
    """

    weight: Annotated[list[Annotated[Real, Field(ge=0), as_shown]], Several, as_list] = Field(
        default_factory=lambda: [1.0]
    )
    rows: Literal["own", "new"] = "own"
    direction: Direction = "forward"
    temperature: Positive = 1.0
    top_k: Annotated[Whole, Field(ge=1, le=1_000_000)] = 64
    examples: Annotated[Whole, Field(ge=1)] = 128
    batch: Annotated[Whole, Field(ge=1, le=100_000)] = 8

    varied: ClassVar[str] = "weight"

    @property
    def suffix(self) -> str:
        """What differs from the usual: ` on new`, ` backward`, ` T 2`, ` top 8`."""
        usual = {name: DistillSpec.model_fields[name].default for name in ("temperature", "top_k", "examples", "batch")}
        own = {"temperature": "T", "top_k": "top", "examples": "of", "batch": "batch"}
        named = [f" {own[name]} {as_text(getattr(self, name))}" for name in usual if getattr(self, name) != usual[name]]
        parts = [" on new" if self.rows == "new" else self.answers_suffix, " backward" * (self.direction == "backward")]
        return "".join([*parts, *named])

    @property
    def protected_examples(self) -> int:
        """The prompts that are looked at."""
        return self.examples if self.rows == "own" else 0

    @property
    def needs_old_data(self) -> bool:
        """Prompts of the task are data of the task."""
        return self.rows == "own" and self.prompts is None

    @property
    def rows_a_step(self) -> int:
        """Rows that are read beside those of the task."""
        return self.batch

    @property
    def bytes_a_token(self) -> int:
        """Of the parent's log-probabilities at one position."""
        return _TOKEN_BYTES * (self.top_k + 1)

    def is_nothing(self, value: Any) -> bool:
        """At weight 0."""
        return bool(value == 0)

    def label(self, name: str, value: Any) -> str:
        """The weight: `distill 1 on new`."""
        return f"{name} {as_text(value)}{self.suffix}"

    def options(self, value: Any) -> dict[str, Any]:
        """How the divergence is computed; whose prompts are answered is no part of it."""
        named = ("rows", "direction", "temperature", "top_k", "batch")
        return {name: getattr(self, name) for name in named} | {"weight": value}


@dataclass(frozen=True, slots=True)
class TopTokens:
    """What a model predicts at some positions: its likeliest tokens, and all others as one.

    Attributes:
        tokens: ids. Shape `[N, K]`.
        log_probabilities: of these, and of all others together; at a K of the whole vocabulary there are no others.
            Shape `[N, K + 1]`, or `[N, V]`.
    """

    tokens: "torch.Tensor"
    log_probabilities: "torch.Tensor"


def top_tokens(logits: "torch.Tensor", top_k: int, *, temperature: float = 1.0) -> TopTokens:
    """The likeliest tokens at each position with their log-probabilities, and the rest's.

    Args:
        logits: of a model.
        top_k: how many; the whole vocabulary where it has no more.
        temperature: that logits are divided by.

    Shape:
        logits `[N, V]`.
    """
    import torch

    k = min(top_k, logits.shape[-1])
    tokens = torch.topk(logits, k, dim=-1).indices
    return TopTokens(tokens.int(), at_tokens(logits, tokens, temperature=temperature).float())


def at_tokens(logits: "torch.Tensor", tokens: "torch.Tensor", *, temperature: float = 1.0) -> "torch.Tensor":
    """Log-probabilities of some tokens at each position, and behind them that of all others together.

    Shape:
        logits `[N, V]`, tokens `[N, K]` -> `[N, K + 1]`; `[N, V]` where there are no others.
    """
    import torch

    every = torch.log_softmax(logits.float() / temperature, dim=-1)
    chosen = every.gather(1, tokens.long())
    if tokens.shape[-1] == logits.shape[-1]:
        return chosen
    others = every.scatter(1, tokens.long(), -torch.inf).logsumexp(dim=-1, keepdim=True)
    return torch.cat([chosen, others], dim=-1)


def divergence(parent: "torch.Tensor", own: "torch.Tensor", direction: Direction = "forward") -> "torch.Tensor":
    """KL in nats at each position, over the parent's likeliest tokens and the rest as one; at most that over all.

    Args:
        parent: of `at_tokens`.
        own: the model's, at the same tokens.
        direction: `forward` is KL(parent || own), `backward` KL(own || parent).

    Shape:
        `[N, K + 1]` -> `[N]`.
    """
    parent = parent.clamp(min=_LEAST_LOG_PROBABILITY)
    p, q = (parent, own) if direction == "forward" else (own, parent)
    return (p.exp() * (p - q)).sum(dim=-1)


class Distill(Callback):
    """Adds `weight * T^2 * KL` to what is minimised, a mean over positions; the logged loss stays that of the task.

    The parent is the model as it is when the callback is made: it reads every row once, and its likeliest tokens are
    kept. Before each of the optimizer's steps the next rows are read, without dropout, and the gradient of their
    divergence is added to the others; it is not clipped with them, and the same whatever the gradient accumulation. At
    weight 0 nothing is read.

    Memory: `8 * (top_k + 1)` bytes a labelled position in main memory; while a step is made, one more gradient of the
    trained weights, and the activations of `micro_batch_size` rows with their logits at labelled positions.

    Args:
        model: the parent, whose trainable weights are chosen.
        rows: inputs of one example each, with `input_ids` and `labels`.
        weight: of the divergence.
        direction, temperature, top_k, batch: as a study file has them.
        micro_batch_size: rows that are read at once.
        seed: of the order in which rows are read.

    Raises:
        DataError: no row has a labelled position.

    Attributes:
        tokens_read: so far, by the parent and by the model.
    """

    def __init__(
        self,
        model: Any,
        rows: Sequence[Mapping[str, Any]],
        *,
        weight: float,
        direction: Direction = "forward",
        temperature: float = 1.0,
        top_k: int = 64,
        batch: int = 8,
        micro_batch_size: int = 4,
        seed: int = 0,
    ) -> None:
        self._weight, self._direction, self._temperature, self._batch = weight, direction, temperature, batch
        self._at_once = micro_batch_size
        self.tokens_read = 0
        self._rows = [] if weight == 0 else [flat for row in rows for flat in _flat(row)]
        if weight and not self._rows:
            raise DataError("distill: it needs rows in which something is predicted, got none")
        self._order = _turns(len(self._rows), seed)
        self._parent = self._predicted_by(model, top_k)

    def _predicted_by(self, model: Any, top_k: int) -> list[TopTokens]:
        import torch

        from chaintune.models.undisturbed import evaluating

        predicted: list[TopTokens] = []
        with torch.no_grad(), evaluating(model):
            for start in range(0, len(self._rows), self._at_once):
                rows = self._rows[start : start + self._at_once]
                tops = top_tokens(self._logits(model, rows), top_k, temperature=self._temperature)
                counts = [int(positions.sum()) for _, positions in rows]
                both = zip(tops.tokens.cpu().split(counts), tops.log_probabilities.cpu().split(counts), strict=True)
                predicted += [TopTokens(tokens, values) for tokens, values in both]
        return predicted

    def _logits(self, model: Any, rows: "Sequence[tuple[torch.Tensor, torch.Tensor]]") -> "torch.Tensor":
        """Logits at the positions that predict what is labelled, row by row. Shape: `[N, V]`."""
        import torch

        from chaintune.models.forward import logits_only_at

        device = next(model.parameters()).device
        width = max(len(ids) for ids, _ in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        positions = torch.zeros((len(rows), width), dtype=torch.bool)
        for place, (own, predicting) in enumerate(rows):
            ids[place, : len(own)], positions[place, : len(own)] = own, predicting
        self.tokens_read += sum(len(own) for own, _ in rows)
        # No attention mask: under causal attention nothing that counts can see padding on its right.
        with logits_only_at(model, positions.to(device)):
            logits: torch.Tensor = model(input_ids=ids.to(device), use_cache=False).logits
        return logits

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, **__: Any) -> None:
        """Add the gradient of the divergence on the next rows to those of the trained weights."""
        import torch

        from chaintune.models.undisturbed import evaluating

        if not self._weight:
            return
        weights = list(trainable_weights(model).values())
        chosen = [next(self._order) for _ in range(min(self._batch, len(self._rows)))]
        total = sum(len(self._parent[place].tokens) for place in chosen)
        with torch.enable_grad(), evaluating(model):
            for start in range(0, len(chosen), self._at_once):
                loss = self._loss(model, chosen[start : start + self._at_once]) / total
                # Not backward(): DDP would take these for gradients of its own pass. They are alike in all processes.
                for weight, grad in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
                    if grad is not None:
                        weight.grad = grad if weight.grad is None else weight.grad.add_(grad)

    def _loss(self, model: Any, places: Sequence[int]) -> "torch.Tensor":
        """Weighted divergence on some rows, summed over their positions."""
        import torch

        logits = self._logits(model, [self._rows[place] for place in places])
        parents = [self._parent[place] for place in places]
        tokens = torch.cat([one.tokens for one in parents]).to(logits.device)
        before = torch.cat([one.log_probabilities for one in parents]).to(logits.device)
        apart = divergence(before, at_tokens(logits, tokens, temperature=self._temperature), self._direction)
        return self._weight * self._temperature**2 * apart.sum()


def _flat(row: Mapping[str, Any]) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
    """Token ids of each sequence of a row, and where the next one is labelled. Shape: `[T]`, `[T]`."""
    import torch

    ids, labels = (row[name].detach().cpu() for name in ("input_ids", "labels"))
    for own, labelled in zip(ids.reshape(-1, ids.shape[-1]), labels.reshape(-1, ids.shape[-1]), strict=True):
        predicting = torch.zeros_like(labelled, dtype=torch.bool)
        predicting[:-1] = labelled[1:] >= 0
        if predicting.any():
            last = int(predicting.nonzero()[-1]) + 1
            yield own[:last], predicting[:last]


def _turns(rows: int, seed: int) -> Iterator[int]:
    """Places of rows, each once in a pass, every pass in another order."""
    rng = random.Random(seed)  # noqa: S311 - shuffling, not secrecy
    while rows:
        yield from rng.sample(range(rows), rows)


def _apply(stage: StageModel, *, rows: str, weight: float, **how: Any) -> Hook:
    if not weight:
        return Hook()
    how |= {"micro_batch_size": stage.micro_batch_size, "seed": stage.seed}
    pull = Distill(stage.loaded.model, stage.rows("taught" if rows == "new" else "protected"), weight=weight, **how)
    return Hook(callbacks=(pull,), tokens_read=lambda: pull.tokens_read)


MITIGATION = Mitigation(spec=DistillSpec, place="later stages", apply=_apply, weights="whole", own_trainer="Distill")
