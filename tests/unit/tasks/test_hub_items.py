"""Any data set on the Hub as a task: configurations, splits, columns, and what is told when one is not there."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaintune import tasks
from chaintune.errors import ConfigError, DataError
from chaintune.records import Task
from tests.unit.tasks.hub_server import Hub, commit, parquet, serving

Rows = list[dict[str, Any]]
CARD = """---
license: cc-by-4.0
configs:
- config_name: plain
  data_files:
  - split: train
    path: plain/train-*
  - split: validation
    path: [plain/validation-*]
- config_name: spare
  default: true
  data_files: "spare/*.jsonl"
---

# A card
"""


def items(numbers: range) -> Rows:
    return [
        {
            "prompt": f"Is it {k}?",
            "choices": ["yes", "no"],
            "gold": k % 2,
            "kind": {"parity": ["even", "odd"][k % 2]},
        }
        for k in numbers
    ]


def exams(numbers: range) -> Rows:
    return [
        {
            "question": f"Where is {k}?",
            "answers": {"text": ["here", "there", "nowhere"], "label": ["A", "B", "C"]},
            "key": "ABC"[k % 3],
            "first": "here",
            "second": f"at {k}",
            "split": "kept",
        }
        for k in numbers
    ]


def jsonl(rows: Rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


REPOS: dict[str, dict[str, dict[str, bytes]]] = {
    "me/carded": {
        "main": {
            "README.md": CARD.encode(),
            "plain/train-00000-of-00002.parquet": parquet(items(range(10))),
            "plain/train-00001-of-00002.parquet": parquet(items(range(10, 16))),
            "plain/validation-00000-of-00001.parquet": parquet(items(range(14, 24))),
            "spare/a.jsonl": jsonl(items(range(6))),
        }
    },
    "me/bare": {
        "main": {
            "one/training.jsonl": jsonl(exams(range(12))),
            "one/dev_set.csv": b"prompt,choices,gold\nIs it?,yes|no,0\n",
            "two/all.jsonl": jsonl(exams(range(9))),
        }
    },
    "me/single": {"main": {"data/all.jsonl": jsonl(exams(range(12)))}},
    "me/script": {
        "main": {"script.py": b"print('never run')"},
        "refs/convert/parquet": {"default/test/0000.parquet": parquet(items(range(8)))},
    },
    "me/empty": {"main": {"notes.txt": b""}, "refs/convert/parquet": {"notes.txt": b""}},
    "me/outside": {"main": {"README.md": b"---\nconfigs:\n- config_name: x\n  data_files: '../*.jsonl'\n---\n"}},
    "me/gone": {"main": {"README.md": b"---\nconfigs:\n- config_name: x\n  data_files: 'a/*.jsonl'\n---\n"}},
}
EXAM = {"prompt": "Question: {question}\nAnswer:", "choices": "answers.text", "labels": "answers.label", "gold": "key"}

Load = Callable[..., Task]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def read(repo: str, **options: Any) -> Task:
        return tasks.load("mine", role="capability", hub=repo, labelling=False, **options)

    with serving(type("DataSets", (Hub,), {"repos": REPOS})) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        yield read


def prompts(examples: tuple[Any, ...]) -> list[int]:
    """The numbers that prompts ask about."""
    return sorted(int("".join(filter(str.isdigit, e.prompt))) for e in examples)


def test_two_splits_are_train_and_test_and_what_is_tested_is_not_taught(load: Load) -> None:
    task = load("me/carded", config="plain", split={"train": "train", "test": "validation"})
    assert prompts(task.test) == list(range(14, 24))
    assert prompts(task.train) == list(range(14))
    told = f"Hub data set me/carded, config plain, train is train, test is validation, revision {commit('me/carded')} "
    assert task.source.startswith(told)
    assert task.source.endswith("left out 2 of 26 rows: 2 with the text of another row")
    assert (task.licence, task.version) == ("cc-by-4.0", "hub-1")


def test_one_split_is_cut_by_cluster(load: Load) -> None:
    task = load("me/carded", config="plain", split="train", columns={"cluster": "gold", "groups": {"p": "kind.parity"}})
    clusters = [{e.cluster for e in part} for part in (task.train, task.test)]
    assert [len(part) for part in clusters] == [1, 1]
    assert clusters[0] != clusters[1]
    assert task.dimensions == ("p",)
    assert {e.groups["p"] for e in task.train + task.test} == {("even",), ("odd",)}


def test_the_default_configuration_and_the_only_split_need_no_name(load: Load) -> None:
    task = load("me/carded", test_share=1)
    assert prompts(task.test) == list(range(6))


def test_nested_fields_labels_and_a_template_make_the_prompt(load: Load) -> None:
    task = load("me/single", columns=EXAM, test_share=1)
    assert len(task.test) == 12
    for e in task.test:
        number = prompts((e,))[0]
        assert e.prompt == f"Question: Where is {number}?\nAnswer:"
        assert e.choices.texts == (" here", " there", " nowhere")
        assert e.choices.gold == number % 3


def test_choices_may_stand_in_columns_of_their_own(load: Load) -> None:
    columns = {"prompt": "question", "choices": ["{first}", "it is {second}", "unknown"], "gold": "first"}
    task = load("me/single", columns=columns, test_share=1)
    number = prompts((task.test[0],))[0]
    assert task.test[0].choices.texts == (" here", f" it is at {number}", " unknown")
    assert {e.choices.gold for e in task.test} == {0}


def test_without_a_card_folders_are_configurations_and_names_tell_splits(load: Load) -> None:
    split = {"train": "train", "test": "validation"}
    with pytest.raises(DataError, match="me/bare has several configs; name one as 'config'; valid: "):
        load("me/bare")
    with pytest.raises(DataError, match="split 'validation': no column 'question' for prompt"):
        load("me/bare", config="one", split=split, columns=EXAM)
    assert len(load("me/bare", config="two", columns=EXAM, test_share=1).test) == 9


def test_a_data_set_that_is_a_script_is_read_from_the_hub_s_conversion(load: Load) -> None:
    task = load("me/script", test_share=1)
    assert prompts(task.test) == list(range(8))
    assert commit("me/script", "refs/convert/parquet") in task.source


def test_a_second_load_needs_no_connection(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load("me/single", columns=EXAM), load("me/carded")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert (load("me/single", columns=EXAM), load("me/carded")) == first


@pytest.mark.parametrize(
    ("repo", "options", "message"),
    [
        ("me/none", {}, "Hub data set me/none at http.*: RepositoryNotFoundError: "),
        ("me/a/b", {}, "Hub data set me/a/b at http.*: HFValidationError: "),
        ("me/carded", {"config": "plian"}, "me/carded: no config 'plian'; did you mean 'plain'"),
        ("me/carded", {"config": "plain"}, "has the splits train, validation; name one as 'split', to be cut by "),
        ("me/carded", {"config": "plain", "split": "test"}, "me/carded: no split 'test'; valid: .*train"),
        ("me/carded", {"config": "plain", "split": {"train": "train", "test": "dev"}}, "no split 'dev'; valid: "),
        ("me/carded", {"columns": {"gold": "kind.party"}}, "'kind.party' for gold; did you mean 'kind.parity'"),
        (
            "me/carded",
            {"columns": {"prompt": "{promt} Answer:"}},
            "no column 'promt' for prompt; did you mean 'prompt'",
        ),
        (
            "me/single",
            {"columns": EXAM | {"gold": "first"}},
            r"gold 'here' must be one of the labels \['A', 'B', 'C'\]",
        ),
        ("me/empty", {}, r"me/empty: it has no files that end in \.jsonl"),
        ("me/outside", {}, "its card names a file outside of it, '../"),
        ("me/gone", {}, r"me/gone: split 'train' has no files a/\*\.jsonl that end in"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(load: Load, repo: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(repo, **options)
    assert "\n" not in str(caught.value) or "problems in the data" in str(caught.value)


def test_options_that_do_not_go_together_are_told(load: Load) -> None:
    with pytest.raises(ConfigError, match="task 'mine': a Hub data set takes no 'test_path'; valid: "):
        load("me/carded", test_path="x")
    with pytest.raises(ConfigError, match="split: expected one name, or one for each of train and test"):
        load("me/carded", config="plain", split={"train": "train"})
    with pytest.raises(ConfigError, match="'gold' holds the split, so name one split, not two"):
        load("me/carded", config="plain", split={"train": "train", "test": "train"}, columns={"split": "gold"})
    with pytest.raises(ConfigError, match="task 'mine': a Hub data set needs a role"):
        tasks.load("mine", hub="me/carded")
