"""Tasks of a study file, and of commands without one."""

import json
from pathlib import Path
from typing import Any

import pytest

from chaintune.auditing import check_dimensions
from chaintune.errors import ChaintuneError, ConfigError
from chaintune.study.study import Study
from chaintune.study.task_spec import load_spec, tasks_from_options
from tests import tiny

HEAD = "base: m\ntasks:\n  {task}\nchains: [[{name}]]\n"


def read(folder: Path, task: str) -> Study:
    path = folder / "mine.yaml"
    path.write_text(HEAD.format(task=task, name=task.partition(": ")[0]))
    return Study.from_yaml(path)


def complaint(folder: Path, task: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, task)
    return str(caught.value).removeprefix(f"{folder}/")


def test_a_hub_data_set(tmp_path: Path) -> None:
    columns = "columns: {choices: ['{a}', '{b}'], labels: x.label, groups: {g: x.y}}"
    spec = read(tmp_path, f"qa: {{role: safety, hub: me/qa, config: c, split: validation, {columns}}}").tasks["qa"]
    assert spec.data() == {
        "hub": "me/qa",
        "config": "c",
        "split": "validation",
        "columns": {"choices": ["{a}", "{b}"], "labels": "x.label", "groups": {"g": "x.y"}},
    }


def test_two_splits(tmp_path: Path) -> None:
    study = read(tmp_path, "qa: {role: safety, hub: me/qa, split: {train: train, test: validation}}")
    assert study.tasks["qa"].data()["split"] == {"train": "train", "test": "validation"}
    again = Study.from_mapping(study.to_mapping())
    assert again.tasks == study.tasks


def test_a_task_of_lm_eval_by_either_name(tmp_path: Path) -> None:
    study = read(tmp_path, "lm_eval:arc_easy: {role: capability, fewshot: 5, columns: {groups: {g: doc.category}}}")
    assert study.chains == (("lm_eval:arc_easy",),)
    assert study.tasks["lm_eval:arc_easy"].data() == {"fewshot": 5, "columns": {"groups": {"g": "doc.category"}}}
    spec = read(tmp_path, "easy: {role: capability, lm_eval: arc_easy, include_path: own}").tasks["easy"]
    assert spec.data() == {"lm_eval": "arc_easy", "include_path": str(tmp_path / "own")}


def test_python_that_a_study_names_does_not_run_unasked(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "easy.yaml").write_text("task: easy\ndoc_to_text: !function code.text\n")
    (tmp_path / "own" / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    spec = read(tmp_path, "easy: {role: capability, lm_eval: easy, include_path: own}").tasks["easy"]
    sentence = r"task 'easy': include_path .* may run any Python code; .*--trust-remote-code"
    with pytest.raises(ConfigError, match=sentence):
        load_spec("easy", spec)
    overrides = ["tasks.easy.lm_eval=easy", f"tasks.easy.include_path={tmp_path / 'own'}"]
    with pytest.raises(ConfigError, match=sentence):
        tasks_from_options(["easy"], overrides=overrides)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            "qa: {hub: me/qa}",
            "mine.yaml:3: tasks.qa.role: a Hub data set needs a role, 'safety' or 'capability'",
        ),
        (
            "qa: {role: safety, hub: me/qa, fewshot: 2}",
            "mine.yaml:3: tasks.qa.fewshot: a Hub data set takes no 'fewshot'",
        ),
        (
            "qa: {role: safety, hub: me/qa, split: {train: a, tset: b}}",
            "mine.yaml:3: tasks.qa.split",
        ),
        (
            "qa: {role: safety, hub: me/qa, columns: {chioces: x}}",
            "mine.yaml:3: tasks.qa.columns.chioces: unknown key 'chioces'; did you mean 'choices'?",
        ),
        (
            "bbq: {hub: me/qa}",
            "mine.yaml:3: tasks.bbq.hub: a known task has a shape of its own and takes no 'hub'",
        ),
        ("lm_eval:a: {fewshot: 1}", "mine.yaml:3: tasks.lm_eval:a.role: a task of lm-eval needs a role, 'safety"),
        ("lm_eval:a: {role: safety, fewshot: -1}", "mine.yaml:3: tasks.lm_eval:a.fewshot: expected"),
        ("lm_eval:a: {role: safety, path: x}", "mine.yaml:3: tasks.lm_eval:a.path: a task of lm-eval takes no 'path'"),
        ("qa: {role: safety, fewshot: 1}", "mine.yaml:3: tasks.qa: no task is known as 'qa' and no 'path' is given"),
        (
            "bbq: {measure: [choice, choise]}",
            "mine.yaml:3: tasks.bbq.measure: no measure is known as 'choise'; did you mean 'choice'?",
        ),
        ("bbq: {metric: [accuracy, accuracy]}", "mine.yaml:3: tasks.bbq.metric[1]: 'accuracy' is listed twice"),
    ],
)
def test_what_does_not_go_together_is_told(tmp_path: Path, task: str, message: str) -> None:
    assert complaint(tmp_path, task).startswith(message)


