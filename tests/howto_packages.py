"""Packages that the how-to pages show, for tests that install them."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def shown(page: str, holding: str) -> str:
    """The one Python block of a how-to page that holds a word."""
    blocks: list[str] = re.findall(
        r"^```python\n(.*?)^```$", (DOCS / "how-to" / page).read_text(encoding="utf-8"), re.M | re.S
    )
    (block,) = (text for text in blocks if holding in text)
    return block


CONTRAST = ("chaintune.objectives: contrast = contrasting:OBJECTIVE", shown("objectives.md", "OBJECTIVE = "))
SLOW = ("chaintune.mitigations: slow = slowing:MITIGATION", shown("mitigations.md", "MITIGATION = "))
