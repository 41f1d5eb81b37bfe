"""What a stage trains on where a checkpoint's own answers stand in the place of the data's."""

from dataclasses import replace
from pathlib import Path

import pytest

from chaintune.execution.compute import StageInputs
from chaintune.execution.stage_data import stage_data_of
from chaintune.plan.nodes import MEASUREMENT_FILE
from chaintune.records import GeneratedText, Reference, generation_measurement
from tests.dummy_engine import make_plan, make_study, make_task


def test_a_dose_of_more_answers_than_are_taken_has_all_of_them_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = {name: make_task(name) for name in "ab"}
    asked = tuple(replace(one, target=Reference(" yes")) for one in tasks["a"].train)
    tasks["a"] = replace(tasks["a"], train=asked)
    item = {"self_replay": {"task": "a", "dose": [0.25, 0.5, 1]}}
    plan = make_plan(make_study("ab", chains=[["a", "b"]], mitigations=[item]), tasks)
    ended = [GeneratedText(" red", "stop", 1) if place < 3 else GeneratedText(" r", "length", 1) for place in range(8)]
    generation_measurement(asked, [[text] for text in ended]).write(tmp_path / MEASUREMENT_FILE)
    found = []
    for node in plan.stages[2:]:
        caplog.clear()
        data = stage_data_of(node, StageInputs({}, tasks, dict.fromkeys(node.measurements, tmp_path)))
        own = data.notes["own_answers"]
        found.append((len(data.examples), own["wanted"], own["taken"], [record.message for record in caplog.records]))
    few = "task 'a': {} own answers are wanted, and of 8 prompts 3 have one that is taken; the stage has these"
    assert found == [(2, 2, 3, []), (3, 4, 3, [few.format(4)]), (3, 8, 3, [few.format(8)])]
