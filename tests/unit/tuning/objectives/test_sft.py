"""What SFT teaches of references, conversations and preferences."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.models import load
from chaintune.models.encoding import encode_examples
from chaintune.records import Chat, Example, Message, Preference, Recipe, Reference
from chaintune.tuning.objectives import objective_of, protecting, with_objective
from chaintune.tuning.objectives.sft import OBJECTIVE
from chaintune.tuning.tune import tune
from tests import tiny
from tests.conftest import MakeModel
from tests.reference import reference_loss

TURNS = (
    Message("user", "Colour of the ball?"),
    Message("assistant", "It is red."),
    Message("user", "Box?"),
)
TALK = Example("talk", TURNS, Reference("A blue box."), {}, "c")
TEXT = Example("text", "Ann has a red ball. Colour?", Reference(" red"), {}, "c")
PAIR = Example("pair", "Ann has a red ball. Colour?", Preference(" red", " black"), {}, "c")


def chat_tokenizer(template: str = tiny.CHAT) -> Any:
    tokenizer = tiny.make_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def learned(tokenizer: Any, example: Example, **recipe: Any) -> list[list[str]]:
    """The learned texts of each sequence."""
    named = with_objective(Recipe(**recipe), {type(example.target)}, task="a")
    (one,) = objective_of(named).encode(tokenizer, [example])
    return [
        [tokenizer.decode(tokens[start:end]) for start, end in spans]
        for tokens, spans in zip(one.sequences, one.answers, strict=True)
    ]


def test_every_turn_of_the_assistant_is_taught_in_one_sequence() -> None:
    tokenizer = chat_tokenizer()
    assert learned(tokenizer, TALK) == [["It is red.</s>", "A blue box.</s>"]]
    (taught,) = OBJECTIVE.encode(tokenizer, [TALK])
    turns = [{"role": turn.role, "content": turn.content} for turn in (*TURNS, Message("assistant", "A blue box."))]
    assert list(taught.sequences[0]) == tokenizer.apply_chat_template(turns, return_dict=False)


def test_an_answer_whose_data_ends_it_is_not_ended_twice() -> None:
    ended = replace(TEXT, target=Reference(" red</s>"), special_tokens=True)
    assert learned(tiny.make_tokenizer(), ended) == [[" red</s>"]]
    as_text = replace(ended, special_tokens=False)  # what is written is text, and the end comes behind it
    assert learned(tiny.make_tokenizer(), as_text) == [[" red</s></s>"]]


def test_the_last_turn_alone_where_the_recipe_says_so() -> None:
    assert learned(chat_tokenizer(), TALK, turns="last") == [["A blue box.</s>"]]


def test_a_rewritten_history_is_a_sequence_a_turn() -> None:
    assert learned(chat_tokenizer(tiny.FORGETFUL_CHAT), TALK) == [["It is red.</s>"], ["A blue box.</s>"]]


def test_a_reference_after_text_ends_the_text() -> None:
    assert learned(tiny.make_tokenizer(), TEXT) == [[" red</s>"]]


@pytest.mark.parametrize(("side", "text"), [("chosen", " red</s>"), ("rejected", " black</s>")])
def test_of_a_preference_the_answer_that_the_recipe_names(side: Any, text: str) -> None:
    assert learned(tiny.make_tokenizer(), PAIR, teach=side) == [[text]]


@pytest.mark.parametrize("template", [tiny.CHAT, tiny.FORGETFUL_CHAT])
@pytest.mark.parametrize("share", [False, True])
def test_the_loss_of_a_step_is_the_mean_over_all_answer_tokens(
    share: bool, template: str, model_folder: MakeModel, tmp_path: Path
) -> None:
    loaded = load(model_folder(), precision="fp32")
    loaded.tokenizer.chat_template = template
    examples = [replace(TALK, id=f"{n}", target=Reference(f"A {tiny.COLOURS[n]} box.")) for n in range(4)]
    last = encode_examples(loaded.tokenizer, examples)
    first = encode_examples(
        loaded.tokenizer, [replace(TALK, prompt=TURNS[:1], target=Reference(TURNS[1].content), chat=Chat())]
    )
    answers = [*last, *first * 4]
    texts = [(one.prefix + one.continuations[0], len(one.continuations[0])) for one in answers]
    loaded.model.set_attn_implementation("eager")
    with torch.no_grad():
        expected = float(reference_loss(loaded.model, texts))
    recipe = Recipe(batch_size=4, micro_batch_size=2, share_prefixes=share)
    done = tune(loaded, examples, task="talk", recipe=recipe, seed=0, log=tmp_path / "log")
    assert done.first_loss == pytest.approx(expected, rel=1e-5)
    assert done.train_tokens == sum(
        len(tokens) for one in OBJECTIVE.encode(loaded.tokenizer, examples) for tokens in one.sequences
    )


@pytest.mark.parametrize("teach", ["chosen", "rejected", None])
def test_what_must_not_be_lost_of_pairs_is_the_chosen_answer_whichever_a_stage_teaches(teach: Any) -> None:
    tokenizer = tiny.make_tokenizer()
    own = Recipe(objective="sft" if teach else "dpo", teach=teach)
    (kept,) = protecting(own, {Preference}, task="a").encode(tokenizer, [PAIR])
    (chosen,) = objective_of(Recipe(objective="sft", teach="chosen")).encode(tokenizer, [PAIR])
    assert kept == chosen
