"""SFT: the answers' tokens are made likelier, each after what stands before it.

Use when: a task says what is right. The loss is the mean cross entropy of a step's answer tokens; prompts are read and
not learned. Of a conversation every turn of the assistant is an answer, or with `turns: last` the last one; of a
preference the one that `teach` names.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from chaintune.records import Choices, Example, Preference, Recipe, Reference
from chaintune.tuning.objectives.objective import Objective

if TYPE_CHECKING:  # a study file that names an objective is read without torch
    import torch
    from transformers import PreTrainedTokenizerBase

    from chaintune.tuning.tokenized import TrainingExample


def _encode(
    tokenizer: "PreTrainedTokenizerBase",
    examples: Sequence[Example],
    *,
    last_turn_only: bool = False,
    answer: int = 0,
) -> "list[TrainingExample]":
    from chaintune.models.taught import encode_taught
    from chaintune.tuning.tokenized import training_examples

    return training_examples(encode_taught(tokenizer, examples, last_turn_only=last_turn_only), answer=answer)


def _collate(batch: "Sequence[TrainingExample]") -> dict[str, Any]:
    from chaintune.tuning.tokenized import collate

    return collate(batch)


def _collate_tree(batch: "Sequence[TrainingExample]") -> dict[str, Any]:
    from chaintune.tuning.shared_prefixes import collate_tree

    return collate_tree(batch)


def _loss(
    model: Any, batch: dict[str, Any], items: "torch.Tensor | None" = None, *, wrapped: Any = None
) -> "torch.Tensor":
    from chaintune.tuning.answer_loss import answer_loss

    return answer_loss(model, batch, items, wrapped=wrapped)


def _configured(recipe: Recipe) -> Objective:
    encode = partial(_encode, last_turn_only=recipe.turns == "last", answer=int(recipe.teach == "rejected"))
    return replace(OBJECTIVE, targets=(Choices, Reference, *([Preference] if recipe.teach else [])), encode=encode)


OBJECTIVE = Objective(
    targets=(Choices, Reference),
    encode=_encode,
    collate=_collate,
    loss=_loss,
    collate_tree=_collate_tree,
    configured=_configured,
)
