"""Imports point one way, file by file, and the light parts stay light."""

import ast
import subprocess
import sys
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "chaintune"
# From the lowest to the highest; a file imports from its own room and from those before it.
ROOMS = (
    "errors",
    "arguments",
    "shown",
    "hf",
    "registry",
    "records",
    "files",
    "config",
    "stats",
    "forgetting",
    "tasks",
    "models",
    "scoring",
    "tuning",
    "hessian",
    "store",
    "study",
    "plan",
    "execution",
    "logs",
    "results",
    "runs",
    "gate",
    "callback",
    "report",
    "finished",
    "export",
    "auditing",
    "series",
    "rescoring",
    "api",
    "__init__",
    "cli",
    "__main__",
)


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module; a package is its `__init__.py`."""
    paths = {path.relative_to(SOURCE.parent).with_suffix(""): path for path in SOURCE.rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in paths.items()}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of this package that a file imports anywhere, in functions and for types too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in known else node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names & known.keys()


def test_imports_point_one_way_at_the_level_of_files() -> None:
    known = modules()
    assert len(known) > 50
    graph = {name: imports_of(path, known) - {name} for name, path in known.items()}
    rank = {room: place for place, room in enumerate(ROOMS)}
    assert {room_of(name) for name in known} <= rank.keys()
    upward = [
        f"{name} imports {other}"
        for name in graph
        for other in graph[name]
        if rank[room_of(other)] > rank[room_of(name)]
    ]
    assert not upward
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


TRAINS = ("torch", "transformers")
DRAWS = ("altair", "vl_convert", "polars", "rich")
COUNTS = ("scipy", "chaintune.stats", "chaintune.forgetting")
READS = ("pyarrow", "numpy", "pydantic", "yaml")


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("chaintune, chaintune.forgetting, chaintune.tasks, chaintune.logs, chaintune.gate", TRAINS),
        ("chaintune.cli, chaintune.execution.status", (*TRAINS, *DRAWS, *COUNTS, *READS)),
        ("chaintune.study.study", (*TRAINS, *DRAWS, *COUNTS)),
        ("chaintune.tasks", (*TRAINS, *DRAWS, *COUNTS, "yaml")),
        ("chaintune.cli.display", (*TRAINS, *COUNTS, "altair", "vl_convert", "polars", "yaml")),
    ],
)
def test_a_door_loads_no_more_than_it_needs(modules: str, absent: Sequence[str]) -> None:
    code = f"import sys, {modules}; print(*({set(absent)} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"  # noqa: S603


def test_the_public_door_shows_what_it_names() -> None:
    import chaintune

    assert sorted(chaintune.__all__) == chaintune.__all__
    for name in chaintune.__all__:
        assert getattr(chaintune, name).__doc__, name
