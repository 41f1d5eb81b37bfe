"""Chat data, answers and preferences of a user's own: the forms that people have, and a sentence for each fault."""

import csv
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintune import tasks
from chaintune.errors import ChaintuneError, ConfigError, DataError
from chaintune.execution.external.rows import plain_row
from chaintune.files.rows import Row
from chaintune.records import Chat, Example, Message, Preference, Reference, Task
from chaintune.tasks.items import read_items
from tests.unit.tasks.test_local import jsonl

USER, ANSWER = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
ASKED = (Message("user", "Why?"),)


def load(folder: Path, *rows: dict[str, Any], **options: Any) -> Task:
    given: dict[str, Any] = {"role": "safety", "path": jsonl(folder, list(rows)), "test_share": 1} | options
    return tasks.load("mine", **given)


def only(folder: Path, row: dict[str, Any], **options: Any) -> Example:
    (example,) = load(folder, row, **options).test
    return example


HH = "\n\nHuman: Hello\n\nAssistant: Hi\n\nHuman: Why?\n\nAssistant: "
LONGER = (Message("user", "Hello"), Message("assistant", "Hi"), *ASKED)
FALLBACK = Chat(fallback=True)
FORMS: dict[str, tuple[dict[str, Any], tuple[Message, ...], Any, Chat]] = {
    "OpenAI": ({"messages": [USER, ANSWER]}, ASKED, Reference("So."), Chat()),
    "JSON in a text": ({"messages": json.dumps([USER, ANSWER])}, ASKED, Reference("So."), Chat()),
    "fields apart": (
        {"messages": {"role": ["user", "assistant"], "content": ["Why?", "So."]}}, ASKED, Reference("So."), Chat(),
    ),
    "parts": (
        {"messages": [USER | {"content": [{"type": "text", "text": "Why?"}]}, ANSWER]}, ASKED, Reference("So."), Chat(),
    ),
    "ShareGPT": (
        {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}], "system": "Be kind."},
        (Message("system", "Be kind."), *ASKED),
        Reference("So."),
        Chat(),
    ),
    "Alpaca": ({"instruction": "Why?", "input": "", "output": "So.", "text": "x"}, ASKED, Reference("So."), FALLBACK),
    "Alpaca with input": (
        {"instruction": "Why?", "input": "It fell.", "output": "So."},
        (Message("user", "Why?\n\nIt fell."),),
        Reference("So."),
        FALLBACK,
    ),
    "prompt and response": ({"prompt": "Why?", "response": "So."}, ASKED, Reference("So."), FALLBACK),
    "TRL's prompt and completion": ({"prompt": [USER], "completion": [ANSWER]}, ASKED, Reference("So."), Chat()),
    "TRL's explicit prompt": (
        {"prompt": "Why?", "chosen": " So.", "rejected": " No."}, ASKED, Preference("So.", "No."), FALLBACK,
    ),
    "TRL's explicit prompt of turns": (
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [ANSWER | {"content": "No."}]},
        ASKED,
        Preference("So.", "No."),
        Chat(),
    ),
    "TRL's implicit prompt": (
        {"chosen": [USER, ANSWER], "rejected": [USER, ANSWER | {"content": "No."}]},
        ASKED,
        Preference("So.", "No."),
        Chat(),
    ),
    "prompt told twice": (
        {"prompt": "Why?", "chosen": [USER, ANSWER], "rejected": [USER, ANSWER | {"content": "No."}]},
        ASKED,
        Preference("So.", "No."),
        Chat(),
    ),
    "HH": ({"chosen": f"{HH}So.", "rejected": f"{HH}No."}, LONGER, Preference("So.", "No."), Chat()),
    "HH with its prompt apart": ({"prompt": HH, "chosen": "So.", "rejected": "No."}, LONGER, Preference("So.", "No."),
                                 Chat()),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_that_people_have_are_read_as_they_are(form: str, tmp_path: Path) -> None:
    row, prompt, target, chat = FORMS[form]
    example = only(tmp_path, row)
    assert (example.prompt, example.target, example.chat) == (prompt, target, chat)


def test_a_text_alone_has_no_prompt_and_is_read_as_it_is(tmp_path: Path) -> None:
    example = only(tmp_path, {"text": " Once.\n", "source": "x"})
    assert (example.prompt, example.target, example.chat) == ("", Reference(" Once.\n"), Chat())


