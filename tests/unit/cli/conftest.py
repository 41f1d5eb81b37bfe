"""What several commands are tested on."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def sides(tmp_path: Path) -> tuple[str, str]:
    """Two tables: 40 examples in 2 groups, 14 of them forgotten."""
    paths = (tmp_path / "before.jsonl", tmp_path / "after.jsonl")
    for path, right in zip(paths, ([1] * 40, [int(i % 3 > 0) for i in range(40)]), strict=True):
        rows = [{"id": i, "score": score, "faith": "ab"[i % 2]} for i, score in enumerate(right)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(paths[0]), str(paths[1])
