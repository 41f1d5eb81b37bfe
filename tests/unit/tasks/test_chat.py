"""What `chat`, `system` and `chat_template` make of a task's prompts."""

from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import ChaintuneError, ConfigError, DataError
from chaintune.records import Chat, Choices, Example, Message, Preference, Reference
from chaintune.tasks.chat import in_chat, own_system, read_template
from tests.unit.tasks.test_formats import ANSWER, USER, load, only

QUESTION: dict[str, Any] = {"prompt": "Who?\nAnswer:", "choices": ["Ann", "Bob"], "gold": 1}
TALK = {"messages": [USER, ANSWER]}
PAIR = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
TEMPLATE = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"


def asked(folder: Path, row: dict[str, Any], **options: Any) -> tuple[Any, Any, Chat]:
    example = only(folder, row, **options)
    return example.prompt, example.target, example.chat


def test_choices_and_texts_alone_stay_as_they_are(tmp_path: Path) -> None:
    assert asked(tmp_path, QUESTION) == ("Who?\nAnswer:", Choices((" Ann", " Bob"), 1), Chat())
    assert "chat" not in only(tmp_path, QUESTION).content()
    assert load(tmp_path, QUESTION).test_digest == load(tmp_path, QUESTION, chat="off").test_digest
    assert asked(tmp_path, {"text": "Once."}) == ("", Reference("Once."), Chat())


def test_choices_become_one_user_turn_where_that_is_said(tmp_path: Path) -> None:
    turn = Message("user", "Who?\nAnswer:")
    assert asked(tmp_path, QUESTION, chat="on") == ((turn,), Choices(("Ann", "Bob"), 1), Chat())
    prompt, _, _ = asked(tmp_path, QUESTION, chat="on", system="Be brief.")
    assert prompt == (Message("system", "Be brief."), turn)


def test_off_gives_back_plain_text(tmp_path: Path) -> None:
    assert asked(tmp_path, PAIR, chat="off") == ("Why?", Preference(" So.", " No."), Chat())
    assert asked(tmp_path, TALK, chat="off") == ("Why?", Reference(" So."), Chat())
    assert in_chat(in_chat([only(tmp_path, QUESTION)], "on"), "off") == [only(tmp_path, QUESTION)]
    with pytest.raises(DataError, match=r"'chat: off' reads one turn .* has 3 turns \(user, assistant, user\)"):
        load(tmp_path, {"messages": [USER, ANSWER, USER, ANSWER]}, chat="off")


def test_a_system_text_is_the_first_turn_where_there_is_none(tmp_path: Path) -> None:
    own = {"messages": [{"role": "system", "content": "Mine."}, USER, ANSWER]}
    task = load(tmp_path, TALK, own, system="Be kind.")
    assert sorted(example.prompt[0].content for example in task.test if not isinstance(example.prompt, str)) == [
        "Be kind.",
        "Mine.",
    ]
    assert task.source.endswith("; 1 conversation keeps its own system text")
    assert own_system(task.test) == 2
    # Two turns cannot stand for a plain text, so a model without a template is refused.
    assert asked(tmp_path, PAIR, system="Be kind.")[2] == Chat()


def test_prompts_that_are_rendered_already_are_not_rendered_again(tmp_path: Path) -> None:
    row = {"prompt": "<|user|>Why?<|assistant|>", "response": "So."}
    assert only(tmp_path, row, special_tokens=True).prompt == row["prompt"]


def test_a_template_of_a_file_is_part_of_every_conversation(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text(TEMPLATE)
    path = tmp_path / "own.jinja"
    assert asked(tmp_path, TALK, chat_template=path)[2] == Chat(template=TEMPLATE)
    assert asked(tmp_path, PAIR, chat_template=path)[2] == Chat(template=TEMPLATE)


def test_a_word_that_is_no_file_names_a_template_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert asked(tmp_path, TALK, chat_template="tool_use")[2] == Chat(template="tool_use")
    assert Chat(template="tool_use").template_name == "tool_use"
    (tmp_path / "tool_use").write_text(TEMPLATE)
    assert asked(tmp_path, TALK, chat_template="tool_use")[2] == Chat(template=TEMPLATE)
    assert not Chat(template=TEMPLATE).template_name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{% for m in messages %}", r"own.jinja, line 1: not a Jinja template \("),
        ("Hello {{ name }}", "own.jinja: it never reads 'messages', so it is no chat template"),
        (None, "own.jinja: expected a file with the text of a Jinja template"),
        (b"\xff\xfe", "own.jinja: expected a file with the text of a Jinja template"),
    ],
)
def test_a_file_that_is_no_template_is_refused(text: Any, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "own.jinja"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=sentence):
        read_template(path, "task 'mine'")


BAD: list[tuple[dict[str, Any], dict[str, Any], type[ChaintuneError], str]] = [
    (QUESTION, {"chat": "yes"}, ConfigError, "chat 'yes' is no valid value; valid: "),
    (QUESTION, {"system": "Be kind."}, ConfigError, "'system' changes nothing where .* plain text; say 'chat: on'"),
    (TALK, {"system": "Be kind.", "chat": "off"}, ConfigError, "'system' changes nothing with 'chat: off'"),
    ({"text": "Once."}, {"chat": "on"}, DataError, "has no prompt that a user could say"),
    (
        QUESTION,
        {"chat": "on", "special_tokens": True},
        ConfigError,
        "'special_tokens' are of prompts that are rendered",
    ),
]


@pytest.mark.parametrize(("row", "options", "error", "sentence"), BAD)
def test_keys_that_would_change_nothing_are_refused(
    row: dict[str, Any], options: dict[str, Any], error: type[ChaintuneError], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence):
        load(tmp_path, row, **options)


def test_an_example_without_a_target_becomes_a_turn_too() -> None:
    plain = Example("a", "Why?", None, {}, "a")
    (made,) = in_chat([plain], "auto")
    assert (made.prompt, made.target, made.chat.fallback) == ((Message("user", "Why?"),), None, True)
