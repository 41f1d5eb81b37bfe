"""Three mitigations keep most of a task at equal gain in the next one, on five pairs that a model can hold together."""

import json
from pathlib import Path

import pytest

from benchmarks import keeping

pytestmark = pytest.mark.slow


def test_what_keeps_a_third_of_the_loss_at_equal_gain(tmp_path: Path) -> None:
    keeping.main([str(tmp_path), "--seeds", "0", "1", "2", "3", "4"])
    written = json.loads((tmp_path / "keeping.json").read_text(encoding="utf-8"))
    pairs = {int(seed): {name: keeping.End(**end) for name, end in one.items()} for seed, one in written.items()}
    names, *rows = keeping.table(pairs)
    keeps = {row[0] for row in rows if row[names.index("keeps")] == "yes"}
    plain = keeping.PLAIN
    assert {"first+second", f"{plain} with first@20%", f"{plain} with distill 0.3", f"{plain} with l2sp 0.05"} <= keeps
