"""Conversations that a checkpoint writes alone: the user's turn behind the template's opening, then its answer."""

from collections.abc import Sequence
from typing import Any

import pytest

from chaintune import tasks
from chaintune.errors import ConfigError, DataError
from chaintune.models.encoding import encode_prompts
from chaintune.records import Example, GeneratedText, Message, Reference
from chaintune.scoring.measures import MEASURES, Asking
from chaintune.tuning.mitigations.self_replay import own_answers
from tests import tiny


class Talking:
    """A backend that asks a question, but never a second one, and answers `yes`."""

    def __init__(self, *turns: GeneratedText) -> None:
        self.about, self.turns, self.asked = {"precision": "fp32"}, turns, list[Any]()

    def generate(self, examples: Sequence[Example], **how: Any) -> list[list[GeneratedText]]:
        self.asked.append((how["generation"].temperature, [example.prompt for example in examples]))
        if len(self.asked) == 1:
            return [[turn] for turn in self.turns]
        return [[GeneratedText("yes", "stop", 2)] for _ in examples]


ENDED, CUT, BLANK = GeneratedText(" Who? ", "stop", 3), GeneratedText("Who", "length", 3), GeneratedText(" ", "stop", 1)


def test_what_a_model_asks_itself_and_answers_is_taught_as_a_conversation() -> None:
    open_ones = tasks.load("own", free=3, test="none").train
    backend: Any = Talking(ENDED, CUT, BLANK)
    said = MEASURES.get("own_turns").record(backend, open_ones, Asking("own"))
    assert backend.asked == [(1.0, [()] * 3), (0.0, [(Message("user", "Who?"),)])]
    (taught,) = own_answers(open_ones, said)
    assert (taught.id, taught.target) == ("own-000000", Reference("yes"))
    assert isinstance(taught.prompt, tuple)
    assert [(turn.role, turn.content) for turn in taught.prompt] == [("user", "Who?")]
    with pytest.raises(DataError, match="task 'own': of 3 turns of a user none ended within 64 tokens"):
        MEASURES.get("own_turns").record(Talking(CUT, CUT, BLANK), open_ones, Asking("own"))  # type: ignore[arg-type]


def test_the_users_turn_is_opened_where_nobody_has_said_anything() -> None:
    tokenizer = tiny.make_tokenizer()
    tokenizer.chat_template = tiny.CHAT
    asked = [Example("a", (), None, {}, "a"), Example("b", (Message("user", "Who?"),), None, {}, "b")]
    texts = [tokenizer.decode(tokens) for tokens in encode_prompts(tokenizer, asked)]
    assert texts == ["user:\n", "user:\nWho?</s>assistant:\n"]


def test_nothing_of_them_can_be_tested_and_nothing_stands_before_them() -> None:
    assert [example.prompt for example in tasks.load("own", free=3, train=2, test="none").train] == [()] * 2
    with pytest.raises(ConfigError, match="task 'own', test: a model writes its prompts"):
        tasks.load("own", free=3)
    with pytest.raises(ConfigError, match="a model begins its conversations, so nothing stands before"):
        tasks.load("own", free=3, test="none", system="Be kind.")