def test_what_the_file_says_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr("chaintune.tasks.load", lambda name, **options: seen.update({name: options}))
    study = read(tmp_path, "qa: {role: safety, train: 3, hub: me/qa, split: validation}")
    load_spec("qa", study.tasks["qa"])
    assert seen["qa"] == {
        "role": "safety",
        "train": 3,
        "test": None,
        "seed": 0,
        "only": None,
        "test_share": None,
        "measure": [],
        "special_tokens": False,
        "metric": [],
        "labelling": None,
        "margin": None,
        "labels": None,
        "scorers": [],
        "generation": {},
        "chat": None,
        "system": "",
        "chat_template": None,
        "allow_overlap": False,
        "hub": "me/qa",
        "split": "validation",
    }


def test_the_keys_of_chat_are_read_as_they_are_written(tmp_path: Path) -> None:
    keys = "chat: on, system: Be kind., chat_template: own.jinja, columns: {messages: talk}"
    study = read(tmp_path, f"mine: {{role: safety, path: mine.jsonl, {keys}}}")
    spec = study.tasks["mine"]
    assert (spec.chat, spec.system, spec.chat_template) == ("on", "Be kind.", str(tmp_path / "own.jinja"))
    assert Study.from_mapping(study.to_mapping()).tasks == study.tasks
    (tmp_path / "again.yaml").write_text(study.to_yaml(tmp_path))
    assert Study.from_yaml(tmp_path / "again.yaml").tasks == study.tasks
    named = read(tmp_path, "mine: {role: safety, path: mine.jsonl, chat_template: tool_use}")
    assert named.tasks["mine"].chat_template == "tool_use"
    assert Study.from_mapping(named.to_mapping(tmp_path)).tasks["mine"].chat_template == "tool_use"
    assert read(tmp_path, "bbq: {chat: off}").tasks["bbq"].chat == "off"
    assert "tasks.bbq.chat: 'onn' is no valid value; did you mean 'on'" in complaint(tmp_path, "bbq: {chat: onn}")


@pytest.fixture
def data(tmp_path: Path) -> str:
    return f"tasks.mine.path={tiny.write_task(tmp_path / 'mine.jsonl')}"


def test_sizes_are_for_all_or_for_one(data: str) -> None:
    other = data.replace("tasks.mine", "tasks.other")
    found = tasks_from_options(["mine", "other"], sizes=["20", "other=3 per owner"], overrides=[data, other])
    assert [task.name for task in found] == ["mine", "other"]
    assert [len(task.test) for task in found] == [20, 12]


def test_the_seed_is_of_the_sample(data: str) -> None:
    one, same, other = (
        tasks_from_options(["mine"], sizes=["20"], seed=seed, overrides=[data])[0] for seed in (0, 0, 1)
    )
    assert one.test_digest == same.test_digest != other.test_digest


def test_a_role_may_be_said_and_need_not(data: str) -> None:
    assert tasks_from_options(["mine"], overrides=[data])[0].role == "safety"
    assert tasks_from_options(["mine"], overrides=[data, "tasks.mine.role=capability"])[0].role == "capability"


def test_everything_may_be_tested(data: str) -> None:
    (task,) = tasks_from_options(["mine"], overrides=[data, "tasks.mine.test_share=1"])
    assert (len(task.train), len(task.test)) == (0, 80)


