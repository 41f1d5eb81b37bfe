"""The how-to page on a user's own data: every block is run, and what it prints is what the page says."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from chaintune import tasks
from chaintune.cli.app import app

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "own-data.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_blocks_of_the_page_run_and_print_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    ran = {"jsonl": 0, "yaml": 0, "python": 0, "text": 0, "bash": 0}
    Path("items.jsonl").write_text(next(text for language, text in blocks if language == "jsonl"), encoding="utf-8")
    printed = ""
    for language, text in blocks:
        ran[language] += 1
        if language == "jsonl":
            assert Path("items.jsonl").read_text(encoding="utf-8") == text
        elif language == "bash":
            assert CliRunner().invoke(app, text.split()[1:], catch_exceptions=False).exit_code == 0
            own = yaml.safe_load(Path("items.yaml").read_text(encoding="utf-8"))["tasks"]["items"]
            assert own == {"role": "capability", "path": "items.jsonl", "train": "all", "test": "all"}, (
                "eight rows show no groups"
            )
        elif language == "yaml":
            for name, options in yaml.safe_load(text)["tasks"].items():
                task = tasks.load(name, **options)
                assert (len(task.train), task.dimensions) == (4, ("religion",))
        elif language == "python":
            with redirect_stdout(io.StringIO()) as output:
                exec(compile(text, str(PAGE), "exec"), names)  # noqa: S102 - the page is ours
            printed = output.getvalue()
        else:
            assert printed == text
    assert ran == {"jsonl": 1, "yaml": 1, "python": 4, "text": 4, "bash": 1}
