"""Which objective a stage has."""

import pytest

from chaintune.errors import ConfigError
from chaintune.records import Choices, Preference, Reference
from chaintune.tuning.objectives import OBJECTIVES, Objective, choose_objective
from tests.conftest import Install
from tests.dummy_engine import make_study
from tests.howto_packages import CONTRAST


def test_every_shipped_objective_is_one() -> None:
    assert list(OBJECTIVES.shipped) == ["sft"]
    assert isinstance(OBJECTIVES.get("sft"), Objective)


def test_it_follows_from_the_targets(install: Install) -> None:
    install(*CONTRAST)
    assert choose_objective(None, {Choices}, task="a") == "sft"
    assert choose_objective("contrast", {Choices}, task="a") == "contrast"


@pytest.mark.parametrize(
    ("name", "targets", "sentence"),
    [
        (None, {Preference}, "task 'a': its training examples have a chosen and a rejected answer, and no objective"),
        (
            "sft",
            {Reference, Choices},
            "with a gold index, and objective 'sft' does",
        ),
        ("sft", {type(None)}, "have no target"),
        ("stf", {Choices}, "objective 'stf': did you mean 'sft'"),
    ],
)
def test_what_no_objective_takes_is_one_sentence(name: str | None, targets: set[type], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        choose_objective(name, targets, task="a")


def test_an_unknown_name_in_a_study_file_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"recipe\.objective: 'stf' is no valid value; did you mean 'sft'"):
        make_study("ab", recipe={"objective": "stf"})