@pytest.mark.parametrize(
    ("sizes", "overrides", "sentence"),
    [
        (["lots"], [], "--test lots: tasks.mine.test"),
        (["min=3"], [], "did you mean 'mine'"),
        ([], ["tasks.mine.pth=x"], "did you mean 'path'"),
        ([], ["tasks.mien.test=3"], "did you mean 'mine'"),
        ([], ["seed=3"], "only keys of tasks"),
        ([], ["tasks=3"], "expected tasks.NAME.KEY=VALUE"),
        ([], ["tasks.mine=3"], "tasks.mine: expected a mapping"),
        ([], ["tasks.mine.test"], "expected key=value"),
    ],
)
def test_what_cannot_be_meant_is_told(sizes: list[str], overrides: list[str], sentence: str, data: str) -> None:
    with pytest.raises(ChaintuneError) as raised:
        tasks_from_options(["mine"], sizes=sizes, overrides=[data, *overrides])
    assert sentence in str(raised.value)


def test_a_name_that_is_no_task_is_told() -> None:
    with pytest.raises(ChaintuneError, match="did you mean 'bbq'"):
        tasks_from_options(["bqq"])


@pytest.mark.parametrize(
    ("columns", "golds"),
    [
        ("{choices: ['{A}', '{B}'], gold: 0}", [0, 0, 0, 0]),
        ("{choices: ['{A}', '{B}'], gold: '{B}'}", [1, 1, 1, 1]),
        ("{choices: ['{A}', '{B}'], gold: key, labels: [A, B]}", [0, 1, 0, 1]),
        ("{choices: ['{A}', '{B}'], gold: '3', labels: [1, 2]}", [0, 1, 0, 1]),
        ("{choices: ['{A}', '{B}'], gold: place, labels: [1, 2], groups: {year: 2024}}", [0, 1, 0, 1]),
    ],
)
def test_right_answers_are_named_as_files_have_them(tmp_path: Path, columns: str, golds: list[int]) -> None:
    rows = [
        {
            "prompt": f"q{k}",
            "A": f"a{k}",
            "B": f"b{k}",
            "key": "AB"[k % 2],
            "place": k % 2 + 1,
            "3": k % 2 + 1,
            "2024": "x",
        }
        for k in range(4)
    ]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = read(tmp_path, f"own: {{role: safety, path: own.jsonl, test_share: 1, columns: {columns}}}")
    assert Study.from_mapping(study.to_mapping()).tasks == study.tasks
    task = load_spec("own", study.tasks["own"])
    assert [example.choices.gold for example in sorted(task.test, key=lambda example: example.prompt_text)] == golds


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("{gold: 1.5}", "expected a column, a text with columns in braces, or the index of the right choice, got 1.5"),
        ("{gold: true}", "or the index of the right choice, got True"),
        ("{prompt: [q]}", "columns.prompt: expected text"),
    ],
)
def test_columns_that_cannot_be_meant(tmp_path: Path, columns: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, f"own: {{role: safety, path: own.jsonl, columns: {columns}}}")


def test_paths_of_a_study_may_begin_at_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    spec = read(tmp_path, "own: {role: safety, path: ~/own.jsonl, unusable: skip}").tasks["own"]
    assert (spec.path, spec.data()["unusable"]) == (str(tmp_path / "home" / "own.jsonl"), "skip")


