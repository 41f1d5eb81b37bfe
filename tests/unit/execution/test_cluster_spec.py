"""Clusters in words, and what does not fit on them."""

import math

import pytest

from chaintune.errors import ConfigError
from chaintune.execution.cluster_spec import check_fits, read_cluster
from chaintune.execution.hardware import Hardware
from chaintune.execution.requests import ResourceRequest, requests_of
from tests.dummy_engine import make_plan, make_study


def test_words_say_what_there_is() -> None:
    eight = read_cluster("8 gpu 80GB")
    assert (eight.machines, eight.units, eight.gpu_bytes, eight.has_gpus) == (1, 8, 80e9, True)
    assert math.isinf(eight.cpus)
    assert str(eight) == "8 GPUs of 80 GB"
    two = read_cluster("2 nodes, 4 GPUs 80 GB, 64 cores 512GiB")
    assert (two.machines, two.units, two.gpu_bytes) == (2, 8, 80e9)
    assert two.free() == [[64, 4, 512 * 2.0**30]] * 2
    assert str(two) == "8 GPUs of 80 GB on 2 nodes"
    cores = read_cluster("16cpu")
    assert (cores.units, cores.has_gpus, str(cores)) == (16, False, "16 cores")
    assert str(read_cluster("1 gpu")) == "1 GPU"


@pytest.mark.parametrize(
    "words", ["", "8", "gpu", "8 gqu", "80GB", "8 gpu 80XB", "0 gpu", "1.5 gpu", "2 node", "8 gpu 4 gpu", "2 node 80GB"]
)
def test_words_that_describe_no_cluster(words: str) -> None:
    with pytest.raises(ConfigError, match="write '8 h100', '8 gpu 80GB'"):
        read_cluster(words)


def test_a_gpu_has_its_name_its_memory_and_its_rate() -> None:
    eight = read_cluster("8 H100s")
    assert (eight.units, eight.gpu_bytes, eight.hardware) == (8, 80e9, Hardware("h100", 1))
    assert str(eight) == "8 H100s of 80 GB"
    assert eight.operations("bf16") == (989e12, "the bf16 rate in the data sheet of H100")
    assert eight.operations("fp32")[0] == 67e12
    assert str(read_cluster("2 node 4 a100 40GB")) == "8 A100s of 40 GB on 2 nodes"
    assert math.isinf(read_cluster("1 a100").gpu_bytes), "it is sold with two"
    measured = read_cluster("8 gpu 80GB 400TFLOPS")
    assert (measured.gpu_bytes, *measured.operations("bf16")) == (80e9, 400e12, "the rate that --cluster names")
    assert math.isnan(read_cluster("8 gpu 80GB").operations("bf16")[0])
    with pytest.raises(ConfigError, match=r"cannot read '8 h10'; .* did you mean 'h100'\? Valid: .*rtx4090"):
        read_cluster("8 h10")


def test_a_gpu_s_own_name_is_one_of_the_table() -> None:
    assert Hardware("NVIDIA H100 80GB HBM3", 1).is_like(Hardware("h100", 8))
    assert Hardware("NVIDIA H100 PCIe", 1).is_like(Hardware("h100pcie", 8))
    assert not Hardware("NVIDIA L40", 1).is_like(Hardware("l4", 1))
    assert Hardware("NVIDIA A100-SXM4-80GB", 1).is_like(Hardware("gpu", 1))


def test_what_is_asked_for_is_counted_in_the_cluster_s_own_unit() -> None:
    gpus, cores = read_cluster("4 gpu"), read_cluster("4 cpu")
    request = ResourceRequest(cpus=3, gpus=0.5)
    assert (gpus.units_of(request), cores.units_of(request)) == (0.5, 3)


def check(words: str, *, weights: int = 10**9, precision: str = "bf16", **recipe: object) -> None:
    plan, cluster = make_plan(make_study("ab", recipe=recipe)), read_cluster(words)
    request_of = requests_of(plan, any_gpu=cluster.has_gpus)
    check_fits(plan, cluster, request_of=request_of, weights={"tiny": weights}, precision=precision)


def test_a_stage_needs_devices_on_one_node() -> None:
    check("8 gpu 80GB", devices=8)
    check("2 node 4 gpu", devices=4)
    with pytest.raises(ConfigError, match=r"no node of 8 GPUs on 2 nodes has what .* asks for, 8 cores, 8 GPUs"):
        check("2 node 4 gpu", devices=8)
    with pytest.raises(ConfigError, match=r"asks for, 1 cores, 0 GPUs, 64 GB of memory"):
        check("16 cpu 32GB", memory_gb=64)


def test_weights_need_memory() -> None:
    check("8 gpu 80GB", weights=5 * 10**9)
    check("8 gpu 80GB", weights=5 * 10**9, precision="fp32")
    check("8 gpu 80GB", weights=10**10, devices=3)
    check("8 gpu 80GB", weights=10**10, method="lora")
    with pytest.raises(ConfigError, match=r"takes 160.0 GB or more for 10,000,000,000 weights .* 80.0 GB on 8 GPUs"):
        check("8 gpu 80GB", weights=10**10)
    with pytest.raises(ConfigError, match=r"takes 200.0 GB or more"):
        check("8 gpu 80GB", weights=10**11, method="lora")
    with pytest.raises(ConfigError, match=r"80.0 GB on 16 cores"):
        check("16 cpu 80GB", weights=10**10)
    check("8 gpu", weights=10**12)  # nobody said how large they are
