"""The forms in which rows of data are read: as the user names columns, else as people usually call them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from chaintune.errors import ConfigError, DataError, nearest

Form = Literal["choices", "messages", "response", "preference", "text", "prompt"]
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Format:
    """One form of rows under the names that its columns usually have.

    Attributes:
        name: as messages call it.
        form: of what is read.
        columns: key -> column, of those that make it.
        beside: key -> column, of those that are read where they are there.
    """

    name: str
    form: Form
    columns: Mapping[str, str]
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that it takes."""
        return (*self.columns, *self.beside)


_SYSTEM = {"system": "system"}
# The first format of a form names its columns as their keys.
FORMATS = (
    Format("choices", "choices", {"prompt": "prompt", "choices": "choices", "gold": "gold"}, {"labels": ""}),
    Format("OpenAI's messages", "messages", {"messages": "messages"}, _SYSTEM),
    Format("ShareGPT's conversations", "messages", {"messages": "conversations"}, _SYSTEM),
    Format("prompt and response", "response", {"prompt": "prompt", "response": "response"}, {"input": "", **_SYSTEM}),
    Format("prompt and completion", "response", {"prompt": "prompt", "response": "completion"}, _SYSTEM),
    Format(
        "Alpaca's instruction and output",
        "response",
        {"prompt": "instruction", "response": "output"},
        {"input": "input", **_SYSTEM},
    ),
    Format(
        "chosen and rejected",
        "preference",
        {"chosen": "chosen", "rejected": "rejected"},
        {"prompt": "prompt", "input": "", **_SYSTEM},
    ),
    Format(
        "instruction, chosen and rejected",
        "preference",
        {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"},
        {"input": "input", **_SYSTEM},
    ),
    Format("text", "text", {"text": "text"}),
)
# Rows without an answer, which are taken where a model is to give one.
PROMPTS = (
    Format("prompts alone", "prompt", {"prompt": "prompt"}, {"input": "", **_SYSTEM}),
    Format("Alpaca's instructions alone", "prompt", {"prompt": "instruction"}, {"input": "input", **_SYSTEM}),
)
_PLAIN: Mapping[Form, Format] = {one.form: one for one in reversed(FORMATS)}
# Keys that one form alone takes, so that naming one says which is meant.
_DECIDE: Mapping[str, Form] = {
    "choices": "choices", "gold": "choices", "labels": "choices", "messages": "messages", "response": "response",
    "chosen": "preference", "rejected": "preference", "text": "text",
}  # fmt: skip
_PROMPTS_ALONE = (
    "or say 'measure: generation' with a 'scorer', where there is no right answer and what a model writes is judged"
)
TARGET_KEYS = ("prompt", "input", "system", *_DECIDE)
_ALL = (
    "prompt, choices and gold; messages (or ShareGPT's conversations); prompt and response (or completion, or Alpaca's "
    "instruction and output); chosen and rejected, with a prompt or without; or text alone"
)


def form_of(
    named: Mapping[str, Any], there: Sequence[str], where: str, *, generated: bool = False
) -> tuple[Form, dict[str, Any]]:
    """The form in which rows are read, and the column of each of its keys.

    Args:
        named: of `TARGET_KEYS`, key -> column, as the user names them.
        there: names of the columns that there are.
        where: of the data, for messages.
        generated: whether a model writes the answers, so that prompts alone are a form too.

    Raises:
        ConfigError: keys of two forms are named.
        DataError: the columns make no form, or several.
    """
    forms = {_DECIDE[key]: key for key in named if key in _DECIDE}
    if len(forms) > 1:
        first, second = list(forms.values())[:2]
        raise ConfigError(f"columns: '{first}' and '{second}' both say what is right; name one of them")
    usual = _PLAIN[next(iter(forms))] if forms else _recognised(named, there, where, generated=generated)
    if strange := [key for key in named if key not in usual.keys]:
        decided = next(iter(forms.values()), usual.name)
        raise ConfigError(f"columns: '{strange[0]}' does not go with '{decided}'; {nearest(strange[0], usual.keys)}")
    beside = {key: column for key, column in usual.beside.items() if column and column in there}
    return usual.form, {**usual.columns, **beside, **named}


def _recognised(named: Mapping[str, Any], there: Sequence[str], where: str, *, generated: bool) -> Format:
    """The format whose columns are there; choices come first, and text counts where nothing else is there."""
    prompts = _fitting(PROMPTS, named, there)
    fitting = _fitting(FORMATS, named, there)
    if generated and prompts and not any(one.form != "text" for one in fitting):
        return prompts[0]
    if fitting and fitting[0].form == "choices":
        return fitting[0]
    kept = [one for one in fitting if one.form != "text" or len(fitting) == 1]
    kept = [one for one in kept if not any(_is_part(one, other) for other in kept)]
    if len(kept) == 1:
        return kept[0]
    if kept:
        both = " and as ".join(f"{one.name} ({', '.join(one.columns.values())})" for one in kept[:2])
        ways = " or ".join(f"'columns: {{{_written(one)}}}'" for one in kept[:2])
        raise DataError(f"{where}: its rows can be read as {both}; say which by {ways}")
    raise DataError(f"{where}: {_nothing(named, there)}{f'; {_PROMPTS_ALONE}' if prompts else ''}")


def _fitting(formats: Sequence[Format], named: Mapping[str, Any], there: Collection[str]) -> list[Format]:
    return [one for one in formats if set(named) <= set(one.keys) and not _missing(one.columns, there, besides=named)]


def _is_part(one: Format, other: Format) -> bool:
    return one.form == other.form and one.columns.items() < other.columns.items()


def _missing(columns: Mapping[str, str], there: Collection[str], *, besides: Collection[str]) -> list[str]:
    return [column for key, column in columns.items() if key not in besides and column not in there]


def _nothing(named: Mapping[str, Any], there: Sequence[str]) -> str:
    """Why the columns make no form, with the one that they come closest to."""
    likely = [one for one in FORMATS if set(named) <= set(one.keys)]
    missing = {one.name: _missing(one.columns, there, besides=named) for one in likely}
    closest = min(likely, key=lambda one: len(missing[one.name]) / len(one.columns), default=None)
    listed = ", ".join(f"'{column}'" for column in there[:_SHOWN])
    if closest and 0 < len(missing[closest.name]) < len(closest.columns):
        lacks = missing[closest.name]
        quoted = ", ".join(f"'{column}'" for column in lacks)
        what = f"no column {quoted} for {closest.name}; {nearest(lacks[0], there)}"
    else:
        what = f"its columns {listed} hold nothing that could be right"
    return f"{what}; a task takes {_ALL}; name the data's own columns under 'columns'"


def _written(one: Format) -> str:
    decides = [key for key in one.columns if key in _DECIDE]
    return ", ".join(f"{key}: {one.columns[key]}" for key in (one.columns if one.form == "response" else decides))
