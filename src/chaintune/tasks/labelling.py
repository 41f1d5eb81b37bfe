"""Labelling tasks: every example is answered with one of the same few labels, and its gold label is a dimension.

Prompts of which each says whether an answer should refuse or comply are labelled by that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from chaintune.errors import DataError
from chaintune.records import Choices, Example
from chaintune.records.examples import EXPECTS, LABEL, MOST_LABELS, as_label, is_labelling
from chaintune.tasks.definition import Pool, TaskData

# Scorers that say whether an answer refuses, and so whether the expected was done.
_TELLS_EXPECTED = ("refusal",)


def labelled(data: TaskData, labelling: bool | None, what: str) -> TaskData:
    """The data with the dimension `label` where it is a labelling task's; the same data where it is not.

    Args:
        data: of a task.
        labelling: what the user says; None where every example offers the same 2 to 10 texts, several of them right.
        what: the beginning of an error sentence.

    Raises:
        DataError: what is said to be a labelling task has no labels, or the data has another dimension `label`.
    """
    pool = data.pool
    examples = [*pool.examples, *(pool.test or ())]
    if not (_has_labels(examples) if labelling is None else labelling and _check_labels(examples, what)):
        if LABEL in data.dimensions:
            raise DataError(
                f"{what}: dimension '{LABEL}' is kept for the gold labels of labelling tasks, which this is not; "
                "give the dimension another name under 'columns', or write 'labelling: true'"
            )
        return data
    train, test = (part and [_with_label(example, what) for example in part] for part in (pool.examples, pool.test))
    dimensions = tuple(dict.fromkeys([*data.dimensions, LABEL]))
    return replace(data, pool=Pool(train or (), test, pool.source), dimensions=dimensions)


def is_balanced(dimensions: Sequence[str], metrics: Sequence[str], examples: Iterable[Example]) -> bool:
    """Whether a task's scores are balanced over its gold labels, unless its measure has no such metric.

    Args:
        dimensions: of the task.
        metrics: that were named for it, the first deciding.
        examples: of the task.
    """
    if LABEL not in dimensions:
        return False
    if not metrics or metrics[0] in ("auto", "balanced_accuracy"):
        return True
    return metrics[0] in _TELLS_EXPECTED and all(map(_expected, examples))


def _has_labels(examples: Sequence[Example]) -> bool:
    if examples and all(map(_expected, examples)):
        return True
    targets = [example.target for example in examples]
    choices = [target for target in targets if isinstance(target, Choices) and target.has_right_answer]
    # Where one text is right throughout, accuracy says all, and means over labels are undefined.
    return len(choices) == len(targets) and is_labelling(choices) and len({one.labels[one.gold] for one in choices}) > 1


def _expected(example: Example) -> str:
    """What an answer to a prompt should do, refuse or comply, where nothing else is right."""
    return str(example.extra.get(EXPECTS, "")) if example.target is None else ""


def _check_labels(examples: Sequence[Example], what: str) -> bool:
    """True where the examples' right answers can be labels."""
    if all(map(_expected, examples)):
        return True
    texts = {text for example in examples for text in example.choices.labels}
    if not 2 <= len(texts) <= MOST_LABELS:
        raise DataError(
            f"{what}: 'labelling: true' takes examples that offer the same 2 to {MOST_LABELS} texts, and these offer "
            f"{len(texts)}; leave it out"
        )
    return True


def _with_label(example: Example, what: str) -> Example:
    label = _expected(example) or example.choices.labels[example.choices.gold]
    own = example.groups.get(LABEL)
    if own is not None and tuple(map(as_label, own)) != (label,):
        raise DataError(
            f"{what}: example '{example.id}' has '{own[0]}' on dimension '{LABEL}', which is kept for gold labels, "
            f"here '{label}'; give your dimension another name under 'columns'"
        )
    return replace(example, groups={**example.groups, LABEL: (label,)})
