"""A model that no device holds whole is scored as one that does: two processes on the CPU (gloo), bit for bit."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig

from chaintune.cli import main
from chaintune.errors import ModelError
from chaintune.execution.processes.job import Job
from chaintune.execution.processes.launch import score_on_devices
from chaintune.models import Precision, load, save
from chaintune.models.adapters import new_adapter
from chaintune.records import CHOICE_METRICS, Measurement, Scores, scores_of
from tests import tiny

PROGRAM = Path(__file__).with_name("sharded_program.py")
# The odd number of bins and batches that they make is checked below.
EXAMPLES = tiny.examples(300)


@pytest.fixture(autouse=True)
def _as_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))  # which sums are made depends on it


def write(folder: Path, architecture: str, **changes: Any) -> Path:
    shape = (tiny.ARCHITECTURES | tiny.ALIBI)[architecture] | changes
    tiny.make_model(architecture, **shape).save_pretrained(folder)
    tiny.make_tokenizer().save_pretrained(folder)
    return folder


def write_adapter(folder: Path, weights: Path, **brought: Any) -> Path:
    loaded = load(weights, precision="fp32")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False, **brought)
        loaded.model = new_adapter(loaded.model, config)
    save(loaded, folder)
    return folder


def job(folder: Path, weights: Path, **changes: Any) -> Job:
    scratch = folder / "scratch"
    scratch.mkdir()
    out = folder / "measurement.parquet"
    asked = Job("score", weights, None, "fp32", "balls", EXAMPLES, out, scratch, shard=True, measure_rounding=True)
    return replace(asked, **changes)


def alone(asked: Job) -> Scores:
    loaded = load(asked.weights, adapter=asked.adapter, precision=asked.precision)
    return tiny.score(loaded, asked.examples, task=asked.task, measure_rounding=True, batch_tokens=asked.batch_tokens)


def check(asked: Job, *, devices: int = 2) -> None:
    told: list[int] = []
    assert score_on_devices(asked, devices, told.append) == {"examples": len(asked.examples), "sharded": True}
    measurement = Measurement.read(asked.out)
    both, one = scores_of(asked.task, measurement, asked.examples, CHOICE_METRICS["accuracy"]), alone(asked)
    assert both.table.equals(one.table)
    assert both.provenance == one.provenance  # with what rounding makes of some examples
    assert told == sorted(told)


@pytest.mark.slow
@pytest.mark.parametrize("adapted", [False, True], ids=["bare", "adapter"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("architecture", ["llama", "bloom"])  # along trees, and prompt by prompt
def test_two_processes_score_pieces_bit_for_bit_as_one(
    architecture: str, precision: Precision, adapted: bool, tmp_path: Path
) -> None:
    weights = write(tmp_path / "model", architecture)
    adapter = write_adapter(tmp_path / "adapter", weights) if adapted else None
    check(job(tmp_path, weights, precision=precision, adapter=adapter))


@pytest.mark.slow
def test_tied_embeddings_stay_tied(tmp_path: Path) -> None:
    check(job(tmp_path, write(tmp_path / "model", "gemma2", tie_word_embeddings=True), precision="bf16"))


@pytest.mark.slow
def test_an_adapter_that_brings_weights_along_is_read_by_all(tmp_path: Path) -> None:
    weights = write(tmp_path / "model", "llama")
    check(job(tmp_path, weights, adapter=write_adapter(tmp_path / "adapter", weights, modules_to_save=["lm_head"])))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("architecture", ["llama", "bloom"])
def test_fewer_bins_than_processes_and_odd_numbers_of_them_end(architecture: str, count: int, tmp_path: Path) -> None:
    weights = write(tmp_path / "model", architecture)
    # A bin, or a batch, holds one or two of the examples.
    check(job(tmp_path, weights, examples=tiny.examples(count), batch_tokens=40), devices=3)


@pytest.mark.slow
def test_an_error_of_one_process_ends_all(tmp_path: Path) -> None:
    weights = write(tmp_path / "model", "llama")
    broken = load(weights, precision="fp32")
    with torch.no_grad():
        broken.model.lm_head.weight.fill_(torch.nan)
    save(broken, weights)
    with pytest.raises(ModelError, match=r"task 'balls': the model gives NaN for example"):
        score_on_devices(job(tmp_path, weights), 2, lambda _: None)


@pytest.mark.slow
def test_the_command_scores_by_several_processes(tmp_path: Path) -> None:
    weights, task = write(tmp_path / "model", "llama"), tiny.write_task(tmp_path / "balls.jsonl")
    files = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    for devices, file in zip("12", files, strict=True):
        given = ["--task", "balls", "--set", f"tasks.balls.path={task}", "--precision", "fp32", "--out", str(file)]
        store = str(tmp_path / f"store-{devices}")
        with pytest.raises(SystemExit) as ended:
            main(["score", str(weights), *given, "--devices", devices, "--store", store])
        assert ended.value.code == 0
    one, two = map(Scores.read, files)
    assert one.table.equals(two.table)
    assert one.provenance == two.provenance


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def memory(folder: Path, how: str) -> list[dict[str, int]]:
    """What two processes that share the model of a folder have used."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, str(PROGRAM), str(folder), how, str(folder)], env=os.environ | shared | {"RANK": rank}
        )
        for rank in "01"
    ]
    try:
        assert [process.wait(600) for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    return [json.loads((folder / f"{how}-{rank}.json").read_text()) for rank in "01"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="Linux tells a process's own memory")
def test_one_process_alone_holds_the_whole_model_while_it_is_read(tmp_path: Path) -> None:
    wide = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12}
    model = tiny.make_model("llama", **tiny.ARCHITECTURES["llama"] | wide | {"head_dim": 128})
    # Another number format than the one that is asked for, or the weights would be pages of the file.
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    tiny.make_tokenizer().save_pretrained(tmp_path)
    (each, _), (first, second) = memory(tmp_path, "whole"), memory(tmp_path, "hollow")
    whole = each["weights"]
    layer = whole / wide["num_hidden_layers"]
    spare = 0.1 * whole
    assert each["peak"] > 0.95 * whole
    assert first["peak"] > 0.95 * whole
    assert second["peak"] < whole / 2 + layer + spare
    assert second["kept"] < whole / 2 + spare
