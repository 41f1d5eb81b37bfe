"""Two processes on the CPU (gloo) train by DeepSpeed what one process trains without, within a stated tolerance."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from chaintune.errors import ConfigError, StageError
from chaintune.execution.processes.accelerate import ACCELERATE_CONFIG
from chaintune.execution.processes.job import Job
from chaintune.execution.processes.launch import tune_on_devices
from chaintune.models import load
from chaintune.records import Recipe, Regulariser, Scores
from chaintune.runs.session import prepare
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from chaintune.tuning import Step
from tests import tiny
from tests.slow.test_devices import (
    LOSSES_OFF,
    RECIPE,
    SCORES_OFF,
    STUDY,
    WEIGHTS_OFF,
    Trained,
    job,
    logprobs,
    off,
    one,
    several,
    started,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a file as `accelerate config` does, and has stages trained by it."""

    def write(**deepspeed: Any) -> None:
        path = tmp_path / "accelerate.yaml"
        whole = {
            "compute_environment": "LOCAL_MACHINE",
            "debug": False,
            "deepspeed_config": {"zero3_init_flag": deepspeed.get("zero_stage") == 3} | deepspeed,
            "distributed_type": "DEEPSPEED",
            "downcast_bf16": "no",
            "enable_cpu_affinity": False,
            "machine_rank": 0,
            "main_training_function": "main",
            "mixed_precision": "bf16",
            "num_machines": 1,
            "num_processes": 8,
            "rdzv_backend": "static",
            "same_network": True,
            "use_cpu": False,
        }
        path.write_text(yaml.safe_dump(whole), encoding="utf-8")
        monkeypatch.setenv(ACCELERATE_CONFIG, str(path))

    return write


WAYS: dict[str, dict[str, Any]] = {
    "full": {},
    "full as trees": {"share_prefixes": True},
    "lora": {"method": "lora", "lora_rank": 4},
    "three to a share": {"batch_size": 7, "micro_batch_size": 3},
    "four to a step": {"micro_batch_size": 1},
    "checkpointing": {"gradient_checkpointing": True, "share_prefixes": None},
    "clipped": {"max_grad_norm": 0.1, "schedule": "cosine"},
    "not clipped": {"max_grad_norm": 0.0},
    "frozen": {"regulariser": Regulariser("freeze", (("parts", ("embed_tokens",)),))},
}
# As `accelerate config` writes them; what is said of steps is set aside.
ZERO: dict[int, dict[str, Any]] = {
    1: {"zero_stage": 1, "gradient_accumulation_steps": 1},
    2: {
        "zero_stage": 2,
        "gradient_accumulation_steps": 4,
        "gradient_clipping": 0.5,
        "offload_optimizer_device": "none",
    },
    3: {"zero_stage": 3, "offload_param_device": "none", "zero3_save_16bit_model": True},
}
RUNS = [
    *((3, way) for way in WAYS),
    *((2, way) for way in ("full as trees", "lora", "three to a share", "four to a step", "clipped")),
    (1, "four to a step"),
]


@pytest.mark.parametrize(("stage", "way"), RUNS)
def test_two_processes_train_as_one(stage: int, way: str, model: Path, tmp_path: Path, asked: Any) -> None:
    asked(**ZERO[stage])
    alone, both = trained(tmp_path, model, replace(RECIPE, **WAYS[way]))
    assert off(alone, both) < WEIGHTS_OFF
    assert both.losses == pytest.approx(alone.losses, abs=LOSSES_OFF)
    assert both.norms == pytest.approx(alone.norms, rel=1e-4)
    assert both.numbers["train_tokens"] == alone.numbers["train_tokens"]
    assert both.numbers["steps"] == alone.numbers["steps"]
    assert both.numbers["spread"] == "deepspeed"


@pytest.mark.parametrize("stage", [1, 3])
def test_bf16_weights_are_trained_as_without(stage: int, model: Path, tmp_path: Path, asked: Any) -> None:
    asked(**ZERO[stage])
    alone, both = trained(tmp_path, model, RECIPE, precision="bf16")
    assert {weight.dtype for weight in both.weights.values()} == {torch.bfloat16}
    assert both.losses == pytest.approx(alone.losses, rel=5e-3)  # a bf16 number has 8 bits
    assert both.norms == pytest.approx(alone.norms, rel=2e-2)
    assert off(alone, both) < 0.02


@pytest.mark.parametrize("stage", [2, 3])
def test_an_adapter_on_bf16_weights_stays_fp32(stage: int, model: Path, tmp_path: Path, asked: Any) -> None:
    asked(**ZERO[stage])
    alone, both = trained(tmp_path, model, replace(RECIPE, **WAYS["lora"]), precision="bf16")
    assert {weight.dtype for weight in both.weights.values()} == {torch.float32}
    assert any((weight != weight.bfloat16().float()).any() for weight in both.weights.values())
    assert both.losses == pytest.approx(alone.losses, rel=5e-3)
    assert off(alone, both) < 0.02


def test_an_adapter_is_folded_into_weights_that_were_spread(model: Path, tmp_path: Path, asked: Any) -> None:
    asked(**ZERO[3])
    recipe = replace(RECIPE, **WAYS["lora"])
    beside = several(job(tmp_path / "beside", model, recipe))
    folded = several(job(tmp_path / "folded", model, recipe, alone=False))
    expected = load(model, adapter=tmp_path / "beside" / "out", precision="fp32").model.merge_and_unload().state_dict()
    assert beside.losses == folded.losses
    assert {name: expected[name] for name in folded.weights}.keys() == folded.weights.keys()
    torch.testing.assert_close(folded.weights, {name: expected[name] for name in folded.weights})