def test_the_advice_on_a_dimension_that_no_task_has_helps(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{k}", "choices": [f"a{k}", "b"], "gold": 0, "owner": "xy"[k % 2]} for k in range(8)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    overrides = [f"tasks.own.path={tmp_path / 'own.jsonl'}", "tasks.own.test_share=1"]
    (task,) = tasks_from_options(["own"], overrides=overrides)
    message = r"of 'own' none has a dimension 'owner': they have no groups; .* by --set (tasks\.\S+=owner)"
    with pytest.raises(ConfigError, match=message) as caught:
        check_dimensions(["owner"], [task])
    advice = str(caught.value).rpartition("--set ")[2]
    check_dimensions(["owner"], tasks_from_options(["own"], overrides=[*overrides, advice]))


def test_scorers_are_checked_where_they_stand(tmp_path: Path) -> None:
    mine = "mine: {{role: safety, path: x.jsonl, measure: generation, scorer: {}}}"
    assert complaint(tmp_path, mine.format("refusals")).startswith(
        "mine.yaml:3: tasks.mine.scorer: scorer 'refusals': did you mean 'refusal'"
    )
    assert "tasks.mine.scorer.regex: its pattern has no group 2" in complaint(
        tmp_path, mine.format("{regex: {pattern: a, group: 2}}")
    )
    assert "tasks.mine.scorer[0].regex.patern: unknown key 'patern'; did you mean 'pattern'" in complaint(
        tmp_path, mine.format("[{regex: {patern: a}}, refusal]")
    )
    assert "tasks.mine.scorer[1]: scorer 'refusal' is named twice" in complaint(
        tmp_path, mine.format("[refusal, {refusal: {english: false}}]")
    )
    choice = mine.format("refusal").replace("generation", "choice")
    assert "add 'generation' to the task's measures" in complaint(tmp_path, choice)


def test_a_scorer_that_is_named_says_that_texts_are_written(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is {k}?", "response": str(k)} for k in range(20)]
    (tmp_path / "x.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    study = read(tmp_path, "mine: {role: safety, path: x.jsonl, scorer: number}")
    assert load_spec("mine", study.tasks["mine"]).measures == ("generation",)


def test_a_study_with_scorers_is_written_and_read_again(tmp_path: Path) -> None:
    scorers = "[refusal, {regex: {pattern: a}}, own/mine.py:polite, {own/other.py:rude: {word: x}}]"
    study = read(tmp_path, f"mine: {{role: safety, path: x.jsonl, scorer: {scorers}}}")
    again = Study.from_mapping(study.to_mapping())
    assert again.tasks == study.tasks
    assert [ref.name for ref in study.tasks["mine"].scorer][2:] == [
        f"{tmp_path}/own/mine.py:polite",
        f"{tmp_path}/own/other.py:rude",
    ]
    assert study.to_mapping(tmp_path / "out")["tasks"]["mine"]["scorer"] == [
        "refusal",
        {"regex": {"pattern": "a"}},
        "../own/mine.py:polite",
        {"../own/other.py:rude": {"word": "x"}},
    ]


@pytest.mark.parametrize("trusted", [False, True])
def test_a_function_as_a_scorer_is_trusted_where_that_is_said(tmp_path: Path, trusted: bool) -> None:
    (tmp_path / "mine.py").write_text("def polite(texts, examples): ...")
    rows = [{"prompt": f"What is {k}?", "response": str(k)} for k in range(20)]
    (tmp_path / "x.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    study = read(tmp_path, "mine: {role: safety, path: x.jsonl, scorer: mine.py:polite}")
    [ref] = load_spec("mine", study.tasks["mine"], trust_remote_code=trusted).scorers
    assert ref.trusted is trusted
    assert ref.source.startswith("def polite")


def test_training_examples_may_be_asked_also_of_prompts_without_answers(tmp_path: Path) -> None:
    rows = [{"prompt": f"How {k}?", "topic": "ab"[k % 2]} for k in range(20)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = {"path": tmp_path / "own.jsonl", "test_share": 0.5, "scorer": "refusal", "columns.groups.topic": "topic"}
    overrides = [f"tasks.own.{key}={value}" for key, value in keys.items()]
    (tested,) = tasks_from_options(["own"], overrides=overrides)
    (whole,) = tasks_from_options(["own"], train=["all"], overrides=overrides)
    (some,) = tasks_from_options(["own"], train=["own=2 per topic"], overrides=overrides)
    assert {example.id for example in whole.test}.isdisjoint(example.id for example in tested.test)
    assert (len(whole.test), len(some.test), whole.train, some.train) == (20 - len(tested.test), 4, (), ())
    with pytest.raises(ChaintuneError, match=r"none is left to train on; 'test_share: 0.5' sets half of them apart"):
        tasks_from_options(["own"], train=["all"], overrides=[*overrides, "tasks.own.test_share=1"])
    with pytest.raises(ChaintuneError, match=r"--train lots: tasks.own.train"):
        tasks_from_options(["own"], train=["lots"], overrides=overrides)
    with pytest.raises(ChaintuneError, match="--train onw=3: 'onw' is none of the tasks; did you mean 'own'"):
        tasks_from_options(["own"], train=["onw=3"], overrides=overrides)
