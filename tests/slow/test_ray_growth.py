"""A study on a Ray cluster that has no machine at first, and an autoscaler that starts some when they are asked for."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import ConfigError
from chaintune.execution.ray.connection import connected
from chaintune.store.folder import FolderStore
from tests.slow.test_ray import PLAN, PROGRAM

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="Ray's autoscaler does not run there")]

MOST = 2
SECONDS = 240


def described(address: str) -> dict[str, Any]:
    """A cluster of Ray's own test provider, whose machines are processes of this one."""
    worker = {"resources": {"CPU": 1, "object_store_memory": 80_000_000}, "node_config": {}, "max_workers": MOST}
    empty = ("file_mounts", "auth", "docker", "available_instances")
    none = ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands", "setup_commands")
    more = ("head_setup_commands", "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
    return {
        "cluster_name": "growing",
        "max_workers": MOST,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "provider": {"type": "fake_multinode", "gcs_address": address},
        "available_node_types": {
            "head": {"resources": {}, "node_config": {}, "max_workers": 0},
            "worker": {**worker, "min_workers": 0},
        },
        "head_node_type": "head",
        "file_mounts_sync_continuously": False,
        **{name: {} for name in empty},
        **{name: [] for name in (*none, *more)},
    }


@pytest.fixture
def growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a cluster whose head computes nothing."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with socket.socket() as free:
        free.bind(("", 0))
        address = f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"
    config = tmp_path / "cluster.json"
    config.write_text(json.dumps(described(address)))
    start = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=0"]
    more = [f"--port={address.split(':')[1]}", f"--autoscaling-config={config}", "--include-dashboard=false"]
    # A folder of its own, or whoever starts Ray here without an address would look for this cluster.
    own = tempfile.mkdtemp(prefix="ray-")
    environment = os.environ | {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with (tmp_path / "head.log").open("w") as log:
        head = subprocess.Popen(  # noqa: S603 - Ray's own program
            [*start, *more, "--object-store-memory=80000000", f"--temp-dir={own}"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for(address)
            yield address
        finally:
            os.killpg(head.pid, signal.SIGTERM)
            try:
                head.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(head.pid, signal.SIGKILL)
            shutil.rmtree(own, ignore_errors=True)


def wait_for(address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with connected(address):
                return
        except ConfigError:
            time.sleep(1)
    raise AssertionError(f"no cluster at {address} within a minute")


def alive() -> int:
    return sum(bool(node["Alive"]) for node in ray.nodes()) - 1  # the head


def test_machines_come_while_there_is_work_for_them(growing: str, tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), str(tmp_path), str(tmp_path / "store"), growing, str(SECONDS)]
    most = 0
    with connected(growing):
        assert alive() == 0
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as driver:  # noqa: S603 - our own file
            while driver.poll() is None:
                most = max(most, alive())
                time.sleep(0.5)
            assert driver.stderr is not None
            assert driver.returncode == 0, driver.stderr.read()
        assert most == MOST
        assert {node.key for node in PLAN.nodes} <= {
            key for kind in ("stage", "score") for key in FolderStore(tmp_path / "store").keys(kind)
        }
        # Nothing asks for machines any more; to let them go is the autoscaler's business.
        wishes = [group["state"] for group in ray.util.placement_group_table().values()]
        assert wishes
        assert set(wishes) == {"REMOVED"}


def test_without_the_wish_the_cluster_is_taken_as_it_is(growing: str, tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), str(tmp_path), str(tmp_path / "store"), growing]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own file
    assert "asks for 1 cores, 0 GPUs, and no machine of the cluster has that" in done.stderr
