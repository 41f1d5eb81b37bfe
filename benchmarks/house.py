"""Figures of a checkout's code: size, rooms, imports, functions, names.

    python benchmarks/house.py [CHECKOUT] [--json] [--collect]    # e.g. another worktree; default: this one

Nothing of the checkout is imported or run, except with `--collect`, which asks pytest for the number of tests. Imports
are counted between files and wherever they stand: at the top, inside functions, under `TYPE_CHECKING`. Module names in
strings are not seen, and a package's `__init__` counts only for the names that are taken from it. A circle is a set of
files, or of folders, that reach each other. An import points upward by the order of rooms in this checkout's import
test. A function is as long as its lines from `def` on, the docstring apart. Participles are counted where they are a
whole name, in f-strings too, which `tokenize` sees from Python 3.12 on only.

Measured elsewhere: seconds by `time make test`, coverage by `pytest --cov=chaintune --cov-branch` of pytest-cov.
"""

import argparse
import ast
import json
import os
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

IMPORT_TEST = Path(__file__).parents[1] / "tests" / "unit" / "test_imports.py"
# Rooms of the first edition, in the place of those that follow them.
FORMER = {"landscape": "hessian", "interop": "logs"}
PARTICIPLES = ("found", "told", "given", "wanted", "asked", "held", "said")
Graph = Mapping[str, set[str]]


def python_files(folder: Path) -> dict[str, str]:
    """Path relative to the folder -> text of each Python file."""
    paths = sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def room_of(file: str) -> str:
    """The folder right under the package, or the module that stands there."""
    return file.split("/")[0].removesuffix(".py")


def import_graph(trees: Mapping[str, ast.Module], package: str) -> dict[str, set[str]]:
    """File -> the files of the package that it imports."""
    files = {module_name(file, package): file for file in trees}
    graph = {}
    for file, tree in trees.items():
        modules = (module for node in ast.walk(tree) for module in imported_modules(node, file, package, files))
        graph[file] = {files[module] for module in modules if module in files} - {file}
    return graph


def module_name(file: str, package: str) -> str:
    """Dotted name of the module in a file."""
    return ".".join([package, *file.removesuffix(".py").split("/")]).removesuffix(".__init__")


def imported_modules(node: ast.AST, file: str, package: str, files: Mapping[str, str]) -> Iterator[str]:
    """Dotted names of the modules that a statement imports; for `from a import b`, `a.b` where that is a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = [package, *file.split("/")][: -node.level]
            base = ".".join([*above, *filter(None, [node.module])])
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in files else base


def circles(graph: Graph) -> list[list[str]]:
    """Sets of more than one node that reach each other, the largest first."""
    reach = {node: reachable(node, graph) for node in graph}
    sets = {frozenset(other for other in reach[node] if node in reach[other]) for node in graph if node in reach[node]}
    return sorted((sorted(one) for one in sets if len(one) > 1), key=lambda one: (-len(one), one))


def reachable(start: str, graph: Graph) -> set[str]:
    """Every node on a way from a node, itself only if it lies on a circle."""
    seen: set[str] = set()
    ahead = list(graph.get(start, ()))
    while ahead:
        node = ahead.pop()
        if node not in seen:
            seen.add(node)
            ahead += graph.get(node, ())
    return seen


def folder_graph(graph: Graph) -> dict[str, set[str]]:
    """The same between folders; a module right under the package is a node of its own."""
    folders = {file: file.rpartition("/")[0] or room_of(file) for file in graph}
    merged: dict[str, set[str]] = {folder: set() for folder in folders.values()}
    for file, others in graph.items():
        merged[folders[file]] |= {folders[other] for other in others} - {folders[file]}
    return merged


def room_order() -> dict[str, int]:
    """Room -> its place, the lowest first, as the import test of this checkout has it."""
    tree = ast.parse(IMPORT_TEST.read_text(encoding="utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    (rooms,) = (node.value for node in assigned if ast.unparse(node.targets[0]) == "ROOMS")
    order = {room: place for place, room in enumerate(ast.literal_eval(rooms))}
    return order | {former: order[room] for former, room in FORMER.items()}


def upward_imports(graph: Graph, floor: Mapping[str, int]) -> list[str]:
    """`FILE imports FILE` where the second one's room lies higher; rooms without a floor are left out."""
    pairs = [(file, other) for file in graph for other in sorted(graph[file])]
    placed = [pair for pair in pairs if all(room_of(one) in floor for one in pair)]
    return [f"{one} imports {other}" for one, other in placed if floor[room_of(other)] > floor[room_of(one)]]


