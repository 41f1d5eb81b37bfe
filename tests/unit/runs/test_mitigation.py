"""A mitigation of two checkpoints that exist already, before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import ConfigError
from chaintune.plan.graph import Family
from chaintune.runs.mitigation import _families, mitigation_study
from tests.dummy_engine import make_task

TASKS = {name: {"role": "capability", "path": f"{name}.jsonl"} for name in "ab"}


def families(settings: dict[str, Any] | None = None, **told: Any) -> list[Family]:
    how = {"forgotten": "a", "keep": ["b"], "fields": {}, "settings": {"tasks": TASKS} | (settings or {})}
    study = mitigation_study("after", "before", **(how | told))
    tasks = {name: make_task(name) for name in study.tasks}
    return _families(["b"], study, tasks, dict(zip(("after", "before", "base"), "123", strict=True)))


def test_merges_are_swept_between_the_checkpoints_that_exist() -> None:
    (family,) = families(kind="interpolate", fields={"fraction": [0.2, 0.4]})
    assert list(family.existing.values()) == ["2", "1"]
    assert [(one.steps[0].back_to, one.steps[0].fraction) for one in family.branches] == [(0, 0.2), (0, 0.4)]
    held = [one.mitigated for one in family.branches if one.mitigated]
    assert [(one.fraction, one.dose, one.keep) for one in held] == [(0.2, None, ("b",)), (0.4, None, ("b",))]
    (family,) = families(kind="merge_back", base="base", fields={"fraction": [0.3]})
    assert list(family.existing.values()) == ["3", "2", "1"]
    assert (family.branches[0].steps[0].back_to, family.branches[0].steps[0].reads_base) == (1, True)
    (family,) = families(kind="interpolate", base="base", fields={"fraction": [0.3], "toward": "base"})
    assert family.branches[0].steps[0].back_to == 0


def test_each_recipe_is_tried_on_the_same_checkpoints() -> None:
    rates = {"vary": {"recipe.learning_rate": [1e-4, 5e-5]}}
    both = families(rates, fields={"dose": [0.5]})
    assert [family.variant.labels for family in both] == [(("learning_rate", "0.0001"),), (("learning_rate", "5e-05"),)]
    assert both[0].existing == both[1].existing


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            {"kind": "distill"},
            "acts while .*; name replay, self_replay, interpolate or merge_back, .*{distill: {task: a, untaught: tr",
        ),
        (
            {"kind": "joint"},
            r"'joint' teaches the tasks at once .* with 'chains: \[\[a, b\]\]' and .*{joint: {task: a}}",
        ),
        ({"kind": "merge_back"}, "'merge_back' reads the base, as task vectors begin at it; name the model"),
        ({"kind": "interpolate", "fields": {"toward": "base"}}, "reads the base, as its weights are mixed in"),
        ({"kind": "interpolate", "base": "base"}, "base 'base': mitigation 'interpolate' does not read it"),
        (
            {"kind": "interpolate", "fields": {"dose": [0.1]}},
            "unknown key 'dose'; valid: task, toward, recipe, fraction",
        ),
        ({"settings": {"vary": {"seed": [0, 1]}}}, "vary.seed: one model is written, so name one seed"),
    ],
)
def test_what_mitigates_no_loss_that_has_happened_is_refused_with_what_does(
    told: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        families(**told)


def test_two_names_of_one_folder_are_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "before").mkdir()
    with pytest.raises(ConfigError, match=r"after, before, \./before: two of these are one model"):
        families(kind="merge_back", base="./before")


def test_a_task_whose_prompts_are_answered_is_not_one_that_should_not_pay() -> None:
    described = {name: {"role": "capability", "path": f"{name}.jsonl"} for name in "abc"}
    for keep, priced in ((["b"], ("b",)), (["b", "c"], ("b", "c"))):
        study = mitigation_study(
            "after",
            "before",
            forgotten="a",
            keep=keep,
            fields={"dose": [0.5], "prompts": "c"},
            settings={"tasks": described},
            kind="self_replay",
        )
        assert list(study.tasks) == ["a", "b", "c"]
        tasks = {name: make_task(name) for name in study.tasks}
        (family,) = _families(keep, study, tasks, {"after": "1", "before": "2"})
        assert [branch.mitigated and branch.mitigated.keep for branch in family.branches] == [priced]
