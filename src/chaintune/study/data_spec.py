"""What `columns` and `split` of a task in a study file may say."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from chaintune.config.validation import Spec


def _as_column(value: Any) -> Any:
    """The name of a column, also one that YAML takes for a number."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_gold(value: Any) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise ValueError(
            f"expected a column, a text with columns in braces, or the index of the right choice, got {value!r}"
        )
    return value


Column = Annotated[str, BeforeValidator(_as_column)]


class ColumnSpec(Spec):
    """The columns of a user's own data; those not named are looked for under their usual names.

    A prompt, an answer or a text may be a text with columns in braces, `Question: {question}`.

    Attributes:
        id: that names a row; without one rows are named by their content.
        messages: that holds a whole conversation.
        prompt: what is asked.
        input: whose text follows the prompt where a row has one.
        system: whose text begins the conversation where a row has one.
        response: the right answer to the prompt.
        chosen: the better of two answers.
        rejected: the worse one.
        text: that is taught as it is, without a prompt.
        choices: that holds all choices, or a text for each.
        gold: which choice is right: its index from 0, its text, or its label.
        labels: the labels of the choices, or the column that holds them, where `gold` is one of them.
        cluster: rows alike in it are not independent: they are never divided between train and test.
        split: that says `train` or `test` of each row.
        pair: shared by prompts that belong together.
        expects: what an answer should do, `refuse` or `comply`.
        groups: dimension -> the column with its groups, or a column that holds such a mapping.
        extra: further columns, for scorers.
    """

    id: Column | None = None
    messages: Column | None = None
    prompt: Column | None = None
    input: Column | None = None
    system: Column | None = None
    response: Column | None = None
    chosen: Column | None = None
    rejected: Column | None = None
    text: Column | None = None
    choices: Column | list[Column] | None = None
    gold: Annotated[str | int | None, BeforeValidator(_as_gold)] = None
    labels: Column | list[Column] | None = None
    cluster: Column | None = None
    split: Column | None = None
    pair: Column | None = None
    expects: Column | None = None
    groups: dict[str, Column] | Column | None = None
    extra: dict[str, Column] | list[Column] | Column | None = None


class SplitSpec(Spec):
    """The splits of a Hub data set, or the parts of a file, that are taught and tested.

    Attributes:
        train: that is taught.
        test: that is tested.
    """

    train: str
    test: str
