"""A package that is installed while a test runs, and what it offers."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def install(folder: Path, patch: pytest.MonkeyPatch, entry: str, source: str) -> None:
    """Make a package importable that offers one object.

    Args:
        folder: where it lies.
        patch: takes it away at the end of the test.
        entry: group and entry point, as in `chaintune.objectives: contrast = contrasting:OBJECTIVE`.
        source: of the module that the entry point names.
    """
    group, _, point = entry.partition(": ")
    module = re.split(r" = |:", point)[1]
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{point}\n")
    (folder / f"{module}.py").write_text(source)
    patch.syspath_prepend(folder)


def shown(page: str, holding: str) -> str:
    """The one Python block of a how-to page that holds a word."""
    blocks: list[str] = re.findall(
        r"^```python\n(.*?)^```$", (DOCS / "how-to" / page).read_text(encoding="utf-8"), re.M | re.S
    )
    (block,) = (text for text in blocks if holding in text)
    return block


CONTRAST = ("chaintune.objectives: contrast = contrasting:OBJECTIVE", shown("objectives.md", "OBJECTIVE = "))
SLOW = ("chaintune.mitigations: slow = slowing:MITIGATION", shown("mitigations.md", "MITIGATION = "))
