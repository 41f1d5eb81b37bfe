"""`ForgettingCallback` where two processes train one model: they share the work and stay in step."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import tiny

PROGRAM = Path(__file__).with_name("callback_program.py")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run_two(folder: Path, kind: str, *, budget: float) -> list[dict[str, Any]]:
    """What each of two processes saw; a deadlock is an error after a quarter of an hour."""
    (folder / "policy.yaml").write_text(f"budgets: [{{task: colours, forgetting: {budget}}}]")
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, str(PROGRAM), str(folder), kind],
            env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        errors = [process.communicate(timeout=900)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], errors
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in "01"]


@pytest.mark.slow
def test_two_processes_share_the_examples_and_stop_together(tmp_path: Path) -> None:
    first, second = run_two(tmp_path, "ddp", budget=-0.9)
    assert (first["wrapped"], first["processes"]) == ("DistributedDataParallel", 2)
    # Stopped by the first look at a budget that nothing keeps, in both.
    assert (first["step"], second["step"]) == (1, 1)
    assert (first["choices"], second["choices"]) == (50, 50)
    assert max(first["off"], second["off"]) < 1e-5
    assert (first["logged"], second["logged"]) == (1, 0)
    assert (tmp_path / "forgetting" / "step-000001" / "colours.parquet").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fsdp2", "fsdp2 lora", "fsdp2 bloom", "fsdp2 bf16", "loaded"])
def test_weights_that_fsdp2_shards_are_scored_in_step_and_not_changed(tmp_path: Path, kind: str) -> None:
    tiny.write_model(tmp_path / "model")
    first, second = run_two(tmp_path, kind, budget=0.99)
    for seen in (first, second):
        assert (seen["processes"], seen["sharded"], seen["step"]) == (2, "DTensor", 3)
        assert seen["wrapped"].startswith("FSDP")
        assert seen["same"]
        assert seen["choices"] == 50
        assert seen["off"] < 1e-5
        assert (seen["kept_step"], seen["kept"]) == (3, True)
    # The work does not divide by two, and yet both ran as many passes.
    assert first["bins"] % 2 == 1
    assert first["passes"] == second["passes"] > 0
    assert (first["logged"], second["logged"]) == (3, 0)
