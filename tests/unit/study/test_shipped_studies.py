"""Every study file that ships can be read, and planned with data of its shape."""

import copy
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from chaintune.models.adapters import new_adapter
from chaintune.models.peft_config import peft_config
from chaintune.plan.plan import Plan, compile_plan
from chaintune.records import Example, Task
from chaintune.study.study import Study
from tests import tiny
from tests.dummy_engine import make_task

FOLDER = Path(__file__).parents[3] / "studies"
FILES = sorted(FOLDER.glob("*.yaml"))
CATEGORIES = 11


def test_there_are_studies() -> None:
    known = {"smoke", "quickstart", "mitigations", "refusals", "xstest", "keep", "order", "paper", "peft-methods"}
    assert {path.stem for path in FILES} >= known


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
    command = "order" if path.stem == "order" else "run"
    assert f"chaintune {command} studies/{path.name}" in lines[0]
    study, plan = planned(path)
    assert plan.stages
    assert {cell.checkpoint.base for cell in plan.cells} == set(study.bases)


def test_the_quickstart_asks_for_order_groups_and_replay() -> None:
    study, plan = planned(FOLDER / "quickstart.yaml")
    chains = [">".join(node.chain) for node in plan.stages]
    assert chains == ["bbq", "bbq>csqa", "bbq>csqa>bbq@10%", "csqa", "csqa>bbq"]
    assert len((study.tasks["bbq"].only or {})["category"]) == 4


def test_the_mitigations_study_varies_rates_methods_and_seeds() -> None:
    study, plan = planned(FOLDER / "mitigations.yaml")
    families = {(cell.checkpoint.variant, cell.checkpoint.seed) for cell in plan.cells if cell.checkpoint.chain}
    assert len(families) == len(study.variants()) == 3 * 3
    assert len(plan.curvatures) == 9
    assert {cell.checkpoint.labels for cell in plan.cells if cell.curvature_key} == {("bbq",)}
    held = {mitigated.dose_curve for cell in plan.cells for mitigated in cell.mitigates}
    assert held == {"replay", "replay targeted by category", "rehearse", "interpolate"}


def test_the_papers_study_has_both_orders_of_six_pairs_and_two_doses_of_each_loss() -> None:
    _, plan = planned(FOLDER / "paper.yaml")
    by_length = Counter(len(node.chain) for node in plan.stages)
    assert by_length == {1: 5, 2: 12, 3: 12}
    capability = {"arc_easy", "csqa", "csqa2"}
    ends = {cell.checkpoint.labels for cell in plan.cells if cell.final and not cell.mitigates}
    assert ends == {pair for one in ("toxigen", "bbq") for other in capability for pair in ((one, other), (other, one))}
    assert {cell.mitigates[0].chain[-1].label for cell in plan.cells if cell.mitigates} == capability
    measured = {cell.checkpoint.labels: set(cell.measurements) for cell in plan.cells}
    assert measured["toxigen", "csqa"] == {"toxigen", "csqa"}
    assert measured["csqa",] == {"csqa", "toxigen", "bbq"}
    assert len(plan.curvatures) == len(plan.divergences) == 5


@pytest.mark.filterwarnings("ignore:Unsupported layer type")  # PEFT knows no norm of Llama's by its shape
def test_every_method_of_the_comparison_of_methods_is_an_adapter_of_a_model() -> None:
    study, plan = planned(FOLDER / "peft-methods.yaml")
    recipes = [study.recipe_of("csqa", variant) for variant in study.variants() if variant.seed == 0]
    methods = [one.peft.content() for one in recipes if one.peft]
    assert (len(recipes), len(methods)) == (11, 10)
    assert len(plan.stages) == 3 * len(recipes)
    model = tiny.make_model()
    for recipe in recipes:
        if recipe.peft:
            trained = new_adapter(copy.deepcopy(model), peft_config(recipe.peft)).num_parameters(only_trainable=True)
            assert 0 < trained < model.num_parameters()
