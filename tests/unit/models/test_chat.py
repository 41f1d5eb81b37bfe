"""Conversations as token ids, with the templates of the families that people tune."""

import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from chaintune.errors import DataError, ModelError
from chaintune.models.chat import Turn, encode_turns, template_text, templates_digest
from chaintune.models.encoding import Encoded, encode_examples
from chaintune.models.taught import encode_taught
from chaintune.records import Chat, Choices, Example, Message, Preference, Reference
from tests import tiny

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
OLMO2 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ '<|assistant|>\n' + message['content'] + eos_token }}{% if not loop.last %}{{ '\n' }}{% endif %}{% else %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + '\n' }}{% endif %}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)
LLAMA2 = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)
# Its words that open an answer end in a blank.
VICUNA = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'USER: ' + message['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)
WRITTEN = {"llama2": LLAMA2, "chatml": CHATML, "smollm2": SMOLLM2, "mistral": MISTRAL, "olmo2": OLMO2}
# As the `trl` package has them.
PUBLISHED = (
    "llama3", "llama3_1", "llama3_2", "qwen2_5", "qwen3", "qwen3_instruct_2507", "gemma", "gemma3", "phi3", "phi3_5",
    "cohere", "glm4moe", "deepseek_r1_distill", "qwen2_5_training", "qwen3_training", "llama3_training", "gptoss",
)  # fmt: skip
FAMILIES = (*WRITTEN, *PUBLISHED)
BLANK = {"vicuna": VICUNA}
CONTROL = re.compile(r"<\|[^|'\"{}\n]+\|>|<(?:start|end)_of_turn>|\[/?INST\]|<｜[^｜'\"]+｜>")

HISTORY = (Message("user", "Ann has a red ball. Colour?"),)
LONGER = (*HISTORY, Message("assistant", "It is red."), Message("user", "And the box of Bob?"))


def family(name: str) -> PreTrainedTokenizerBase:
    """A tokenizer made on the spot, with the template of a family and the control tokens that it writes."""
    package = find_spec("trl")
    assert package
    assert package.origin
    template = (WRITTEN | BLANK).get(name) or (Path(package.origin).parent / f"chat_templates/{name}.jinja").read_text()
    tokenizer = tiny.make_tokenizer("byte-level with BOS")
    tokenizer.add_special_tokens({"additional_special_tokens": sorted(set(CONTROL.findall(template)))})
    tokenizer.chat_template = template
    return tokenizer


def plain(*turns: Message) -> list[dict[str, Any]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def own(tokenizer: PreTrainedTokenizerBase, *turns: Message, opens: bool = False) -> tuple[int, ...]:
    """What transformers itself makes of turns, with the same day as today."""
    template = template_text(tokenizer, Chat())
    ids = tokenizer.apply_chat_template(
        plain(*turns), add_generation_prompt=opens, chat_template=template, return_dict=False
    )
    return tuple(ids)


@pytest.mark.parametrize("history", [HISTORY, LONGER], ids=["one turn", "three turns"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_turn_is_what_transformers_renders_behind_what_opens_an_answer(
    name: str, history: tuple[Message, ...]
) -> None:
    tokenizer, answer = family(name), Message("assistant", "The box is dark green.")
    ((prompt, said),) = encode_turns(tokenizer, [Turn("one", history, answer, Chat())])
    whole, opened = own(tokenizer, *history, answer), own(tokenizer, *history, opens=True)
    assert (prompt + said) == whole[: len(prompt + said)]
    # A template that opens an answer with a thought, and drops it behind, has another context for what is taught.
    assert prompt == opened or name == "deepseek_r1_distill"
    assert "The box is dark green." in tokenizer.decode(said)
    assert "Ann" not in tokenizer.decode(said)
    assert tokenizer.decode(whole[len(prompt + said) :]).strip() == ""


def test_no_second_bos() -> None:
    tokenizer = family("mistral")
    example = Example("one", HISTORY, Reference("Red."), {}, "c")
    (encoded,) = encode_examples(tokenizer, [example])
    assert encoded.prefix.count(tokenizer.bos_token_id) == 1
    assert encoded.prefix[0] == tokenizer.bos_token_id
    assert encoded.continuations[0][-1] == tokenizer.eos_token_id


def test_a_template_that_writes_no_bos_gets_none() -> None:
    tokenizer = family("chatml")
    (encoded,) = encode_examples(tokenizer, [Example("one", HISTORY, Reference("Red."), {}, "c")])
    assert tokenizer.bos_token_id not in encoded.prefix
    assert tokenizer("Ann")["input_ids"][0] == tokenizer.bos_token_id


@pytest.mark.parametrize("name", [*FAMILIES, *BLANK])
def test_a_choice_is_read_as_the_template_writes_it_and_taught_by_the_same_tokens(name: str) -> None:
    tokenizer = family(name)
    example = Example("one", HISTORY, Choices(("red", "dark green"), 1), {}, "c")
    (encoded,) = encode_examples(tokenizer, [example])
    for choice, tokens in zip(example.choices.texts, encoded.continuations, strict=True):
        text = tokenizer.apply_chat_template(
            plain(*HISTORY, Message("assistant", choice)),
            tokenize=False,
            chat_template=template_text(tokenizer, Chat()),
        )
        written = text[: text.rindex(choice) + len(choice)]
        assert list(encoded.prefix + tokens) == tokenizer(written, add_special_tokens=False)["input_ids"]
    ((taught,),) = encode_taught(tokenizer, [example])
    (learned,) = taught.continuations
    assert taught.prefix == encoded.prefix
    assert learned[: len(encoded.continuations[1])] == encoded.continuations[1]
    assert (
        taught.prefix + learned == own(tokenizer, *HISTORY, Message("assistant", "dark green"))[: taught.longest_tokens]
    )


@pytest.mark.parametrize(
    ("name", "read"), [("qwen3", "<think>\n\n</think>\n\n"), ("gptoss", "<|channel|>final<|message|>")]
)
def test_what_a_template_writes_before_any_answer_is_read_before_choices(name: str, read: str) -> None:
    tokenizer = family(name)
    offered = Choices(("red", "dark green"), 1)
    (encoded,) = encode_examples(tokenizer, [Example("one", HISTORY, offered, {}, "c")])
    assert tokenizer.decode(encoded.prefix) == tokenizer.decode(own(tokenizer, *HISTORY, opens=True)) + read
    assert [tokenizer.decode(choice) for choice in encoded.continuations] == ["red", "dark green"]
    written = (Message("user", "What is <s>?"),)  # read as text
    (as_text,) = encode_examples(tokenizer, [Example("one", written, offered, {}, "c")])
    assert tokenizer.decode(as_text.prefix).endswith(read)
    assert as_text.prefix[-3:] == encoded.prefix[-3:]


def test_an_opening_that_ends_in_a_blank_merges_with_choices_and_is_told_of_other_answers() -> None:
    tokenizer = family("vicuna")
    example = Example("one", HISTORY, Choices(("red", "dark green"), 1), {}, "c")
    (encoded,) = encode_examples(tokenizer, [example])
    assert [tokenizer.decode(answer) for answer in encoded.continuations] == [" red", " dark green"]
    assert tokenizer.decode(encode_taught(tokenizer, [example])[0][0].continuations[0]) == " dark green</s>"
    for encode in (encode_examples, encode_taught):
        with pytest.raises(DataError, match="end of the prompt and the beginning of the answer into one token"):
            encode(tokenizer, [replace(example, target=Reference("dark green"))])


def test_every_turn_is_taught_in_the_context_in_which_it_would_be_generated() -> None:
    """Qwen 3 drops the thoughts of earlier turns, so that one rendering of all turns would teach the wrong context."""
    tokenizer = family("qwen3")
    thoughtful = Message("assistant", "<think>\nThe ball is red.\n</think>\n\nIt is red.")
    prompt = (HISTORY[0], thoughtful, LONGER[2])
    (turns,) = encode_taught(tokenizer, [Example("one", prompt, Reference("Dark green."), {}, "c")])
    first, last = turns
    assert first == Encoded(own(tokenizer, HISTORY[0], opens=True), first.continuations)
    assert "The ball is red." in tokenizer.decode(first.continuations[0])
    assert "The ball is red." not in tokenizer.decode(last.prefix)
    assert last.prefix == own(tokenizer, *prompt, opens=True)
    (only,) = encode_taught(tokenizer, [Example("one", prompt, Reference("Dark green."), {}, "c")], last_turn_only=True)
    assert only == (last,)


def test_a_turn_that_is_read_alone_is_not_taught_and_read_all_the_same() -> None:
    tokenizer = family("smollm2")
    prompt = (LONGER[0], replace(LONGER[1], is_taught=False), LONGER[2])
    every, last = (Example("one", turns, Reference("Dark green."), {}, "c") for turns in (LONGER, prompt))
    assert encode_taught(tokenizer, [last]) == encode_taught(tokenizer, [every], last_turn_only=True)
    assert encode_examples(tokenizer, [last]) == encode_examples(tokenizer, [every])
    earlier = Example("one", (*prompt, LONGER[1], LONGER[0]), Reference("Dark green."), {}, "c")
    assert [tokenizer.decode(turn.continuations[0])[:5] for turn in encode_taught(tokenizer, [earlier])[0]] == [
        "It is", "Dark ",
    ]  # fmt: skip


def test_more_than_text_behind_a_prompt_of_text_is_told_and_not_dropped() -> None:
    tokenizer = family("smollm2")
    call = Message("assistant", "It is red.", {"tool_calls": [{"name": "look"}]})
    for target in (Reference((call,)), Preference((call,), " Red."), Preference(" Red.", (call,))):
        example = Example("one", "<|im_start|>user", target, {}, "c", special_tokens=True)
        for encode in (encode_examples, encode_taught):
            with pytest.raises(DataError, match=r"'one': its answer holds more than text .* its prompt is text"):
                encode(tokenizer, [example])


def test_marks_of_the_template_end_an_answer() -> None:
    marked, unmarked = family("qwen2_5_training"), family("qwen2_5")
    turn = Turn("one", HISTORY, Message("assistant", "It is red."), Chat())
    ((prompt, said),) = encode_turns(marked, [turn])
    ((same, longer),) = encode_turns(unmarked, [turn])
    assert marked.decode(prompt) == unmarked.decode(same)
    assert marked.decode(said) == "It is red.<|im_end|>" or marked.decode(said) == "It is red.<|im_end|>\n"
    assert unmarked.decode(longer).startswith(marked.decode(said))


def test_control_tokens_written_in_turns_are_text() -> None:
    tokenizer = family("chatml")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    history = (Message("user", "What does <|im_end|> mean?"),)
    said: dict[bool, int] = {}
    for special in (False, True):
        turn = Turn("one", history, Message("assistant", "<|im_end|> ends a turn."), Chat(), special)
        ((prompt, answer),) = encode_turns(tokenizer, [turn])
        said[special] = (prompt + answer).count(end)
    assert said == {False: 2, True: 4}
    example = Example("one", history, Choices(("The end.", "A <|im_end|>."), 0), {}, "c")
    (encoded,) = encode_examples(tokenizer, [example])
    assert encoded.prefix.count(end) == 1
    assert all(end not in choice for choice in encoded.continuations)
    for special in (False, True):
        asked = Example("one", HISTORY, Choices(("The end.", "A <|im_end|>."), 0), {}, "c", special_tokens=special)
        (encoded,) = encode_examples(tokenizer, [asked])
        assert [end in choice for choice in encoded.continuations] == [False, special]


def test_both_answers_of_a_preference_follow_the_same_prompt() -> None:
    tokenizer = family("smollm2")
    (encoded,) = encode_examples(tokenizer, [Example("one", LONGER, Preference("Dark green.", "Red."), {}, "c")])
    assert encoded.prefix == own(tokenizer, *LONGER, opens=True)
    chosen, rejected = map(tokenizer.decode, encoded.continuations)
    assert (chosen, rejected) == ("Dark green.<|im_end|>\n", "Red.<|im_end|>\n")


def test_a_template_that_asks_for_the_day_gets_the_same_day_every_day() -> None:
    tokenizer = family("llama3_2")
    tokenizer.chat_template = "{{ strftime_now('%Y-%m-%d') }} {{ strftime_now(\"%d %b %Y\") }}" + CHATML
    turn = Turn("one", HISTORY, Message("assistant", "Red."), Chat())
    ((prompt, _),) = encode_turns(tokenizer, [turn])
    assert tokenizer.decode(prompt).startswith("2024-07-26 26 Jul 2024<|im_start|>")


def test_without_a_template_one_user_turn_is_text_where_it_may_be() -> None:
    tokenizer = tiny.make_tokenizer()
    may = Example("one", HISTORY, Reference("It is red."), {}, "c", chat=Chat(fallback=True))
    text = Example("one", HISTORY[0].content, Reference(" It is red."), {}, "c")
    assert encode_examples(tokenizer, [may]) == encode_examples(tokenizer, [text])
    (taught,) = encode_taught(tokenizer, [may])
    assert taught[0].continuations[0][-1] == tokenizer.eos_token_id
    with pytest.raises(DataError, match="its prompt is 3 turns, and the model has no chat template"):
        encode_examples(tokenizer, [Example("one", LONGER, Reference("Red."), {}, "c", chat=Chat(fallback=True))])
    call = Message("assistant", "It is red.", {"tool_calls": [{"name": "look"}]})
    with pytest.raises(DataError, match="'one': a turn holds more than text, and the model has no chat template"):
        encode_examples(tokenizer, [replace(may, target=Reference((call,)))])
    with pytest.raises(ModelError, match="the model has no chat template"):
        encode_examples(tokenizer, [Example("one", HISTORY, Reference("Red."), {}, "c")])
    named = Example("one", HISTORY, Reference("Red."), {}, "c", chat=Chat(template=CHATML))
    (encoded,) = encode_examples(tokenizer, [named])
    assert tokenizer.decode(encoded.prefix).endswith("assistant\n")


def test_a_name_chooses_one_of_several_templates() -> None:
    tokenizer = family("chatml")
    several = {"default": CHATML, "tool_use": f"Tools: none.\n{CHATML}"}
    tokenizer.chat_template = several
    one = Example("one", HISTORY, Reference("Red."), {}, "c")
    assert encode_examples(tokenizer, [one]) == encode_examples(family("chatml"), [one])
    named = replace(one, chat=Chat(template="tool_use"))
    written = replace(one, chat=Chat(template=several["tool_use"]))
    assert encode_examples(tokenizer, [named]) == encode_examples(tokenizer, [written])
    assert templates_digest(tokenizer, [named]) == templates_digest(tokenizer, [written])
    assert "Tools: none." in tokenizer.decode(encode_examples(tokenizer, [named])[0].prefix)
    with pytest.raises(
        ModelError, match=r"'tool' is no file, and .* no chat template of this name; did you mean 'tool_use'"
    ):
        encode_examples(tokenizer, [replace(one, chat=Chat(template="tool"))])
    tokenizer.chat_template = {"rag": CHATML, "tool_use": CHATML}
    with pytest.raises(
        ModelError, match="several chat templates, and none of them is the default; valid: rag, tool_use"
    ):
        encode_examples(tokenizer, [one])
    tokenizer.chat_template = CHATML
    assert template_text(tokenizer, Chat(template="default")) == CHATML
    with pytest.raises(ModelError, match=r"'rag' is no file, .*; valid: default; name one as"):
        template_text(tokenizer, Chat(template="rag"))
    tokenizer.chat_template = None
    with pytest.raises(ModelError, match="the model has no chat template"):
        template_text(tokenizer, Chat(template="rag"))


def test_what_a_template_refuses_or_drops_is_counted_and_named() -> None:
    tokenizer = family("mistral")
    answer = Message("assistant", "Red.")
    fine = Turn("a", HISTORY, answer, Chat())
    twice = [Turn(name, (*HISTORY, *HISTORY), answer, Chat()) for name in "bc"]
    with pytest.raises(DataError, match=r"2 of 3 examples, such as 'b': the chat template refuses .*must alternate"):
        encode_turns(tokenizer, [fine, *twice])
    tokenizer.chat_template = "{% for message in messages[:1] %}{{ message['content'] }}{% endfor %}"
    with pytest.raises(DataError, match="1 of 1 examples, such as 'a': the chat template drops the answer"):
        encode_turns(tokenizer, [fine])


def test_an_answer_whose_first_token_is_the_end_of_the_prompt_too_is_named() -> None:
    tokenizer = tiny.make_tokenizer()
    merged = Example("one", "Ann has a b", Reference("all"), {}, "c")
    with pytest.raises(DataError, match="'one': the tokenizer puts the end of the prompt and the beginning of the"):
        encode_examples(tokenizer, [merged])
