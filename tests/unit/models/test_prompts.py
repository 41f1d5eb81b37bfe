"""Prompts as token ids, up to where an answer is written."""

import pytest

from chaintune.errors import DataError
from chaintune.models.encoding import encode_examples, encode_prompts, prompts_of
from chaintune.records import Chat, Choices, Example, Message, Reference
from tests.tiny import make_tokenizer

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_a_prompt_is_what_answers_are_read_behind() -> None:
    tokenizer = make_tokenizer()
    texts = [Example("a", "Who was it?", Choices((" Anna", " Ben"), 0), {}, "a")]
    (encoded,), (prompt,) = encode_examples(tokenizer, texts), encode_prompts(tokenizer, texts)
    assert prompt == encoded.prefix
    turns = [Example("b", (Message("user", "Who?"),), Reference("Anna"), {}, "b", chat=Chat(template=TEMPLATE))]
    (opened,) = encode_prompts(tokenizer, turns)
    assert tokenizer.decode(opened) == "<user>Who?<assistant>"
    bare = [Example("c", (Message("user", "Who?"),), None, {}, "c", chat=Chat(fallback=True))]
    assert encode_prompts(tokenizer, bare) == encode_prompts(tokenizer, [Example("c", "Who?", None, {}, "c")])
    assert len(encode_prompts(tokenizer, [Example("d", "", None, {}, "d")])[0]) >= 1


@pytest.mark.parametrize(("limit", "sentence"), [(6, "longer than the model's context of 2"), (4, "leave no room")])
def test_a_prompt_that_leaves_no_room_for_the_answer_is_refused(limit: int, sentence: str) -> None:
    tokenizer = make_tokenizer()
    examples = [Example("a", "Who was it, after all that?", None, {}, "a")]
    with pytest.raises(DataError, match=f"task 't'.*{sentence}"):
        prompts_of(tokenizer, examples, limit, 4, task="t")
