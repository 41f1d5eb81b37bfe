"""What is taught and measured: examples, and the digests that tell two of them apart."""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Literal

from chaintune.errors import DataError, nearest

Role = Literal["safety", "capability"]
MOST_LABELS = 10
# The dimension whose groups are the gold labels of a labelling task.
LABEL = "label"
# The extra column that says whether an answer should refuse or comply.
EXPECTS = "expects"
REFUSE, COMPLY = "refuse", "comply"
NO_GROUP = ("", "NaN", "nan")


def is_no_group(value: Any) -> bool:
    """Whether a value of a data file stands for no group: nothing, NaN, or NaN written out as text.

    Formats without a type for missing values write them in one of these ways, and all have to mean the same.

    Example:
        >>> [is_no_group(value) for value in (None, float("nan"), "", "NaN", "Nan", 0)]
        [True, True, True, True, False, False]
    """
    return value is None or (isinstance(value, float) and math.isnan(value)) or value in NO_GROUP


def checked_expects(value: str, where: str) -> str:
    """What is expected of an answer, `refuse` or `comply`.

    Raises:
        DataError: it is neither.
    """
    if value not in (REFUSE, COMPLY):
        raise DataError(f"{where}: expects '{value}' is not known; {nearest(value, (REFUSE, COMPLY))}")
    return value


def canonical_digest(value: Any) -> str:
    """SHA-256 hex digest of the canonical JSON of a value: sorted keys, no spaces, no NaN.

    Raises:
        TypeError: the value holds something JSON cannot.
        ValueError: the value holds NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: `system`, `user`, `assistant` or what else the chat template knows.
        content: the turn's text.
        extra: further fields (tool calls ...) that are handed to the template; values that JSON can hold.
        is_taught: whether a turn of the assistant is taught, and not only read.
    """

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    is_taught: bool = True


Text = str | tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Chat:
    """How the turns of a conversation become the text that a model reads.

    Attributes:
        fallback: read a single user turn as plain text where the model has no chat template; else that is an error.
        template: text of a template in place of the tokenizer's own, or the name of one of those that it has; empty is
            its own.
    """

    fallback: bool = False
    template: str = ""

    @property
    def template_name(self) -> str:
        """The name of one of the tokenizer's templates; empty where `template` is a text, which reads the turns."""
        return "" if "{" in self.template else self.template

    def content(self) -> dict[str, Any]:
        """As canonical data that JSON can hold, fields at their defaults left out."""
        return {name: value for name, value in (("fallback", self.fallback), ("template", self.template)) if value}


# Of two sentences that differ in whom they speak about.
PAIR_ROLES = ("stereotype", "anti_stereotype")


@dataclass(frozen=True, slots=True)
class Choices:
    """Several answers to choose from, one of them right.

    Attributes:
        texts: at least two distinct continuations; `prompt + texts[k]` is exactly the text that is scored for choice
            `k`, so a separating space belongs to the choice.
        gold: index of the right choice.
        roles: one word a choice where the data set gives the choices a part to play (BBQ: `target`, `other`,
            `unknown`), else empty.
    """

    texts: tuple[str, ...]
    gold: int
    roles: tuple[str, ...] = ()

    @property
    def gold_text(self) -> str:
        """Text of the right choice."""
        return self.texts[self.gold]

    @property
    def has_right_answer(self) -> bool:
        """Whether one choice is right; not of a pair of sentences whose likelihoods are compared."""
        return set(self.roles) != set(PAIR_ROLES)

    @property
    def labels(self) -> tuple[str, ...]:
        """The texts as labels."""
        return tuple(map(as_label, self.texts))