def test_tied_weights_stay_tied(tmp_path: Path, asked: Any) -> None:
    asked(**ZERO[3])
    folder = tmp_path / "model"
    tiny.make_model(**tiny.ARCHITECTURES["llama"], tie_word_embeddings=True).save_pretrained(folder)
    tiny.make_tokenizer().save_pretrained(folder)
    alone, both = trained(tmp_path, folder, RECIPE)
    assert "lm_head.weight" not in both.weights
    assert off(alone, both) < WEIGHTS_OFF


def test_a_deepspeed_file_holds_where_it_says_how_to_spread(model: Path, tmp_path: Path, asked: Any) -> None:
    said = {
        "zero_optimization": {"stage": 3, "reduce_bucket_size": "auto", "stage3_param_persistence_threshold": 0},
        "train_micro_batch_size_per_gpu": 64,
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": 0.01,
        "fp16": {"enabled": True},
        "bf16": {"enabled": "auto"},
    }
    (tmp_path / "zero.json").write_text(json.dumps(said), encoding="utf-8")
    asked(deepspeed_config_file=str(tmp_path / "zero.json"))
    alone, both = trained(tmp_path, model, RECIPE)
    assert off(alone, both) < WEIGHTS_OFF
    assert both.norms == pytest.approx(alone.norms, rel=1e-4)


def test_what_deepspeed_does_not_take_is_told_in_a_sentence(model: Path, tmp_path: Path, asked: Any) -> None:
    (tmp_path / "zero.json").write_text(json.dumps({"zero_optimization": {"stage": 2, "reduce_bucket_size": -1}}))
    asked(deepspeed_config_file=str(tmp_path / "zero.json"))
    with pytest.raises(ConfigError, match=r"does not take its part of the accelerate file .*reduce_bucket_size"):
        several(job(tmp_path / "two", model, RECIPE))


def test_a_step_that_deepspeed_leaves_out_fails_the_stage(model: Path, tmp_path: Path, asked: Any) -> None:
    asked(**ZERO[2])
    recipe = replace(RECIPE, learning_rate=1e30)
    with pytest.raises(StageError, match="the loss became nan at step 4"):  # after a step that made no sense
        one(job(tmp_path / "one", model, recipe))
    with pytest.raises(StageError, match="the gradients became inf at step 3 of 6; a smaller learning_rate"):
        several(job(tmp_path / "two", model, recipe))


def test_a_killed_process_ends_them_all(model: Path, tmp_path: Path, asked: Any) -> None:
    asked(**ZERO[2])
    killed: list[int] = []

    def kill(_: Step) -> None:
        if not killed:
            rank = next(process for process in started() if "accelerate.commands.launch" not in process.cmdline())
            killed.append(rank.pid)
            rank.kill()

    with pytest.raises(StageError, match=r"one of the 2 processes was killed.*Signal 9"):
        tune_on_devices(job(tmp_path, model, replace(RECIPE, epochs=500)), kill)
    assert killed
    assert not started()


REFUSED: dict[str, dict[str, Any]] = {
    "l2sp": {"regulariser": Regulariser("l2sp", (("strength", 3.0),))},
    "fp32_masters: false": {"fp32_masters": False},
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_had_is_refused_before_a_step(what: str, model: Path, tmp_path: Path, asked: Any) -> None:
    asked(**ZERO[2])
    steps: list[Any] = []
    whole: Job = job(tmp_path / "two", model, replace(RECIPE, **REFUSED[what]), precision="bf16")
    with pytest.raises(StageError, match=what):
        tune_on_devices(whole, steps.append)
    assert not steps


def test_a_study_trains_by_deepspeed_and_scores_without(tmp_path: Path, asked: Any) -> None:
    tiny.write_smoke(tmp_path)
    places = [
        f"base={tmp_path / 'model'}",
        *(f"tasks.{name}.path={tmp_path / name}.jsonl" for name in ("balls", "boxes")),
    ]
    found = []
    for devices in (1, 2):
        asked(**ZERO[3])  # of which one device takes no notice
        changes = ["chains=[[balls, boxes]]", f"recipe.devices={devices}", "precision=fp32"]
        session = prepare(Study.from_yaml(STUDY, [*places, *changes]), FolderStore(tmp_path / f"store-{devices}"))
        outcome = session.run(tmp_path / f"out-{devices}").outcome
        assert outcome.complete, [result.cause for result in outcome.of("failed")]
        entries = {entry.info["title"]: entry.path for entry in session.store.entries("score")}
        found.append({title: Scores.read(path / "scores.parquet") for title, path in entries.items()})
    assert found[0].keys() == found[1].keys()
    for title, alone in found[0].items():
        pairs = zip(logprobs(alone), logprobs(found[1][title]), strict=True)
        assert max(abs(left - right) for left, right in pairs) < SCORES_OFF, title


def trained(folder: Path, model: Path, recipe: Recipe, **changes: Any) -> tuple[Trained, Trained]:
    """By one process without DeepSpeed, and by two with it."""
    alone = one(job(folder / "one", model, recipe, **changes))
    return alone, several(job(folder / "two", model, recipe, **changes))
