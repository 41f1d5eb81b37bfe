"""A mitigation of two checkpoints that exist already, before anything runs."""

from chaintune.runs.mitigation import _families, mitigation_study
from tests.dummy_engine import make_task


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
