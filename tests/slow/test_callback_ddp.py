"""`ForgettingCallback` where two processes train one model: each scores its share, and they agree on when to stop."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("watched_program.py")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.slow
def test_two_processes_share_the_examples_and_stop_together(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("budgets: [{task: colours, forgetting: -0.9}]")
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(tmp_path)]
    running = [
        subprocess.Popen(  # noqa: S603 - our own program
            command,
            env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    errors = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in "01")
    assert (first["wrapped"], first["processes"]) == ("DistributedDataParallel", 2)
    # Stopped by the first look at a budget that nothing keeps, in both.
    assert (first["step"], second["step"]) == (1, 1)
    assert (first["choices"], second["choices"]) == (50, 50)
    assert max(first["off"], second["off"]) < 1e-4
    assert (first["logged"], second["logged"]) == (1, 0)
    assert (tmp_path / "forgetting" / "step-000001" / "colours.parquet").exists()
