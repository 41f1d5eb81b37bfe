"""The how-to page on mitigations: its study section is one that plans, its Python runs on a plain Trainer."""

import ast
import re
from pathlib import Path
from typing import Any

import yaml

from chaintune.tuning.mitigations import MITIGATIONS
from tests import tiny
from tests.dummy_engine import make_plan, make_study
from tests.unit.tuning.mitigations.plain_trainer import Texts, arguments

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "mitigations.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def test_the_page_has_the_blocks_that_are_tested() -> None:
    assert [language for language, _ in BLOCKS] == ["yaml", "console", "python", "python", "python", "toml"]


def test_the_study_section_plans_every_mitigation() -> None:
    text = BLOCKS[0][1].replace("bbq", "a").replace("category", "side").replace("0.01, 0.05", "0.25, 0.5")
    text = text.replace("0.05]", "0.125]").replace("[0.10]", "[0.375]").replace("0.10]", "1]")
    study = make_study("ab", chains=[["a", "b"]], **yaml.safe_load(text))
    plan = make_plan(study)
    assert {item.kind for item in study.mitigations} == set(MITIGATIONS.shipped)
    branches = sum(len(item.spec.settings) for item in study.mitigations)
    assert sum(bool(cell.mitigates) for cell in plan.cells) == branches == 26


def test_the_python_for_your_own_trainer_runs(tmp_path: Path) -> None:
    rows, earlier = Texts(8, "box"), Texts(4, "ball")
    names: dict[str, Any] = {
        "model": tiny.make_model(),
        "other_model": tiny.make_model(),
        "before": tiny.make_model(seed=1),
        "base": tiny.make_model(seed=2),
        "args": arguments(tmp_path, max_steps=1),
        "rows": rows,
        "earlier": earlier.one_by_one(),
        "tokenizer": tiny.make_tokenizer(),
        "prompts": tiny.numbered(tiny.examples(8)),
        "dose": [0, 1],
        "mixed": [*rows.rows, *earlier.rows[:2]],
    }
    exec(compile(BLOCKS[3][1], str(PAGE), "exec"), names)  # noqa: S102 - the page is ours
    names["trainer"].train()
    made = {name for name in names if name in ("Sharp", "Rehearsing", "wrapped", "EWC", "L2SP", "EMA", "own_dose")}
    assert len(made) == 7
    assert len(names["own_dose"]) == 4


def test_the_python_of_mitigate_names_parameters_that_exist() -> None:
    import inspect

    import chaintune

    (call,) = [
        node
        for node in ast.walk(ast.parse(BLOCKS[2][1]))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "mitigate"
    ]
    known = inspect.signature(chaintune.mitigate).parameters
    assert {keyword.arg for keyword in call.keywords} <= set(known)
