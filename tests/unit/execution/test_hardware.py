"""What a node ran on is noted with it, and a worker's node with the part of the machine that it was given."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.execution.cluster_spec import read_cluster
from chaintune.execution.compute import JobRunner, StageInputs
from chaintune.execution.events import Progress
from chaintune.execution.hardware import ANY_GPU, Hardware, hardware_of, this_hardware
from chaintune.execution.requests import ResourceRequest
from chaintune.plan.nodes import StageNode
from chaintune.store.folder import FolderStore
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task


class NotingEngine(DummyEngine):
    """Says that it trained on all of a machine."""

    def __init__(self, folder: Path, device: str) -> None:
        super().__init__(folder)
        self.device = device

    def tune(
        self, *, node: StageNode, inputs: StageInputs, out: Path, report: Callable[[Progress], None]
    ) -> dict[str, Any]:
        notes = super().tune(node=node, inputs=inputs, out=out, report=report)
        return notes | Hardware(self.device, 64).note()


@pytest.mark.parametrize(("device", "units"), [("cpu", 3.0), ("NVIDIA H100", 0.5)])
def test_of_a_worker_the_part_of_the_machine_is_noted(device: str, units: float, tmp_path: Path) -> None:
    plan = make_plan(make_study("ab", recipe={"cpus": 3, "gpus": 0.5}))
    store = FolderStore(tmp_path / "store")
    tasks = {name: make_task(name) for name in "ab"}
    engine = NotingEngine(tmp_path, device)
    runner = JobRunner.of(plan, engine=engine, store=store, tasks=tasks, transient_keys=frozenset())
    runner = replace(runner, request=ResourceRequest(cpus=3, gpus=0.5))
    (stage, *_) = plan.stages
    assert [result.kind for result in runner.run(stage, on_start=ignore, report=ignore)] == ["made"]
    entry = store.get("stage", stage.key)
    assert entry is not None
    assert hardware_of(entry.info) == Hardware(device, units)
    score = next(node for node in plan.scores if node.checkpoint_key == stage.key)
    runner.run(score, on_start=ignore, report=ignore)  # this engine notes nothing with scores
    scored = store.get("score", score.key)
    assert scored is not None
    assert hardware_of(scored.info) is None


def ignore(_event: object) -> None:
    pass


def test_this_machine_counts_its_threads_or_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaintune.models.precision.default_device", lambda: torch.device("cpu"))
    assert this_hardware() == Hardware("cpu", torch.get_num_threads())
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert this_hardware(2) == Hardware("cpu", 6)
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert this_hardware(2) == Hardware("cpu", 8)
    monkeypatch.setattr("chaintune.models.precision.default_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "NVIDIA H100")
    assert this_hardware(2) == Hardware("NVIDIA H100", 2)


def test_a_cluster_is_of_cores_or_of_gpus_of_any_name() -> None:
    ask = ResourceRequest(cpus=3, gpus=0.5)
    assert read_cluster("16 cpu").hardware_of(ask) == Hardware("cpu", 3)
    assert read_cluster("8 gpu 80GB").hardware_of(ask) == Hardware(ANY_GPU, 0.5)
