"""Texts that a checkpoint writes: how it is asked for them, and their measurement."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pyarrow as pa

from chaintune.errors import ConfigError
from chaintune.records.examples import Example
from chaintune.records.measurements import MEASUREMENT_SCHEMA, Measurement

GENERATION = "generation"

# `text` is what was written behind the prompt, without special tokens; `tokens` counts all of them.
GENERATED = pa.schema(
    [
        *MEASUREMENT_SCHEMA,
        pa.field("text", pa.string()),
        pa.field("finish_reason", pa.string()),
        pa.field("tokens", pa.int32()),
    ]
)

FinishReason = Literal["stop", "stop string", "length"]


@dataclass(frozen=True, slots=True)
class Generation:
    """How texts are written.

    Attributes:
        max_new_tokens: after which a text ends.
        samples: texts of each prompt.
        temperature: that logits are divided by before a token is drawn; at 0 the likeliest token is taken.
        seed: of the draws.
        stop: strings that end a text, which is cut in front of them.

    Raises:
        ConfigError: a number is out of range, or several samples would be the same text.
    """

    max_new_tokens: int = 64
    samples: int = 1
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in (("max_new_tokens", self.max_new_tokens), ("samples", self.samples)):
            if value < 1:
                raise ConfigError(f"{name}: expected 1 or more, got {value}")
        if not 0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature: expected 0 or more, got {self.temperature}")
        if self.samples > 1 and not self.temperature:
            raise ConfigError(
                f"samples: {self.samples} texts of one prompt are the same text at temperature 0; set a temperature, "
                "such as 0.7"
            )

    def content(self) -> dict[str, Any]:
        """The settings that determine the texts, as data that JSON can hold; a seed only where something is drawn."""
        drawn = {"samples": self.samples, "temperature": self.temperature, "seed": self.seed}
        return {"max_new_tokens": self.max_new_tokens, "stop": list(self.stop)} | (drawn if self.temperature else {})

    def to_json(self) -> str:
        """The same as text, for the provenance of what was written."""
        return json.dumps(self.content(), sort_keys=True)


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """A text that a checkpoint wrote.

    Attributes:
        text: behind the prompt, without special tokens and without what stopped it.
        finish_reason: a token that ends texts, a stop string, or the number of tokens.
        tokens: that were written, with the one that ended the text.
    """

    text: str
    finish_reason: FinishReason
    tokens: int


# The part of a measurement that says what a server called its model in its answers; its provenance says it, too.
ANSWERED_AS = "answered_as"
# Of each of several prompts its samples.
Texts = list[list[GeneratedText]]


# Keeps parts of a measurement while it is made, so that a run that was killed goes on behind the last of them. From the
# digest of what determines a part, beside what determines the measurement, and what computes it: the part that an
# earlier run kept, else what is computed now, which is kept.
Remember = Callable[[str, Callable[[], Texts]], Texts]


def at_once(_name: str, compute: Callable[[], Texts]) -> Texts:
    """The part, computed now and not kept."""
    return compute()


# The same of any data that JSON can hold.
Keep = Callable[[str, Callable[[], Any]], Any]


def kept_nowhere(_name: str, compute: Callable[[], Any]) -> Any:
    """The part, computed now and not kept."""
    return compute()


def texts_kept(keep: Keep) -> Remember:
    """Keeps texts by what keeps data."""

    def remember(name: str, compute: Callable[[], Texts]) -> Texts:
        def plain() -> list[list[dict[str, Any]]]:
            return [[asdict(text) for text in samples] for samples in compute()]

        return [[GeneratedText(**text) for text in samples] for samples in keep(name, plain)]

    return remember


@dataclass(frozen=True, slots=True)
class ScorerRef:
    """A scorer as a task names it.

    Attributes:
        name: of the scorer; `FILE.py:function` of a function of the user's.
        settings: that differ from its usual ones, as data that JSON can hold.
        source: text of the file of a function.
        trusted: whether the code of a function may run.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    source: str = field(default="", repr=False)
    trusted: bool = False

    def written(self) -> str | dict[str, Any]:
        """As a study file writes it."""
        return {self.name: dict(self.settings)} if self.settings else self.name


def function_of(scorer: str) -> tuple[str, str]:
    """The file and the name of the function that a scorer is; both empty where it is none.

    Example:
        >>> function_of("own/mine.py:is_polite"), function_of("refusal")
        (('own/mine.py', 'is_polite'), ('', ''))
    """
    file, _, name = scorer.rpartition(":")
    return (file, name) if file.endswith(".py") and name.isidentifier() else ("", "")


def generation_measurement(
    examples: Sequence[Example],
    texts: Sequence[Sequence[GeneratedText]],
    provenance: Mapping[str, str] | None = None,
    *,
    again: Mapping[str, Sequence[GeneratedText]] | None = None,
) -> Measurement:
    """The measurement of what was written, a row for each sample of each example.

    Args:
        examples: in any order.
        texts: of each example its samples.
        provenance: what made it.
        again: example id -> its samples written a second time in another grouping; their rows have sample -1, -2, ...
    """
    rows = [(one.id, k, text) for one, own in zip(examples, texts, strict=True) for k, text in enumerate(own)]
    rows += [(name, -1 - k, text) for name, own in (again or {}).items() for k, text in enumerate(own)]
    columns = {
        "example_id": [name for name, _, _ in rows],
        "sample": [sample for _, sample, _ in rows],
        **{part: [getattr(text, part) for _, _, text in rows] for part in ("text", "finish_reason", "tokens")},
    }
    table = pa.Table.from_pydict(columns, schema=GENERATED)
    return Measurement(GENERATION, table, dict(provenance or {})).sorted()