def lines_of(node: ast.stmt) -> int:
    """From the first to the last, decorators apart."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def docstring_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """0 where there is none."""
    return 0 if ast.get_docstring(function) is None else lines_of(function.body[0])


def name_counts(nodes: Iterable[ast.AST]) -> Counter[str]:
    """How often each name is defined or used: variables, attributes, parameters, keywords, functions, classes."""
    named = (getattr(node, kind, None) for node in nodes for kind in ("id", "attr", "arg", "name"))
    return Counter(name for name in named if isinstance(name, str))


def collected_tests(checkout: Path) -> str:
    """How many tests `make test` runs, as pytest says it."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "not slow and not browser"]
    environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
    ran = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    count = re.search(r"(\d+)(?:/\d+)? tests collected", ran.stdout)
    return count[1] if count else "unknown"


def figures(checkout: Path) -> dict[str, Any]:
    """Every figure, by its name."""
    sources, tests = python_files(checkout / "src" / "chaintune"), python_files(checkout / "tests")
    trees = {file: ast.parse(text) for file, text in sources.items()}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = [lines_of(node) - docstring_lines(node) for node in functions]
    rooms: Counter[str] = Counter()
    for file, text in sources.items():
        rooms[room_of(file)] += text.count("\n")
    total, (largest, lines) = rooms.total(), rooms.most_common(1)[0]
    graph, floor, names = import_graph(trees, "chaintune"), room_order(), name_counts(nodes)
    of_files, upward = circles(graph), upward_imports(graph, floor)
    tested = [node for text in tests.values() for node in ast.walk(ast.parse(text))]
    return {
        "source lines": total,
        "source files": len(sources),
        "source files under 40 lines": sum(text.count("\n") < 40 for text in sources.values()),
        "largest room": largest,
        "largest room's share": round(lines / total, 3),
        "lines by room": dict(rooms.most_common()),
        "rooms without a floor": sorted(set(rooms) - set(floor)),
        "circles of files": [len(circle) for circle in of_files],
        "files in circles": of_files,
        "circles of folders": circles(folder_graph(graph)),
        "upward imports": len(upward),
        "which imports point upward": upward,
        "test lines": sum(text.count("\n") for text in tests.values()),
        "test functions": sum(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in tested),
        "functions": len(functions),
        "function lines, median": statistics.median(lengths),
        "function lines, 90th percentile": statistics.quantiles(lengths, n=10)[-1],
        "function lines, longest": max(lengths),
        "classes": sum(isinstance(node, ast.ClassDef) for node in nodes),
        "participles as names": {word: names[word] for word in PARTICIPLES},
    }


def main() -> None:
    """Prints the figures of a checkout."""
    parser = argparse.ArgumentParser(description="Figures of a checkout's code.")
    parser.add_argument("checkout", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--json", action="store_true", help="with every list in full")
    parser.add_argument("--collect", action="store_true", help="ask pytest for the number of tests (half a minute)")
    options = parser.parse_args()
    result = figures(options.checkout)
    if options.collect:
        result["tests"] = collected_tests(options.checkout.resolve())
    if options.json:
        print(json.dumps(result, indent=1))
        return
    for name, value in result.items():
        if name not in ("files in circles", "which imports point upward"):
            shown = ", ".join(f"{key} {count}" for key, count in value.items()) if isinstance(value, dict) else value
            print(f"{name:32} {shown}")


if __name__ == "__main__":
    main()
