"""Files of tasks, and the suites that are shipped."""

from pathlib import Path
from typing import Any

import pytest

import chaintune
from chaintune.auditing import check_dimensions
from chaintune.cli.app import main
from chaintune.errors import ConfigError
from chaintune.study.suite import read_suite, suite_names, suite_text
from chaintune.study.task_spec import suite_settings, tasks_from_options
from tests import tiny

TASKS = """\
tasks:
  balls:
    {role: safety, path: data/balls.jsonl, test_share: 1,
    test: 12}
  boxes: {role: capability, path: data/boxes.jsonl, test: 3 per owner, seed: 5}
  taught: {role: capability, path: data/boxes.jsonl, test: none}
"""


@pytest.fixture
def suite(tmp_path: Path) -> str:
    for name in ("balls", "boxes"):
        tiny.write_task(tmp_path / "data" / f"{name}.jsonl")
    path = tmp_path / "mine.yaml"
    path.write_text(TASKS)
    return str(path)


def test_what_a_file_tests_is_scored_on(suite: str) -> None:
    tasks = tasks_from_options((), suite=suite)
    assert [(task.name, task.role, len(task.test)) for task in tasks] == [
        ("balls", "safety", 12),
        ("boxes", "capability", 12),
    ]
    check_dimensions(["owner"], tasks)
    assert [task.test for task in chaintune.suite(suite)] == [task.test for task in tasks]


def test_options_win_over_the_file(suite: str) -> None:
    sizes, overrides = ["5", "boxes=1 per owner"], ["tasks.balls.metric=accuracy_per_token"]
    balls, boxes = tasks_from_options((), suite=suite, sizes=sizes, overrides=overrides)
    assert (len(balls.test), balls.metrics, len(boxes.test)) == (5, ("accuracy_per_token",), 4)
    (one,) = tasks_from_options(["boxes"], suite=suite, sizes=["7"])
    assert (one.name, len(one.test)) == ("boxes", 7)
    assert len(tasks_from_options((), suite=suite, overrides=["tasks.taught.test=2"])) == 3
    added = tasks_from_options((), suite=suite, overrides=[f"tasks.new.path={Path(suite).parent / 'data/balls.jsonl'}"])
    assert [task.name for task in added] == ["balls", "boxes", "new"]


def test_the_files_seed_wins_and_the_options_is_of_the_others(suite: str) -> None:
    first, second = (tasks_from_options((), suite=suite, seed=seed) for seed in (0, 1))
    assert [one.test_digest == other.test_digest for one, other in zip(first, second, strict=True)] == [False, True]


def test_a_study_file_is_a_file_of_tasks(suite: str, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(f"base: smollm2-135m\nchat: on\n{TASKS}chains: [[balls, taught]]\n")
    assert [task.chat for task in tasks_from_options((), suite=str(study))] == ["on", "on"]
    assert chaintune.Study.from_yaml(study).tasks["balls"].path == suite_settings(suite)["tasks"]["balls"]["path"]


def test_settings_of_a_study_say_too_that_what_is_taught_may_be_tested(suite: str, tmp_path: Path) -> None:
    lenient = tmp_path / "lenient.yaml"
    lenient.write_text(f"{Path(suite).read_text()}allow_overlap: true\n")
    assert suite_settings(str(lenient))["allow_overlap"] is True


def test_settings_of_a_study_have_their_paths_in_full(suite: str, tmp_path: Path) -> None:
    assert suite_settings(suite)["tasks"]["balls"] == {
        "role": "safety",
        "path": str(tmp_path / "data" / "balls.jsonl"),
        "test_share": 1.0,
        "test": 12,
    }


@pytest.mark.parametrize(
    ("change", "names", "options", "said"),
    [
        (("test: 12", "tset: 12"), (), {}, "mine.yaml:4: tasks.balls.tset: unknown key 'tset'; did you mean 'test'"),
        (("test: 12", "test: lots"), (), {}, "mine.yaml:4: tasks.balls.test: "),
        (("tasks:", "task:"), (), {}, "mine.yaml:1: task: unknown key 'task'"),
        (("  taught", "  balls"), (), {}, "mine.yaml:6: tasks.balls: the key is written twice, first on line 2"),
        (("", ""), ["bals"], {}, "mine.yaml has no such task; did you mean 'balls'"),
        (("", ""), (), {"sizes": ["bals=3"]}, "--test bals=3: 'bals' is none of the tasks; did you mean 'balls'"),
        (("", ""), ["balls"], {"overrides": ["tasks.boxes.test=3"]}, "'boxes' is none of the tasks that are scored"),
        (("", ""), (), {"overrides": ["tasks.bals.test=3"]}, "tasks.bals: no task is known as 'bals'"),
        (("", ""), ["taught"], {}, "mine.yaml:6: tasks.taught.test: 'none' leaves nothing to score"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_line(
    suite: str, change: tuple[str, str], names: list[str], options: dict[str, Any], said: str
) -> None:
    Path(suite).write_text(TASKS.replace(*change, 1) if change[0] else TASKS)
    with pytest.raises(ConfigError) as raised:
        tasks_from_options(names, suite=suite, **options)
    assert said in str(raised.value)


@pytest.mark.parametrize("text", ["", "tasks:\n", "tasks: []\n", "tasks: 3\n", "base: x\n"])
def test_a_file_without_tasks_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match="expected a mapping with 'tasks'"):
        read_suite(str(tmp_path / "mine.yaml"))


def test_what_is_no_suite_is_told() -> None:
    with pytest.raises(ConfigError, match="no suite is known as 'chat-safty', and there is no such file"):
        read_suite("chat-safty")
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot read the task file"):
        read_suite("gone.yaml")
    with pytest.raises(ConfigError, match=r"name tasks by --task, or a file of tasks or a suite by --tasks"):
        tasks_from_options(())


@pytest.mark.parametrize("name", suite_names())
def test_a_shipped_suite_is_a_file_that_can_be_copied_and_changed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["suite", "list"], ["suite", "show", name]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code
    listed, _, shown = capsys.readouterr().out.partition("\n")
    assert listed == f"{name}: {', '.join(suite_settings(name)['tasks'])}"
    assert shown == suite_text(name)
    copied = tmp_path / "mine.yaml"
    copied.write_text(shown)
    assert suite_settings(str(copied))["tasks"] == suite_settings(name)["tasks"]


def test_chat_safety_is_refusals_bias_and_knowledge() -> None:
    assert suite_names() == ("chat-safety",)
    assert list(suite_settings("chat-safety")["tasks"]) == ["do_not_answer", "xstest", "bbq", "csqa"]
    assert f"--suite {suite_names()[0]}" in suite_text("chat-safety")
