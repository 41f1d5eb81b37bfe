"""Which objective a stage has."""

import pytest

from chaintune.errors import ConfigError
from chaintune.records import Choices, Preference, Recipe, Reference
from chaintune.tuning.objectives import OBJECTIVES, Objective, objective_of, protecting, with_objective
from tests.conftest import Install
from tests.dummy_engine import make_study
from tests.howto_packages import CONTRAST


def test_every_shipped_objective_is_one() -> None:
    assert list(OBJECTIVES.shipped) == ["sft", "dpo"]
    assert isinstance(OBJECTIVES.get("sft"), Objective)


def test_it_follows_from_the_targets(install: Install) -> None:
    install(*CONTRAST)
    assert with_objective(Recipe(), {Choices, Reference}, task="a").objective == "sft"
    assert with_objective(Recipe(), {Preference}, task="a").objective == "dpo"
    assert with_objective(Recipe(objective="contrast"), {Choices}, task="a").objective == "contrast"


def test_it_is_as_the_recipe_has_it() -> None:
    asked = with_objective(Recipe(teach="chosen"), {Preference, Choices}, task="a")
    assert asked.objective == "sft"
    assert Preference in objective_of(asked).targets
    assert Preference not in OBJECTIVES.get("sft").targets


def test_a_protected_task_is_looked_at_by_an_objective_that_takes_it(install: Install) -> None:
    install(*CONTRAST)
    dpo, contrast = Recipe(objective="dpo"), Recipe(objective="contrast")
    assert protecting(contrast, {Choices}, task="a") is OBJECTIVES.get("contrast")
    assert Preference in protecting(dpo, {Preference}, task="a").targets
    assert not protecting(dpo, {Preference}, task="a").has_reference
    with pytest.raises(ConfigError, match="task 'a': its training examples have no target"):
        protecting(dpo, {type(None)}, task="a")


@pytest.mark.parametrize(
    ("name", "targets", "sentence"),
    [
        (None, {Preference, Choices}, "gold index, and no objective takes them; teach one kind in a stage, or write"),
        ("sft", {Preference}, "a chosen and a rejected answer, and objective 'sft' does not take them; write"),
        (
            "sft",
            {Preference, Choices},
            "with a gold index, and objective 'sft' does not take them; teach one kind in a stage, or write",
        ),
        ("sft", {type(None)}, "have no target"),
        ("stf", {Choices}, "objective 'stf': did you mean 'sft'"),
    ],
)
def test_what_no_objective_takes_is_one_sentence(name: str | None, targets: set[type], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        with_objective(Recipe(objective=name), targets, task="a")


def test_an_unknown_name_in_a_study_file_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"recipe\.objective: 'stf' is no valid value; did you mean 'sft'"):
        make_study("ab", recipe={"objective": "stf"})