def test_columns_say_what_is_what(tmp_path: Path) -> None:
    row = {
        "question": "Why?",
        "best": "So.",
        "worst": "No.",
        "talk": [USER, ANSWER],
        "about": "Be kind.",
        "more": "Now!",
    }
    answer = only(tmp_path, row, columns={"prompt": "Q: {question}", "response": "best", "input": "more"})
    assert (answer.prompt, answer.target) == ((Message("user", "Q: Why?\n\nNow!"),), Reference("So."))
    pair = only(tmp_path, row, columns={"prompt": "question", "chosen": "best", "rejected": "worst", "system": "about"})
    assert (pair.prompt, pair.target) == ((Message("system", "Be kind."), *ASKED), Preference("So.", "No."))
    assert only(tmp_path, row, columns={"messages": "talk"}).target == Reference("So.")
    assert only(tmp_path, row, columns={"text": "{question} {best}"}).target == Reference("Why? So.")


def test_the_chosen_side_may_be_taught_alone(tmp_path: Path) -> None:
    row = FORMS["HH"][0]
    assert only(tmp_path, row, columns={"messages": "chosen"}).target == Reference("So.")
    row = FORMS["TRL's explicit prompt"][0]
    assert only(tmp_path, row, columns={"prompt": "prompt", "response": "chosen"}).target == Reference("So.")


def test_tool_calls_and_other_fields_of_a_turn_are_kept_and_empty_ones_are_not(tmp_path: Path) -> None:
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"name": "look", "arguments": {"at": "sky", "x": None}}],
    }
    said = {"role": "tool", "content": "blue", "tool_calls": None}
    extra = {"tool_calls": [{"name": "look", "arguments": {"at": "sky"}}]}
    example = only(tmp_path, {"messages": [USER, call, said, ANSWER]})
    assert example.prompt == (*ASKED, Message("assistant", "", extra), Message("tool", "blue"))
    last = only(tmp_path, {"messages": [USER, call]})
    assert last.target == Reference((Message("assistant", "", extra),))


def test_a_weight_of_0_says_which_answers_are_read_alone(tmp_path: Path) -> None:
    early, late = ({"role": "assistant", "content": text} for text in ("Hm.", "Bye."))
    row = {"messages": [USER, early | {"weight": 0}, USER | {"weight": 0}, ANSWER | {"weight": 1}]}
    example = only(tmp_path, row)
    assert example.target == Reference("So.")
    assert example.prompt == (*ASKED, Message("assistant", "Hm.", is_taught=False), *ASKED)
    assert Example.from_content(example.content()) == example
    # What stands behind the last answer that is taught is read by none.
    whole = [*row["messages"], USER, late | {"weight": 0.0}]
    assert only(tmp_path, {"messages": whole}) == example
    without = only(tmp_path, {"messages": [USER, early, USER, ANSWER]})
    assert without.id == example.id
    assert without.asked_content() == example.asked_content()
    assert without.content() != example.content()
    assert plain_row(example)["prompt"][1] == early | {"weight": 0}


