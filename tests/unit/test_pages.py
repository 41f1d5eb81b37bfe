"""Every code block and every command of the documentation: run in some test, or named here with the reason why not."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import typer
import yaml
from typer.core import TyperGroup

from chaintune.cli.app import app
from chaintune.plan.plan import compile_plan
from chaintune.records import Example, Task
from chaintune.study.study import Study
from tests.dummy_engine import make_plan, make_study, make_task

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

# Page -> the test that runs its blocks.
RUN_BY = {
    "README.md": "tests/integration/test_pages.py",
    "docs/explanation/curvature.md": "tests/unit/test_pages.py",
    "docs/how-to/adapters.md": "tests/unit/tuning/test_adapters_page.py",
    "docs/how-to/audit.md": "tests/integration/test_audit_page.py",
    "docs/how-to/before-after.md": "tests/integration/test_chat_pages.py",
    "docs/how-to/callback.md": "tests/unit/callback/test_callback_page.py",
    "docs/how-to/card.md": "tests/unit/cli/test_card_page.py",
    "docs/how-to/chat.md": "tests/integration/test_chat_pages.py",
    "docs/how-to/cluster.md": "tests/unit/execution/test_cluster_page.py",
    "docs/how-to/compare.md": "tests/unit/cli/test_pages.py",
    "docs/how-to/devices.md": "tests/unit/execution/test_processes.py",
    "docs/how-to/external.md": "tests/integration/test_external_page.py",
    "docs/how-to/dpo.md": "tests/integration/test_chat_pages.py",
    "docs/how-to/full-or-lora.md": "tests/integration/test_pages.py",
    "docs/how-to/gate.md": "tests/unit/gate/test_page.py",
    "docs/how-to/judges.md": "tests/integration/test_judges.py",
    "docs/how-to/logs.md": "tests/unit/cli/test_pages.py",
    "docs/how-to/memory.md": "tests/unit/tuning/test_memory_page.py",
    "docs/how-to/mitigations.md": "tests/unit/tuning/mitigations/test_page.py",
    "docs/how-to/models.md": "tests/integration/test_handed_on.py",
    "docs/how-to/objectives.md": "tests/integration/test_objective_entry_point.py",
    "docs/how-to/order.md": "tests/integration/test_order.py",
    "docs/how-to/own-data.md": "tests/unit/tasks/test_own_data_page.py",
    "docs/how-to/quantised.md": "tests/integration/test_quantised.py",
    "docs/how-to/refusals.md": "tests/integration/test_refusals_page.py",
    "docs/how-to/served.md": "tests/integration/test_served.py",
    "docs/how-to/report.md": "tests/integration/test_pages.py",
    "docs/how-to/scorers.md": "tests/unit/scoring/scorers/test_page.py",
    "docs/how-to/serve.md": "tests/integration/test_serve.py",
    "docs/how-to/store.md": "tests/integration/test_store_page.py",
    "docs/how-to/tasks.md": "tests/unit/tasks/test_tasks_page.py",
    "docs/tutorial/quickstart.md": "tests/integration/test_pages.py",
}
# Blocks, by their first line, that no test runs.
NOT_RUN = {
    "README.md": {
        "$ make demo    # installs into .venv, then runs studies/quickstart.yaml": (
            "installs packages and trains for long; the study is planned in a test"
        ),
        "src/chaintune/": "a drawing of the tree",
    },
    "docs/how-to/mitigations.md": {
        "chaintune mitigate models/after --before models/before --forgotten bbq --keep csqa --dose 0.01,0.05,0.1 \\": (
            "needs two models that differ; the command is parsed here and run on other models in test_mitigate.py"
        ),
        "import chaintune": "the same in Python; its parameters are checked",
    },
    "docs/tutorial/quickstart.md": {"$ make demo": "as in the README"},
}


def blocks(page: str) -> list[tuple[str, str]]:
    return BLOCK.findall(PAGES[page])


def first_line(text: str) -> str:
    return text.split("\n", maxsplit=1)[0]


def test_every_page_with_code_names_the_test_that_runs_it() -> None:
    with_code = {page for page in PAGES if blocks(page)}
    assert with_code == set(RUN_BY), "write a test that runs the page's blocks, and name it in RUN_BY"
    for page, test in RUN_BY.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8"), page


def test_what_no_test_runs_is_there_and_has_a_reason() -> None:
    for page, reasons in NOT_RUN.items():
        assert set(reasons) <= {first_line(text) for _, text in blocks(page)}, page
        assert all(reasons.values())


def written_commands() -> list[tuple[str, str]]:
    """Page and command of every line that begins with `chaintune` in a block of commands."""
    found = []
    for page in PAGES:
        for language, text in blocks(page):
            if language in {"console", "bash"}:
                lines = text.replace("\\\n", " ").splitlines()
                found += [(page, line.removeprefix("$ ")) for line in lines if line.startswith(("chaintune", "$ cha"))]
    return found


@pytest.mark.parametrize(("page", "command"), written_commands())
def test_every_command_is_understood_by_its_own_parser(page: str, command: str) -> None:
    _, name, *arguments = shlex.split(command, comments=True)
    with COMMANDS[name].make_context(name, arguments) as context:
        assert context.command is COMMANDS[name]


def test_every_command_in_a_sentence_has_options_that_exist() -> None:
    seen = 0
    for page, text in PAGES.items():
        for span in re.findall(r"(?<!`)`chaintune ([a-z]+[^`]*)`(?!`)", BLOCK.sub("", text)):
            name, *words = span.split()
            command = COMMANDS.get(name)
            while words and isinstance(command, TyperGroup):  # `store gc`
                command = command.commands.get(words.pop(0))
            assert command is not None, f"{page}: chaintune {span}"
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            known |= {option for parameter in command.params for option in parameter.secondary_opts}
            named = {re.split(r"[=|\])]", word.lstrip("["))[0] for word in words if word.lstrip("[").startswith("--")}
            assert named <= known, f"{page}: chaintune {span}"
            seen += 1
    assert seen > 8


def with_religion(task: Task) -> Task:
    def of(number: int, example: Example) -> Example:
        return replace(example, groups={"religion": (f"r{number % 4}",)})

    return replace(task, train=tuple(of(i, e) for i, e in enumerate(task.train)), dimensions=("religion",))


def test_the_study_of_the_readme_plans(tmp_path: Path) -> None:
    """Whose own file it is, nobody knows; its data are made up here."""
    (text,) = [text for language, text in blocks("README.md") if language == "yaml"]
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "items.jsonl").write_text("")
    study = Study.from_yaml(tmp_path / "study.yaml")
    tasks = {name: with_religion(make_task(name, train=int(str(spec.train)))) for name, spec in study.tasks.items()}
    plan = compile_plan(study, base_keys=dict.fromkeys(study.bases, "0" * 64), tasks=tasks, precision="fp32")
    # Three seeds and two rates: two chains of two stages, and two doses of what was lost.
    assert len(plan.stages) == 6 * (4 + 2)


def test_the_sections_on_curvature_and_divergence_plan_too() -> None:
    curvature, divergence = (yaml.safe_load(text) for _, text in blocks("docs/explanation/curvature.md"))
    curvature["curvature"] |= {"examples": 8, "batches": 2}
    plan = make_plan(make_study("ab", **curvature, **divergence))
    assert plan.curvatures
    assert plan.divergences
