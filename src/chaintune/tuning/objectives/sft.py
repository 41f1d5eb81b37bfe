"""SFT: the right answer's tokens are made likelier, after their prompt.

Use when: a task says what is right. The loss is the mean cross entropy of a step's answer tokens; prompts are read and
not learned.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chaintune.records import Choices, Example
from chaintune.tuning.objectives.objective import Objective

if TYPE_CHECKING:  # a study file that names an objective is read without torch
    import torch
    from transformers import PreTrainedTokenizerBase

    from chaintune.tuning.tokenized import TrainingExample


def _encode(tokenizer: "PreTrainedTokenizerBase", examples: Sequence[Example]) -> "list[TrainingExample]":
    from chaintune.models.encoding import encode_examples
    from chaintune.tuning.tokenized import training_examples

    encoded = encode_examples(tokenizer, examples)
    return training_examples(encoded, [example.choices.gold for example in examples], end=tokenizer.eos_token_id)


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


OBJECTIVE = Objective(targets=(Choices,), encode=_encode, collate=_collate, loss=_loss, collate_tree=_collate_tree)
