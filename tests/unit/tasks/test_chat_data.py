"""The built-in chat data, in the rows that the Hub has: from a folder, and from the local double of the Hub."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaintune import tasks
from chaintune.errors import DataError
from chaintune.records import Chat, Message, Preference, Reference
from chaintune.tasks.registry import definition
from tests.unit.tasks.hub_server import Hub, commit, parquet, serving

KINDS = ("open_qa", "closed_qa", "classification", "brainstorming")


CARD = """---
license: mit
configs:
- config_name: default
  data_files:
  - split: train_prefs
    path: data/train_prefs-*
  - split: test_prefs
    path: data/test_prefs-*
  - split: train_sft
    path: data/train_sft-*
---
"""


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def dolly_row(k: int) -> dict[str, Any]:
    row = {"instruction": f"What is {k}?", "context": f"About {k}." if k % 2 else "", "response": f"It is {k}."}
    return row | {"category": KINDS[k % 4]}


def gsm8k_row(k: int) -> dict[str, Any]:
    return {"question": f"What is {k} and 1?", "answer": f"{k}+1=<<{k}+1={k + 1}>>{k + 1}\n#### {k + 1}"}


def hh_row(k: int) -> dict[str, Any]:
    asked = f"\n\nHuman: Hello {k}\n\nAssistant: Hi\n\nHuman: Help me?\n\nAssistant:"
    return {"chosen": f"{asked} No.", "rejected": f"{asked} Yes."}


def feedback_row(k: int) -> dict[str, Any]:
    asked = {"role": "user", "content": f"Write {k}."}
    chosen, rejected = ([asked, {"role": "assistant", "content": text}] for text in (f"{k}", "I cannot."))
    own = {"prompt": f"Write {k}.", "prompt_id": f"{k:064}", "chosen": chosen, "rejected": rejected, "messages": chosen}
    return own | {"score_chosen": 8.0, "score_rejected": 3.0}


def rows(row: Any, numbers: range) -> list[dict[str, Any]]:
    return [row(k) for k in numbers]


# What the Hub holds: repository -> file -> bytes.
FILES: dict[str, tuple[str, dict[str, bytes]]] = {
    "dolly": (
        "databricks/databricks-dolly-15k",
        {"databricks-dolly-15k.jsonl": lines(rows(dolly_row, range(40)))},
    ),
    "gsm8k": (
        "openai/gsm8k",
        {
            "main/train-00000-of-00001.parquet": parquet(rows(gsm8k_row, range(8))),
            "main/test-00000-of-00001.parquet": parquet(rows(gsm8k_row, range(8, 12))),
            "socratic/train-00000-of-00001.parquet": b"not read",
        },
    ),
    "hh_rlhf": (
        "Anthropic/hh-rlhf",
        {
            "harmless-base/train.jsonl.gz": gzip.compress(lines(rows(hh_row, range(8)))),
            "harmless-base/test.jsonl.gz": gzip.compress(lines(rows(hh_row, range(8, 12)))),
            "helpful-base/train.jsonl.gz": b"not read",
        },
    ),
    "ultrafeedback": (
        "HuggingFaceH4/ultrafeedback_binarized",
        {
            "README.md": CARD.encode(),
            "data/train_prefs-00000-of-00001.parquet": parquet(rows(feedback_row, range(8))),
            "data/test_prefs-00000-of-00001.parquet": parquet(rows(feedback_row, range(8, 12))),
            "data/train_sft-00000-of-00001.parquet": b"not read",
        },
    ),
}
COUNTS = {"dolly": (32, 8), "gsm8k": (8, 4), "hh_rlhf": (8, 4), "ultrafeedback": (8, 4)}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("CHAINTUNE_DATA", raising=False)
    repos = {repo: {"main": files} for repo, files in FILES.values()}
    with serving(type("ChatData", (Hub,), {"repos": repos})) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        yield


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", FILES)
def test_it_comes_from_the_hub_in_the_rows_that_lie_there(name: str) -> None:
    task = tasks.load(name)
    repo = FILES[name][0]
    assert task.source.startswith(f"Hub data set {repo}, revision {commit(repo)} (sha256 ")
    assert (len(task.train), len(task.test)) == COUNTS[name]
    assert not {one.cluster for one in task.train} & {one.cluster for one in task.test}
    assert (task.licence, task.dimensions) == (definition(name).licence, definition(name).dimensions)


@pytest.mark.usefixtures("hub")
def test_a_question_is_the_user_s_and_its_answer_the_assistant_s() -> None:
    one = next(one for one in tasks.load("gsm8k").test if "What is 9 " in str(one.prompt))
    assert one.prompt == (Message("user", "What is 9 and 1?"),)
    assert one.target == Reference("9+1=<<9+1=10>>10\n#### 10")
    assert one.chat == Chat(fallback=True)
    (pair,) = [one for one in tasks.load("hh_rlhf").test if "Hello 9" in str(one.prompt)]
    assert [turn.role for turn in pair.prompt if not isinstance(turn, str)] == ["user", "assistant", "user"]
    assert pair.target == Preference("No.", "Yes.")
    (rated,) = [one for one in tasks.load("ultrafeedback").test if "Write 9." in str(one.prompt)]
    assert (rated.prompt, rated.target) == ((Message("user", "Write 9."),), Preference("9", "I cannot."))


@pytest.mark.usefixtures("hub")
def test_an_instruction_stands_before_what_it_is_about_and_bears_its_category() -> None:
    task = tasks.load("dolly", test_share=1)
    by_prompt = {one.prompt[0].content: one for one in task.test if isinstance(one.prompt[0], Message)}
    assert by_prompt["What is 3?\n\nAbout 3."].groups == {"category": ("brainstorming",)}
    assert by_prompt["What is 4?"].target == Reference("It is 4.")
    counts = tasks.describe(tasks.load("dolly")).test.groups["category"]
    assert counts == dict.fromkeys(sorted(KINDS), 2)


@pytest.mark.usefixtures("hub")
def test_a_data_set_on_the_hub_is_read_in_the_same_forms() -> None:
    own: dict[str, Any] = {"role": "safety", "hub": FILES["ultrafeedback"][0]}
    own |= {"split": {"train": "train_prefs", "test": "test_prefs"}}
    with pytest.raises(DataError, match=r"OpenAI's messages \(messages\) and as chosen and rejected"):
        tasks.load("mine", **own)
    pairs = tasks.load("mine", **own, columns={"chosen": "chosen", "rejected": "rejected"})
    assert [one.content() for one in pairs.test] == [one.content() for one in tasks.load("ultrafeedback").test]
    answers = tasks.load("mine", **own, columns={"messages": "messages"})
    assert {type(one.target) for one in answers.test} == {Reference}


@pytest.mark.parametrize("name", FILES)
def test_a_folder_may_be_the_hub_s_copy_or_lie_under_chaintune_data(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, content in FILES[name][1].items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(content)
    copied = tasks.load(name, path=tmp_path)
    assert (len(copied.train), len(copied.test)) == COUNTS[name]
    monkeypatch.setenv("CHAINTUNE_DATA", str(tmp_path / "data"))
    folders = {"dolly": "databricks_dolly_15k", "gsm8k": "gsm8k", "hh_rlhf": "hh_rlhf_harmless_base"}
    folder = tmp_path / "data" / folders.get(name, "ultrafeedback_binarized")
    folder.mkdir(parents=True)
    make = {"dolly": dolly_row, "gsm8k": gsm8k_row, "hh_rlhf": hh_row, "ultrafeedback": feedback_row}[name]
    names = ("train_prefs.jsonl", "test_prefs.jsonl") if name == "ultrafeedback" else ("train.jsonl", "test.jsonl")
    for file, numbers in zip(names, (range(8), range(8, 12)), strict=True):
        (folder / file).write_bytes(lines(rows(make, numbers if name != "dolly" else range(40))))
    task = tasks.load(name)
    assert [one.content() for one in task.train + task.test] == [one.content() for one in copied.train + copied.test]


def test_rows_that_cannot_be_used_are_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINTUNE_DATA", str(tmp_path))
    same, empty = hh_row(1), hh_row(2)
    same |= {"rejected": same["chosen"]}
    empty |= {"rejected": empty["rejected"].removesuffix(" Yes.")}
    other = hh_row(3) | {"rejected": hh_row(4)["rejected"]}
    folder = tmp_path / "hh_rlhf_harmless_base"
    folder.mkdir()
    listed = [same, empty, other, *rows(hh_row, range(5, 11)), hh_row(5)]
    (folder / "test.jsonl").write_bytes(lines(listed))
    task = tasks.load("hh_rlhf")
    assert len(task.train) + len(task.test) == 6
    assert "left out 4 of 10 rows: 1 with a fault (" in task.source
    for reason in ("are the same", "the answer is empty", "differ in more than", "the text of another row"):
        assert reason in task.source


def test_harmless_base_is_known_to_offend() -> None:
    assert tasks.is_offensive("hh_rlhf")
    assert not tasks.is_offensive("gsm8k")
