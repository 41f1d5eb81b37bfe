"""The notebook of the tutorial (csv-to-figure.ipynb): every cell, in one namespace, and what its last line shows."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial" / "csv-to-figure.ipynb"


def shown(source: str, names: dict[str, Any]) -> Any:
    """What a notebook shows of a cell: the value of its last line, where that is one."""
    tree = ast.parse(source, str(NOTEBOOK))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)  # noqa: S102 - the notebook is ours
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)  # noqa: S307 - as well


def test_every_cell_of_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)
    names: dict[str, Any] = {}
    values = [shown("".join(cell["source"]), names) for cell in cells]
    # The line on which a checkpoint was read.
    assert "True LlamaForCausalLM 40" in capsys.readouterr().out
    assert "Forgetting in the study balls-and-boxes" in values[3]._repr_html_()
    assert values[4].name.startswith("biased-forgetting-balls")
    assert values[4]._repr_svg_()
    assert len(values[6].comparisons) == 2
    assert values[7].height > 2
    assert Path("who-forgot.png").is_file()
    assert Path("report.html").is_file()
