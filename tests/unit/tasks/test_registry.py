"""Names of tasks, built in and offered by installed packages."""

import pytest

from chaintune import tasks
from chaintune.errors import ConfigError, DataError
from chaintune.tasks.registry import TASKS, definition
from tests.conftest import Install

OFFERED = """
from chaintune.records import Choices, Example
from chaintune.tasks import Pool, TaskDefinition

def read(path):
    examples = [Example(str(k), f"Q{k}:", Choices((" a", " b"), 0), {}, str(k)) for k in range(10)]
    return Pool(examples, None, "made up")

TASK = TaskDefinition("made-up", "safety", "made-up-1", "CC0", (), read)
"""


@pytest.fixture
def _offered(install: Install) -> None:
    install("chaintune.tasks: made-up = offering:TASK\nbroken = offering:read", OFFERED)


def test_the_built_in_tasks_have_the_names_that_they_are_listed_under() -> None:
    expected = {
        "arc_challenge",
        "arc_easy",
        "bbq",
        "bold",
        "crows_pairs",
        "csqa",
        "csqa2",
        "do_not_answer",
        "dolly",
        "gsm8k",
        "hh_rlhf",
        "openbookqa",
        "safer_dialogues",
        "stereoset",
        "toxigen",
        "toxigen_prompts",
        "ultrafeedback",
        "xstest",
    }
    assert set(TASKS.shipped) == expected
    assert [definition(name).name for name in TASKS.shipped] == list(TASKS.shipped)
    assert set(TASKS.shipped) <= set(tasks.names())


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"task 'bqq' is not known; did you mean 'bbq'\? Valid: .*tasks.NAME.path=FILE"):
        tasks.load("bqq")


@pytest.mark.usefixtures("_offered")
def test_an_installed_package_may_offer_a_task() -> None:
    assert {"bbq", "made-up"} <= set(tasks.names())
    task = tasks.load("made-up", test=3)
    assert (len(task.train), len(task.test), task.source, task.role) == (5, 3, "made up", "safety")
    assert tasks.load("made-up", role="capability").role == "capability"


@pytest.mark.usefixtures("_offered")
def test_an_offer_that_is_no_task_is_an_error() -> None:
    with pytest.raises(ConfigError, match="task 'broken': its entry point gives a function, expected a TaskDefinition"):
        tasks.load("broken")
