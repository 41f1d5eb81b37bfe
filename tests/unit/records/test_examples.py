import json

import pytest

from chaintune.errors import DataError
from chaintune.records import Choices, Example, Message, Preference, Reference, Target, examples_digest

TURNS = (Message("system", "Be kind."), Message("user", "Hello?", {"name": "Ann"}))
TARGETS: list[Target] = [
    None,
    Choices((" yes", " no"), 1),
    Choices((" he", " she"), 0, ("target", "other")),
    Reference(" Paris"),
    Reference((Message("assistant", "Hi."),)),
    Preference(" gladly", " never"),
]


def example(target: Target, **fields: object) -> Example:
    plain = {"id": "a", "prompt": "Q:", "groups": {"owner": ("Ann", "Bob")}, "cluster": "c"} | fields
    return Example(target=target, **plain)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("prompt", ["Q:", TURNS])
def test_content_survives_json(target: Target, prompt: object) -> None:
    whole = example(target, prompt=prompt, pair="p", split="dev", extra={"expects": "refuse"})
    assert Example.from_content(json.loads(json.dumps(whole.content()))) == whole


def test_each_field_and_target_has_a_digest_of_its_own() -> None:
    one = TARGETS[1]
    told = [example(target) for target in TARGETS]
    told += [example(one, **{name: "x"}) for name in ("id", "prompt", "cluster", "pair", "split")]
    told += [example(one, prompt=TURNS), example(one, extra={"x": 1}), example(one, groups={})]
    assert len({examples_digest([item]) for item in told}) == len(told)


@pytest.mark.parametrize(
    ("target", "has"),
    [(None, "no target"), (TARGETS[3], "a reference answer as its"), (TARGETS[5], "a chosen and a rejected answer as")],
)
def test_what_takes_choices_refuses_other_targets(target: Target, has: str) -> None:
    with pytest.raises(DataError, match=f"example 'a': has {has}.*expected choices with a gold index"):
        assert example(target).choices


def test_what_takes_text_refuses_a_conversation() -> None:
    assert example(None).prompt_text == "Q:"
    with pytest.raises(DataError, match="example 'a': its prompt is 2 chat messages, expected text"):
        assert example(None, prompt=TURNS).prompt_text
