"""Every study file that ships can be read, and planned with data of its shape."""

from dataclasses import replace
from pathlib import Path

import pytest

from chaintune.plan.plan import Plan, compile_plan
from chaintune.records import Example, Task
from chaintune.study.study import Study
from tests.dummy_engine import make_task

FOLDER = Path(__file__).parents[3] / "studies"
FILES = sorted(FOLDER.glob("*.yaml"))
CATEGORIES = 11


def test_there_are_studies() -> None:
    assert {path.stem for path in FILES} >= {"smoke", "quickstart", "mitigations", "refusals", "xstest", "keep"}


def like(name: str, size: object) -> Task:
    """A task with groups in a dimension `category`, as large as the study asks for."""
    # Of a file of one's own all, of which the study says no number.
    number = {"none": 0, "all": 40}.get(word := str(size or "all").split()[0])
    count = (int(word) if number is None else number) * (CATEGORIES if "per" in str(size) else 1)
    task = make_task(name, train=count, test=8)

    def grouped(row: int, example: Example) -> Example:
        return replace(example, groups={"category": (str(row % CATEGORIES),), "context": ("ambig",)})

    train = tuple(grouped(row, example) for row, example in enumerate(task.train))
    return replace(task, train=train, dimensions=("category", "context"))


def planned(path: Path) -> tuple[Study, Plan]:
    study = Study.from_yaml(path)
    tasks = {name: like(name, spec.train) for name, spec in study.tasks.items()}
    keys = {base: str(number) * 64 for number, base in enumerate(study.bases)}
    return study, compile_plan(study, base_keys=keys, tasks=tasks, precision="bf16")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_study_opens_with_its_command_and_plans(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert f"chaintune run studies/{path.name}" in lines[0]
    study, plan = planned(path)
    assert plan.stages
    assert {cell.checkpoint.base for cell in plan.cells} == set(study.bases)


def test_the_quickstart_has_a_dose_curve_of_two_points() -> None:
    _, plan = planned(FOLDER / "quickstart.yaml")
    chains = [">".join(node.chain) for node in plan.stages]
    assert chains == ["bbq", "bbq>csqa", "bbq>csqa>bbq@5%", "bbq>csqa>bbq@10%", "csqa", "csqa>bbq"]


def test_the_mitigations_study_varies_rates_methods_and_seeds() -> None:
    study, plan = planned(FOLDER / "mitigations.yaml")
    families = {(cell.checkpoint.variant, cell.checkpoint.seed) for cell in plan.cells}
    assert len(families) == len(study.variants()) == 3 * 3
    assert len(plan.curvatures) == 9
    assert {cell.checkpoint.labels for cell in plan.cells if cell.curvature_key} == {("bbq",)}
    held = {mitigated.dose_curve for cell in plan.cells for mitigated in cell.mitigates}
    assert held == {"replay", "replay targeted by category", "rehearse", "interpolate"}
