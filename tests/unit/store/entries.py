"""An entry that tests of stores make."""

from pathlib import Path
from typing import Any

KEY = "ab12"


class Maker:
    """Writes two files and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> dict[str, Any]:
        self.calls += 1
        (folder / "weights").write_bytes(b"1" * 1000)
        (folder / "sub").mkdir()
        (folder / "sub" / "more").write_bytes(b"2")
        return {"seconds": 1.5}
