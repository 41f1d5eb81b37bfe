"""Steps of chains that other programs train, as a study file writes them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from chaintune.errors import ConfigError
from chaintune.study.external import ExternalStage
from chaintune.study.study import Study


def study(*chains: Any, **keys: Any) -> Study:
    tasks = {name: {"role": "safety", "path": f"{name}.jsonl"} for name in "ab"}
    return Study.from_mapping({"base": "m", "tasks": tasks, "chains": list(chains), **keys})


def external(**keys: Any) -> dict[str, Any]:
    return {"external": keys}


def test_a_step_is_named_by_its_task_or_as_it_says() -> None:
    here = str(Path().absolute())
    command = {"command": "make x", "files": ["./x.py", "lib/y.py"]}
    steps = study(
        ["a", external(path="owner/model", task="b")],
        ["a", external(**command, task="b", name="made")],
        [external(path="owner/other")],
    ).external
    assert steps == (
        ExternalStage("b", "b", "owner/model"),
        ExternalStage("made", "b", command="make x", files=("x.py", "lib/y.py"), folder=here),
        ExternalStage("external", path="owner/other"),
    )


def test_paths_start_at_the_file_and_are_written_as_seen_from_the_results(tmp_path: Path) -> None:
    (tmp_path / "sft").mkdir()
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump(
            {
                "base": "m",
                "tasks": {"a": {"role": "safety", "path": "a.jsonl"}},
                "chains": [
                    [external(path="sft", task="a")],
                    [external(command="./x", files="x", folder="scripts", name="made")],
                ],
            }
        ),
        encoding="utf-8",
    )
    read = Study.from_yaml(tmp_path / "study.yaml")
    assert [stage.path or stage.folder for stage in read.external] == [str(tmp_path / "sft"), str(tmp_path / "scripts")]
    written = read.to_mapping(tmp_path / "out")
    assert written["chains"] == [
        [external(path="../sft", task="a", name="a")],
        [external(command="./x", name="made", files=["x"], folder="../scripts")],
    ]
    assert Study.from_mapping(read.to_mapping()).chains == read.chains


CHAINS: dict[str, tuple[Any, str]] = {
    "neither": (
        [external(task="a")],
        "expected either 'path', of a checkpoint that is there, or 'command', got neither",
    ),
    "both": ([external(path="x/y", command="z")], "or 'command', got both"),
    "unknown key": ([external(pth="x/y")], "chains[0][0].external.pth: unknown key 'pth'; did you mean 'path'?"),
    "unknown task": ([external(path="x/y", task="c")], "external.task: no task is named 'c'; valid: "),
    "name": ([external(path="x/y", name="a>b")], "external.name: 'a>b' cannot name a stage"),
    "base": ([external(path="x/y", name="base")], "external.name: 'base' cannot name a stage"),
    "files of a path": ([external(path="x/y", files=["z"])], "external.files: says what a command reads"),
    "above": (
        [external(command="x", files=["../x"])],
        "external.files[0]: '../x' leads outside the folder of the study file; name files below it, or set 'folder'",
    ),
    "in full": ([external(command="x", files=["/etc/passwd"])], "'/etc/passwd' leads outside the folder"),
    "twice": ([external(command="x", files=["y", "y"])], "external.files[1]: 'y' is listed twice"),
    "of a task": (
        [external(path="x/y", task="a", name="b")],
        "two stages would be called 'b'; give the external one a ",
    ),
    "another word": ([{"extern": {}}], "chains[0][0]: expected a task's name, or {external: {path: FOLDER or HUB ID, "),
    "in a row": ([external(path="x/y", task="a")] * 2, "chains[0]: 'a' twice in a row"),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_what_is_wrong_is_told_at_its_place(chain: str) -> None:
    written, sentence = CHAINS[chain]
    with pytest.raises(ConfigError) as caught:
        study(written)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_stages_of_one_name_are_told() -> None:
    with pytest.raises(ConfigError, match="two stages would be called 'a'; give the external one a 'name' of its own"):
        study(["a", "b"], [external(path="x/y", task="a"), "b"])
    assert study(["a", "b"], [external(path="x/y", task="a", name="theirs"), "b"])


PLACES = [
    ({"joint": {"task": "a"}}, [external(path="x/y", task="a"), "b"], False),
    ({"ewc": {"task": "a", "strength": [1]}}, ["a", external(path="x/y", task="b")], False),
    ({"ewc": {"task": "a", "strength": [1]}}, [external(path="x/y", task="a"), "b"], True),
    ({"sam": {"task": "a", "rho": [0.05]}}, [external(path="x/y", task="a"), "b"], False),
    ({"replay": {"task": "a"}}, ["a", external(path="x/y", task="b")], True),
    ({"interpolate": {"task": "a"}}, ["a", external(path="x/y")], True),
]


@pytest.mark.parametrize(("mitigation", "chain", "acts"), PLACES)
def test_a_mitigation_that_acts_while_such_a_stage_trains_is_refused(
    mitigation: dict[str, Any], chain: list[Any], acts: bool
) -> None:
    if acts:
        assert study(chain, mitigations=[mitigation]).mitigations
        return
    (kind,) = mitigation
    with pytest.raises(
        ConfigError, match=rf"mitigations\[0\].{kind}: acts while a stage is trained, and '(a|b)' of a>b is "
    ):
        study(chain, mitigations=[mitigation])