def test_a_table_and_csv_give_the_same_task(tmp_path: Path) -> None:
    rows = [{"messages": [USER | {"content": f"Why {k}?"}, ANSWER]} for k in range(4)]
    expected = load(tmp_path, *rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    with (tmp_path / "items.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["messages"])
        writer.writeheader()
        writer.writerows({"messages": json.dumps(row["messages"])} for row in rows)
    for name in ("items.parquet", "items.csv"):
        assert load(tmp_path, path=tmp_path / name).test == expected.test
    assert tasks.load("mine", role="safety", rows=rows, test_share=1).test == expected.test


def test_groups_clusters_splits_and_sizes_are_as_for_choices(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Why {k}?", "response": "So.", "split": ["train", "test"][k % 2], "faith": "ab"[k % 4 // 2]}
        | {"form": f"{k % 2} {k // 4}"}
        for k in range(16)
    ]
    columns = {"cluster": "form", "groups": {"faith": "faith"}}
    task = load(tmp_path, *rows, test_share=None, columns=columns, train=4, test="2 per faith")
    assert (len(task.train), len(task.test), task.dimensions) == (4, 4, ("faith",))
    told = tasks.describe(task)
    assert told.test.groups == {"faith": {"a": 2, "b": 2}}
    assert {prompt.partition("\n")[2] for prompt in told.prompts} == {"assistant: So."}


def test_an_id_is_made_from_prompt_and_answers_and_not_from_which_is_preferred(tmp_path: Path) -> None:
    pair = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
    other = {"prompt": "Why?", "chosen": "No.", "rejected": "So."}
    assert only(tmp_path, pair).id == only(tmp_path, other).id != only(tmp_path, pair | {"chosen": "Yes."}).id
    with pytest.raises(DataError, match=r"line 2: same prompt and answers as .*line 1; remove one"):
        load(tmp_path, pair, other)
    said = {"messages": [USER, ANSWER]}
    assert only(tmp_path, said).id != only(tmp_path, {"messages": [USER, ANSWER | {"content": "No."}]}).id
    assert load(tmp_path, said, said).source.endswith("left out 1 of 2 rows: 1 with the text of another row")


def test_answers_to_one_prompt_share_a_cluster(tmp_path: Path) -> None:
    for row, other in (
        ({"prompt": "Why?", "response": "So."}, {"response": "No."}),
        ({"prompt": "Why?", "chosen": "So.", "rejected": "No."}, {"rejected": "Never."}),
    ):
        task = load(tmp_path, row, row | other)
        assert len({example.cluster for example in task.test}) == 1
        assert task.source.endswith("1 row has the prompt of another and shares its cluster")
    apart = load(tmp_path, {"text": "one"}, {"text": "two"})
    assert len({example.cluster for example in apart.test}) == 2


def test_a_prompt_that_is_taught_is_not_tested_with_another_answer(tmp_path: Path) -> None:
    one, two = {"prompt": "Why?", "response": "So."}, {"messages": [USER, ANSWER | {"content": "No."}]}
    test_path = jsonl(tmp_path, [two], "test.jsonl")
    with pytest.raises(DataError, match="1 example is in train and in test"):
        load(tmp_path, one, test_share=None, test_path=test_path)
    pair = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
    test_path = jsonl(tmp_path, [pair | {"rejected": "Never."}], "test.jsonl")
    task = load(tmp_path, pair, test_share=None, test_path=test_path)
    assert (len(task.train), len(task.test)) == (1, 1)


CALLER = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"messages": [USER]}, "field 'messages': its last turn is the user's, expected an answer, .* say 'measure: gener"),
    ({"messages": [USER, ANSWER, USER]}, "its last turn is the user's, expected an answer, a turn of the assistant"),
    ({"messages": [ANSWER]}, "nothing is said before the assistant's turn"),
    ({"messages": [USER, ANSWER | {"content": " "}]}, "the answer is empty"),
    ({"messages": [USER | {"content": ""}, ANSWER]}, "turn 1, the user's, is blank"),
    ({"messages": [CALLER, ANSWER]}, "turn 1 holds a part of type 'image_url', and only text can be read"),
    ({"messages": "Why?"}, "must be a list of turns such as"),
    ({"messages": []}, "holds no turn"),
    ({"messages": ["Why?"]}, "turn 1 must hold 'role' and 'content', or 'from' and 'value', got str 'Why"),
    ({"messages": [{"from": "humen", "value": "Why?"}]}, "turn 1: 'humen' is no role; did you mean 'human'"),
    ({"prompt": "Why?", "response": " "}, "field 'response' is blank"),
    ({"prompt": "Why?", "response": [ANSWER, ANSWER]}, "2 turns, expected an answer, one turn of the assistant"),
    ({"prompt": "Why?", "response": [USER]}, "its last turn is the user's"),
    ({"prompt": "Why?", "chosen": "So.", "rejected": "So. "}, "'chosen' and 'rejected' are the same"),
    ({"chosen": [USER, ANSWER], "rejected": [USER, ANSWER, USER, ANSWER]}, "differ in more than the assistant's last"),
    ({"chosen": f"{HH}So.", "rejected": f"{HH.replace('Hi', 'Yes')}So."}, "differ in more than the assistant's last"),
    ({"chosen": f"{HH}So.", "rejected": HH}, "the answer is empty"),
    ({"chosen": "It is so.", "rejected": "It is not."}, "no conversation that holds its prompt; name the"),
    ({"prompt": "Who?", "chosen": [USER, ANSWER], "rejected": [USER, USER]}, "its last turn is the user's"),
    ({"messages": [USER, ANSWER | {"weight": 0.5}]}, "turn 2: weight 0.5 is no valid value; write 1 for a turn"),
    ({"messages": [USER, ANSWER | {"weight": "1"}]}, "turn 2: weight '1' is no valid value"),
    ({"messages": [USER | {"weight": 1}, ANSWER]}, "turn 1, the user's, has weight 1, and only what the assistant"),
    ({"messages": [USER, ANSWER | {"weight": 0}]}, "every turn of the assistant has weight 0"),
    ({"prompt": "Why?", "response": [ANSWER | {"weight": 0}]}, "the answer has weight 0, so it is not taught"),
    ({"chosen": [USER, ANSWER | {"weight": 0}], "rejected": [USER, ANSWER | {"content": "No."}]}, "has weight 0"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "sentence"), FAULTS)
