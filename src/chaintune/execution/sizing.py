"""How large the texts and the models of a study are, known before anything runs."""

import math
from collections.abc import Sequence

from chaintune.execution.bases import BaseModel, shapes_of
from chaintune.models import Precision, Reader
from chaintune.models.encoding import check_lengths, encode_examples
from chaintune.plan.graph import CountTokens
from chaintune.records import Example, Lora, Task
from chaintune.scoring.trees import distinct_tokens
from chaintune.tuning.objectives import OBJECTIVES, choose_objective, targets_of


def check_readable(task: Task, reader: Reader) -> None:
    """Refuse, before anything is trained, what a stage or a scoring would refuse later.

    Raises:
        DataError: an example is longer than the model's context.
    """
    lengths = _training_tokens(task.train, reader, task=task.name)
    check_lengths(task.train, lengths, reader.context_tokens, task=task.name)
    tested = encode_examples(reader.tokenizer, task.test)
    check_lengths(task.test, [item.longest_tokens for item in tested], reader.context_tokens, task=task.name)


def token_counter(reader: Reader) -> CountTokens:
    """Tokens of one epoch of training and of one scoring of some examples, each distinct beginning counted once."""

    def count(examples: Sequence[Example]) -> tuple[int, int]:
        encoded = encode_examples(reader.tokenizer, examples)
        return sum(_training_tokens(examples, reader, task="")), distinct_tokens(encoded)

    return count


def _training_tokens(examples: Sequence[Example], reader: Reader, *, task: str) -> list[int]:
    """Tokens that a stage reads of each example, under the objective that takes its target; 0 of one without."""
    targets = targets_of(examples)
    if type(None) in targets:  # nothing to learn, only to be measured
        return [0] * len(examples)
    objective = OBJECTIVES.get(choose_objective(None, targets, task=task))
    return [len(encoded.tokens) for encoded in objective.encode(reader.tokenizer, examples)]


def parameters_of(base: BaseModel) -> int:
    """How many weights a base has, read from its files' headers."""
    return sum(math.prod(shape) for shape in shapes_of(base.folder).values())


def stage_bytes(base: BaseModel, adapter: Lora | None, precision: Precision) -> int:
    """Size of a checkpoint: every weight at the precision, or an adapter in fp32 on every layer's matrices."""
    if adapter is None:
        return parameters_of(base) * (2 if precision == "bf16" else 4)
    layers = [shape for shape in shapes_of(base.folder).values() if len(shape) == 2 and max(shape) < 8 * min(shape)]
    return sum(adapter.rank * sum(shape) * 4 for shape in layers)