@dataclass(frozen=True, slots=True)
class Reference:
    """One answer that is right, as a continuation of the prompt or as the conversation's last turns."""

    text: Text


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers, the first of which is preferred."""

    chosen: Text
    rejected: Text


Target = Choices | Reference | Preference | None
_TARGETS = {Choices: "choices", Reference: "a reference answer", Preference: "a chosen and a rejected answer"}


@dataclass(frozen=True, slots=True)
class Example:
    """One item of a task, its text ready for the tokenizer.

    Attributes:
        id: unique within the task.
        prompt: the text before the answer, or the turns of a conversation.
        target: what is right; None where only a scorer can judge the answer.
        groups: dimension -> the groups of that dimension that the example bears (may be empty).
        cluster: examples of one cluster are not independent.
        pair: the id that matched prompts share; empty where there is none.
        split: the data set's own split of the example; empty where it has none.
        extra: further columns, for scorers; values that JSON can hold.
        special_tokens: whether special tokens that are written in its texts are read as such, and not as text.
        chat: how a prompt of turns is rendered.
    """

    id: str
    prompt: Text
    target: Target
    groups: Mapping[str, tuple[str, ...]]
    cluster: str
    pair: str = ""
    split: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    special_tokens: bool = False
    chat: Chat = Chat()

    @property
    def choices(self) -> Choices:
        """The target of a multiple-choice item.

        Raises:
            DataError: the target is something else.
        """
        if not isinstance(self.target, Choices):
            has = "no target" if self.target is None else f"{_TARGETS[type(self.target)]} as its target"
            raise DataError(f"example '{self.id}': has {has}, expected choices with a gold index")
        return self.target

    @property
    def answers(self) -> tuple[Text, ...]:
        """The texts that may follow the prompt: the choices, the reference, or the chosen and the rejected answer."""
        match self.target:
            case Choices(texts, _, _):
                return texts
            case Reference(text):
                return (text,)
            case Preference(chosen, rejected):
                return (chosen, rejected)
            case None:
                return ()

    @property
    def label(self) -> str | None:
        """The gold label of an example of a labelling task, else None."""
        return next(iter(self.groups.get(LABEL, ())), None)

    @property
    def prompt_text(self) -> str:
        """The prompt of an item that is no conversation.

        Raises:
            DataError: the prompt is a conversation.
        """
        if not isinstance(self.prompt, str):
            raise DataError(f"example '{self.id}': its prompt is {len(self.prompt)} chat messages, expected text")
        return self.prompt

    def content(self) -> dict[str, Any]:
        """The example as canonical data that JSON can hold, fields at their defaults left out."""
        groups = {dimension: list(names) for dimension, names in self.groups.items()}
        plain = {"id": self.id, "prompt": _plain(self.prompt), "groups": groups, "cluster": self.cluster}
        optional: dict[str, Any] = {"pair": self.pair, "split": self.split, "extra": dict(self.extra)}
        optional |= {"target": _target(self.target), "special_tokens": self.special_tokens}
        optional |= {"chat": self.chat.content()}
        return plain | {name: value for name, value in optional.items() if value}

    def judged_content(self) -> dict[str, Any]:
        """The parts that a metric or scorer reads beside the measurement: all but prompt, rendering and split."""
        return {name: value for name, value in self.content().items() if name not in ("prompt", "split", "chat")}

    def asked_content(self) -> list[Any]:
        """The parts that a model gets to see: prompt and answers, and how they are read; not which of them is right."""
        read = [*(["special tokens"] if self.special_tokens else []), *filter(None, [self.chat.content()])]
        return [_plain(_as_asked(self.prompt)), [_plain(answer) for answer in self.answers], *read]

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> "Example":
        """The example that `content` describes."""
        target = content.get("target") or {}
        return cls(
            **{
                **content,
                "prompt": _text(content["prompt"]),
                "groups": {dimension: tuple(names) for dimension, names in content["groups"].items()},
                "target": _target_of(target) if target else None,
                "chat": Chat(**content.get("chat", {})),
            }
        )


def is_labelling(targets: Sequence[Choices]) -> bool:
    """Whether examples are to be labelled: each offers the same 2 to 10 texts; single letters and digits do not count.

    Example:
        >>> is_labelling([Choices((" hateful", " fine"), 0), Choices((" Fine", " Hateful"), 0)])
        True
        >>> is_labelling([Choices((" A", " B"), 0), Choices((" A", " B"), 1)])
        False
    """
    if len(targets) < 2:
        return False
    offer = frozenset(targets[0].labels)
    return are_labels(offer) and all(
        len(target.texts) == len(offer) and frozenset(target.labels) == offer for target in targets
    )


def are_labels(texts: Collection[str]) -> bool:
    """Whether the texts that answers are among are labels: 2 to 10, not all of them single letters or digits.

    Example:
        >>> are_labels({"yes", "no"}), are_labels({"a", "b"}), are_labels({"yes"})
        (True, False, False)
    """
    return 2 <= len(texts) <= MOST_LABELS and any(len(text) > 1 for text in texts)


def as_label(text: str) -> str:
    """A text as a label: case and blanks say nothing."""
    return " ".join(text.split()).casefold()


def shown_text(text: Text) -> str:
    """The text for a reader; of a conversation its turns, a line each, with their roles in front."""
    return text if isinstance(text, str) else "\n".join(f"{turn.role}: {turn.content}" for turn in text)


def turns_json(text: Text) -> str | None:
    """The turns of a conversation as JSON; None of a plain text."""
    return None if isinstance(text, str) else json.dumps(_plain(text), ensure_ascii=False)


def text_of(shown: str, turns: str | None) -> Text:
    """The text of which `shown_text` and `turns_json` made these."""
    return shown if turns is None else _text(json.loads(turns))


def _plain(text: Text) -> Any:
    if isinstance(text, str):
        return text
    return [
        {"role": turn.role, "content": turn.content}
        | ({"extra": dict(turn.extra)} if turn.extra else {})
        | ({} if turn.is_taught else {"is_taught": False})
        for turn in text
    ]


def _as_asked(text: Text) -> Text:
    """A text without the marks of what is taught of it, which no model is asked."""
    return text if isinstance(text, str) else tuple(replace(turn, is_taught=True) for turn in text)


def _text(plain: Any) -> Text:
    return plain if isinstance(plain, str) else tuple(Message(**turn) for turn in plain)


def _target(target: Target) -> dict[str, Any]:
    match target:
        case Choices(texts, gold, roles):
            return {"texts": list(texts), "gold": gold} | ({"roles": list(roles)} if roles else {})
        case Reference(text):
            return {"text": _plain(text)}
        case Preference(chosen, rejected):
            return {"chosen": _plain(chosen), "rejected": _plain(rejected)}
        case None:
            return {}


def _target_of(plain: Mapping[str, Any]) -> Target:
    if "texts" in plain:
        return Choices(tuple(plain["texts"]), plain["gold"], tuple(plain.get("roles", ())))
    if "text" in plain:
        return Reference(_text(plain["text"]))
    return Preference(_text(plain["chosen"]), _text(plain["rejected"]))


def examples_digest(examples: Iterable[Example]) -> str:
    """Digest of a set of examples; independent of their order, and of whether their answers are taken for labels."""
    rows = [example.content() for example in examples]
    for row in rows:
        row["groups"].pop(LABEL, None)
    return canonical_digest(sorted(rows, key=lambda row: str(row["id"])))
