"""Imports point one way, and the light parts stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "chaintune"
BELOW = {
    "errors": set(),
    "records": {"errors"},
    "stats": {"errors", "records"},
    "forgetting": {"errors", "records", "stats"},
    "tasks": {"errors", "records"},
    "models": {"errors", "records"},
    "scoring": {"errors", "records", "tasks", "models"},
    "tuning": {"errors", "records", "tasks", "models"},
    "landscape": {"errors", "records", "tasks", "models", "tuning"},
    "interop": {"errors", "records", "stats", "forgetting"},
    "gate": {"errors", "records", "stats", "forgetting", "study"},
    "report": {"errors", "records", "stats", "forgetting"},
    "study": {"errors", "records", "stats", "forgetting", "tasks", "models", "scoring", "tuning", "landscape"},
}
# The callback in a Trainer scores the live model and judges it; the rest of its room loads no torch.
WATCHING = {"callback", "live", "sharding", "step_scores"}
ALSO = {"interop/" + name + ".py": {"tasks", "models", "scoring", "gate"} for name in WATCHING}
TOP = {"cli", "__init__", "__main__", "api", "auditing"}


def room_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("chaintune"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("chaintune.")}
    return found


def test_every_module_imports_only_from_rooms_below() -> None:
    modules = sorted(SOURCE.rglob("*.py"))
    assert len(modules) > 50
    wrong = []
    for path in modules:
        room = room_of(path)
        if room in TOP:
            continue
        name = path.relative_to(SOURCE).as_posix()
        allowed = BELOW[room] | ALSO.get(name, set()) | {room}
        wrong += [f"{name} imports {other}" for other in imported_rooms(path) - allowed]
    assert not wrong


@pytest.mark.parametrize(
    "module",
    ["chaintune", "chaintune.forgetting", "chaintune.cli", "chaintune.tasks", "chaintune.interop", "chaintune.gate"],
)
def test_light_modules_load_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_the_public_door_shows_what_it_names() -> None:
    import chaintune

    assert sorted(chaintune.__all__) == chaintune.__all__
    for name in chaintune.__all__:
        assert getattr(chaintune, name).__doc__, name
