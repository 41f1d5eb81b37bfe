"""The how-to page on tasks: every block is run, and what it prints is what the page says.

The Hub and lm-eval's own tasks are played by doubles with rows of the right shape.
"""

import io
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from chaintune.cli.app import app
from chaintune.study.study import Study
from chaintune.study.task_spec import load_spec
from chaintune.tasks.lm_eval_items import whole_manager
from tests.unit.tasks.hub_server import Hub, serving
from tests.unit.tasks.test_self import toxigen_row, write

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "how-to" / "tasks.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LM_EVAL_TASK = {
    "dataset_path": "json",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_target": "gold",
    "doc_to_choice": "{{choices}}",
    "test_split": "test",
}


def sciq_row(k: int) -> dict[str, Any]:
    wrong = {f"distractor{n}": f"word {k} {n}" for n in (1, 2, 3)}
    return {"question": f"What is {k}?", "correct_answer": f"word {k}", "support": ""} | wrong


def document(k: int) -> dict[str, Any]:
    return {"question": f"What is {k}?", "choices": ["this", "that"], "gold": 0, "topic": f"t{k % 2}", "template": k}


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_lm_eval(folder: Path, name: str, splits: dict[str, range]) -> None:
    folder.mkdir()
    files = {
        split: str(write(folder / f"{split}.jsonl", list(map(document, numbers)))) for split, numbers in splits.items()
    }
    config = LM_EVAL_TASK | {"task": name, "dataset_kwargs": {"data_files": files}}
    config |= {"training_split": "train", "fewshot_split": "train"} if "train" in splits else {}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture
def blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    import datasets
    from huggingface_hub import constants
    from lm_eval.tasks import manager

    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    weather = next(text for language, text in found if language == "jsonl").encode()
    train, validation = (lines([sciq_row(k) for k in numbers]) for numbers in (range(8), range(8, 12)))
    repos = {
        "allenai/sciq": {"main": {"data/train-0.jsonl": train, "data/validation-0.jsonl": validation}},
        "me/weather": {"main": {"train.jsonl": weather}},
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(manager, "__file__", str(tmp_path / "theirs" / "manager.py"))
    monkeypatch.setenv("CHAINTUNE_DATA", str(tmp_path / "data"))
    write(tmp_path / "data" / "toxigen" / "train.jsonl", [toxigen_row(k) for k in range(52)])
    write_lm_eval(tmp_path / "theirs", "arc_easy", {"train": range(8), "test": range(8, 12)})
    write_lm_eval(tmp_path / "our_tasks", "our_questions", {"test": range(8)})
    with serving(type("DataSets", (Hub,), {"repos": repos})) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        yield found
    whole_manager.cache_clear()


def run_study_part(text: str) -> None:
    """The tasks load with the sizes that stand there, and the study that holds them is a study."""
    written = yaml.safe_load(text)["tasks"]
    taught = [name for name, keys in written.items() if keys["train"] != "none"]
    study = Study.from_mapping({"base": "m", "tasks": written, "chains": [taught]})
    for name, spec in study.tasks.items():
        task = load_spec(name, spec, trust_remote_code=True)
        assert (len(task.train) or "none", len(task.test) or "none") == (spec.train, spec.test)


def run_command(line: str) -> None:
    program, *arguments = line.split()
    assert program == "chaintune"
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0


def test_the_blocks_of_the_page_run_and_print_what_it_says(blocks: list[tuple[str, str]]) -> None:
    names: dict[str, Any] = {}
    ran = {"bash": 0, "jsonl": 0, "yaml": 0, "python": 0, "text": 0}
    printed = ""
    for language, text in blocks:
        ran[language] += 1
        if language == "bash":
            run_command(text)
        elif language == "yaml":
            run_study_part(text)
        elif language == "python":
            with redirect_stdout(io.StringIO()) as output:
                exec(compile(text, str(PAGE), "exec"), names)  # noqa: S102 - the page is ours
            printed = output.getvalue()
        elif language == "text":
            assert printed == text
    assert ran == {"bash": 2, "jsonl": 1, "yaml": 4, "python": 2, "text": 2}


def test_the_table_names_every_known_task_with_its_role_and_dimensions() -> None:
    from chaintune.tasks.registry import TASKS, definition

    rows = re.findall(r"^\| (`.*?) \| (\w+) \| .*? \| (.*?)\| (.*?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    told = {name: (role, dimensions, licence) for names, role, dimensions, licence in rows for name in ticked(names)}
    assert set(told) == set(TASKS.shipped)
    for name, (role, dimensions, licence) in told.items():
        known = definition(name)
        assert (known.role, known.dimensions) == (role, tuple(ticked(dimensions)))
        assert known.licence.startswith(licence)


def test_every_page_that_is_linked_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)", PAGE.read_text(encoding="utf-8"))
    assert len(links) >= 3
    assert all((PAGE.parent / link).is_file() for link in links)


def ticked(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)
