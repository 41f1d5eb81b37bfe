"""DPO: the chosen answer of each pair gets likelier than the rejected one, held against the model before the stage.

Use when: there are pairs of answers of which one is preferred. The loss of a pair is `-log sigmoid(beta * margin)`; the
margin is by how many nats the stage has raised the chosen answer above the rejected one. A step's loss is the mean over
its pairs. With `loss: ipo` it is the squared distance of the margin, each answer's part of it divided by its tokens,
from `1 / (2 * beta)`. Answers are taught with their ends; earlier turns of a conversation are read and not learned.

Source:
    Rafailov et al. 2023, arXiv:2305.18290, equation 7; label smoothing as in Mitchell 2023, "A note on DPO with noisy
    preferences". IPO: Azar et al. 2023, arXiv:2310.12036, equation 17, with means over tokens in place of sums, as TRL
    has it from the authors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from chaintune.records import Example, Preference, Recipe
from chaintune.records.preference import REFERENCE
from chaintune.tuning.objectives.objective import Objective

if TYPE_CHECKING:  # a study file that names an objective is read without torch
    import torch
    from transformers import PreTrainedTokenizerBase

    from chaintune.models.loading import LoadedModel
    from chaintune.tuning.tokenized import TrainingExample


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt with its two answers.

    Attributes:
        example: the prompt with the chosen answer, and with the rejected one.
        reference: log-probability of either before the stage, in nats; None is not known yet.
    """

    example: "TrainingExample"
    reference: tuple[float, float] | None = None

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """What is read."""
        return self.example.sequences


def _encode(tokenizer: "PreTrainedTokenizerBase", examples: Sequence[Example]) -> list[Pair]:
    from chaintune.models.taught import encode_taught
    from chaintune.tuning.tokenized import TrainingExample

    pairs = []
    for example, (encoded,) in zip(examples, encode_taught(tokenizer, examples), strict=True):
        known = example.extra.get(REFERENCE)
        both = TrainingExample.of((encoded.prefix, answer) for answer in encoded.continuations)
        pairs.append(Pair(both, tuple(known) if known else None))
    return pairs


def _prepare(loaded: "LoadedModel", pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with the log-probabilities that the model gives their answers now, where they are not known."""
    from chaintune.models.encoding import Encoded
    from chaintune.models.processes import SINGLE_PROCESS, Rank
    from chaintune.models.sharding import is_sharded
    from chaintune.scoring.logprobs import answer_logprobs

    missing = [pair for pair in pairs if pair.reference is None]
    if not missing:
        return list(pairs)
    encoded = [Encoded(*_parts(pair.example)) for pair in missing]
    share = Rank.here() if is_sharded(loaded.model) else SINGLE_PROCESS
    rows = iter(share.merged(answer_logprobs(loaded.model, encoded, share=share), loaded.device))
    return [pair if pair.reference else _with_reference(pair, *next(rows)) for pair in pairs]


def _with_reference(pair: Pair, chosen: float, rejected: float) -> Pair:
    return replace(pair, reference=(chosen, rejected))


def _parts(example: "TrainingExample") -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    start = example.answers[0][0][0]
    return example.sequences[0][:start], tuple(tokens[start:] for tokens in example.sequences)


def _collate(batch: Sequence[Pair]) -> dict[str, Any]:
    from chaintune.tuning.tokenized import collate

    return _with_references(collate([pair.example for pair in batch]), batch)


def _collate_tree(batch: Sequence[Pair]) -> dict[str, Any]:
    from chaintune.tuning.shared_prefixes import collate_tree

    return _with_references(collate_tree([pair.example for pair in batch]), batch)


def _with_references(answers: dict[str, Any], batch: Sequence[Pair]) -> dict[str, Any]:
    """A batch whose loss is a mean over pairs. Shape: `references` `[B, 2]`, chosen first."""
    import torch

    references = torch.tensor([pair.reference or (0.0, 0.0) for pair in batch]).reshape(len(batch), 2)
    return answers | {"references": references, "items": len(batch)}


def _loss(
    model: Any,
    batch: dict[str, Any],
    items: "torch.Tensor | None" = None,
    *,
    wrapped: Any = None,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    loss: str = "sigmoid",
) -> "torch.Tensor":
    import torch
    from torch.nn.functional import logsigmoid

    from chaintune.tuning.answer_loss import answer_log_probabilities

    sums, tokens = answer_log_probabilities(model, batch, wrapped=wrapped)
    moved = sums.view(-1, 2) - batch["references"].to(sums.device)  # [B, 2]
    if loss == "ipo":
        moved = moved / torch.tensor(tokens, device=sums.device).view(-1, 2)
        losses = (moved[:, 0] - moved[:, 1] - 1 / (2 * beta)) ** 2
    else:
        margins = beta * (moved[:, 0] - moved[:, 1])
        losses = -(1 - label_smoothing) * logsigmoid(margins) - label_smoothing * logsigmoid(-margins)
    return losses.sum() / (batch["items"] if items is None else items)


def _configured(recipe: Recipe) -> Objective:
    settings: dict[str, Any] = {"beta": recipe.beta, "label_smoothing": recipe.label_smoothing, "loss": recipe.loss}
    return replace(OBJECTIVE, loss=partial(_loss, **settings))


OBJECTIVE = Objective(
    targets=(Preference,),
    encode=_encode,
    collate=_collate,
    loss=_loss,
    collate_tree=_collate_tree,
    prepare=_prepare,
    configured=_configured,
    has_reference=True,
)