def test_a_fault_is_one_sentence_or_counted(row: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    good = {"messages": [USER, ANSWER]} if "messages" in row else FORMS["TRL's explicit prompt"][0]
    good = good if "response" not in row else {"prompt": "Who?", "response": "Ann."}
    good = good if "prompt" in row or "messages" in row else FORMS["HH"][0]
    with pytest.raises(DataError, match=sentence) as caught:
        load(tmp_path, row, good)
    assert "line 1" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    task = load(tmp_path, row, good, unusable="skip")
    assert len(task.test) == 1
    assert "left out 1 of 2 rows: 1 with a fault (" in task.source


WRONG: list[tuple[dict[str, Any], dict[str, Any], type[ChaintuneError], str]] = [
    (
        {"messages": [USER, ANSWER], "prompt": "Why?", "chosen": "So.", "rejected": "No."},
        {},
        DataError,
        r"as OpenAI's messages \(messages\) and as chosen and rejected \(chosen, .*{messages: messages}' o",
    ),
    ({"prompt": "a", "response": "b", "completion": "c"}, {}, DataError, "{prompt: prompt, response: completion}'"),
    ({"question": "a", "answer": "b"}, {}, DataError, "its columns 'question', 'answer' hold nothing that could be ri"),
    ({"question": "a"}, {}, DataError, "a task takes prompt, choices and gold; messages .*; name the data's own col"),
    ({"prompt": "a", "choices": ["b", "c"]}, {}, DataError, "no column 'gold' for choices; valid: .*a task takes"),
    ({"prompt": "a", "answer": "b"}, {}, DataError, "no column 'response' for prompt and response"),
    ({"a": "b"}, {"messages": "a", "choices": "b"}, ConfigError, "'messages' and 'choices' both say what is right"),
    ({"a": "b"}, {"text": "a", "prompt": "a"}, ConfigError, "'prompt' does not go with 'text'; valid: text"),
    ({"a": "b"}, {"messages": "b"}, DataError, "no column 'b' for messages; valid: a"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "columns", "error", "sentence"), WRONG)
def test_columns_that_could_be_two_things_or_none_are_refused(
    row: dict[str, Any], columns: dict[str, Any], error: type[ChaintuneError], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence):
        load(tmp_path, row, columns=columns)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "type", "text", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)
TURNS = st.lists(st.sampled_from([USER, ANSWER, {"from": "gpt", "value": "\ud800"}, {"role": "tool"}]), max_size=4)
CELLS = JSON | TURNS | TURNS.map(json.dumps) | st.sampled_from([HH, f"{HH}So.", "Human:\n\nAssistant:"])


@given(st.dictionaries(st.sampled_from(["messages", "prompt", "response", "chosen", "rejected"]), CELLS, min_size=1))
def test_whatever_a_cell_holds_is_read_or_told(row: dict[str, Any]) -> None:
    row |= {"text": "Once."}
    forms: list[dict[str, str]] = [{"messages": "messages"}, {"response": "response"}, {"chosen": "chosen"}]
    for columns in forms:
        with suppress(DataError):
            (made,) = read_items([Row("line 1", row)], columns, "rows", Counter()).examples
            assert Example.from_content(json.loads(json.dumps(made.content()))) == made


def test_choices_are_choices_whatever_else_a_row_holds(tmp_path: Path) -> None:
    row = {"prompt": "Who?", "choices": ["a", "b"], "gold": 0, "response": "a", "text": "x", "messages": []}
    assert only(tmp_path, row).choices.texts == (" a", " b")
