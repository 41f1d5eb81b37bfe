"""Which files of `accelerate config` have DeepSpeed train a stage, and what is said of others. None is started."""

import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaintune.errors import ConfigError
from chaintune.execution.processes import accelerate, launch
from chaintune.execution.processes.accelerate import ACCELERATE_CONFIG, check_file
from tests.unit.execution.test_processes import Launched, ends, make_job

ZERO_3 = {"zero_stage": 3, "gradient_accumulation_steps": 4, "zero3_init_flag": True}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """DeepSpeed of a version; None has none."""

    def have(version: str | None) -> None:
        def found(_: str) -> str:
            if version is None:
                raise PackageNotFoundError
            return version

        monkeypatch.setattr(accelerate, "version", found)
        monkeypatch.setattr(accelerate, "compare_versions", lambda _, __, than: (version or "") < than)

    have("0.19.8")
    return have


def write(folder: Path, *, deepspeed: Any = ZERO_3, **changes: Any) -> Path:
    path = folder / "accelerate.yaml"
    whole = {"distributed_type": "DEEPSPEED", "num_processes": 8, "num_machines": 1, "mixed_precision": "bf16"}
    path.write_text(yaml.safe_dump(whole | {"deepspeed_config": deepspeed} | changes), encoding="utf-8")
    return path


def beside(folder: Path, config: Any) -> dict[str, Any]:
    path = folder / "zero.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
    return {"deepspeed_config_file": str(path), "zero3_init_flag": True}


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_file_that_says_how_to_spread_is_taken(stage: int, tmp_path: Path) -> None:
    check_file(write(tmp_path, deepspeed={"zero_stage": stage}))
    said = {"zero_optimization": {"stage": stage}, "bf16": {"enabled": "auto"}, "train_batch_size": 7}
    check_file(write(tmp_path, deepspeed=beside(tmp_path, said)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"distributed_type": "FSDP"}, "expected distributed_type DEEPSPEED, got FSDP; without this variable .* FSDP"),
        ({"distributed_type": "MULTI_GPU"}, "expected distributed_type DEEPSPEED, got MULTI_GPU"),
        ({"distributed_type": "DEEPSEA"}, "expected a file as `accelerate config` writes it .*DEEPSEA"),
        ({"nodes": 3}, r"expected a file as `accelerate config` writes it .*unknown keys \(\['nodes'\]\)"),
        ({"num_machines": 2}, "on one machine, got num_machines 2"),
        ({"deepspeed": None}, "zero_stage: expected 1, 2 or 3, got None"),
        ({"deepspeed": {"zero_stage": 0}}, "zero_stage: expected 1, 2 or 3, got 0; stage 0 spreads nothing"),
    ],
)
def test_an_accelerate_file_that_cannot_hold_is_refused(changes: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{ACCELERATE_CONFIG}=.*accelerate.yaml.*{sentence}") as raised:
        check_file(write(tmp_path, **changes))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("{", "cannot be read as JSON"),
        ([], "zero_optimization.stage: expected 1, 2 or 3, got None"),
        ({"zero_optimization": {"stage": 0}}, "zero_optimization.stage: expected 1, 2 or 3, got 0"),
        ({"zero_optimization": {"stage": 2}, "optimizer": {"type": "Lion"}}, "'optimizer' .* is the recipe's to say"),
        ({"zero_optimization": {"stage": 2}, "fp_16": {}}, "'fp_16' .* did you mean 'fp16'"),
        ({"zero_optimization": {"stage": 3, "zero_quantized_weights": True}}, "zero_quantized_weights changes what"),
    ],
)
def test_a_deepspeed_file_that_would_change_what_is_learned_is_refused(
    config: Any, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"deepspeed_config_file .*zero.json: .*{sentence}"):
        check_file(write(tmp_path, deepspeed=beside(tmp_path, config)))


def test_a_stage_beside_a_deepspeed_file_is_refused(tmp_path: Path) -> None:
    config = {"zero_optimization": {"stage": 2}}
    with pytest.raises(ConfigError, match="cannot say zero_stage; say it in that file"):
        check_file(write(tmp_path, deepspeed=beside(tmp_path, config) | {"zero_stage": 2}))


def test_a_file_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file; write one with: accelerate config"):
        check_file(tmp_path / "missing.yaml")
    (tmp_path / "broken.yaml").write_text("a: [b", encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a file as `accelerate config` writes it"):
        check_file(tmp_path / "broken.yaml")
    with pytest.raises(ConfigError, match=r"deepspeed_config_file .*missing.json: cannot be read"):
        check_file(write(tmp_path, deepspeed={"deepspeed_config_file": str(tmp_path / "missing.json")}))


def test_deepspeed_that_is_missing_or_old_is_asked_for(tmp_path: Path, installed: Any) -> None:
    installed(None)
    with pytest.raises(ConfigError, match="DeepSpeed, which is not installed; install it with: pip install"):
        check_file(write(tmp_path))
    installed("0.15.0")
    with pytest.raises(ConfigError, match=r"expected DeepSpeed 0\.19\.8 or later, got 0\.15\.0"):
        check_file(write(tmp_path))


def test_training_is_started_by_the_file_and_scoring_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCELERATE_CONFIG, str(write(tmp_path)))
    launched = Launched(monkeypatch, ends, ends, code=0)
    launch.tune_on_devices(make_job(tmp_path), lambda _: None)
    launch.score_on_devices(make_job(tmp_path, kind="score"), 2, lambda _: None)
    assert [job.deepspeed for job in launched.jobs] == [True, False]
    assert [asked[2] for asked in launched.asked] == ["accelerate.commands.launch", "torch.distributed.run"]


def test_a_file_that_cannot_hold_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCELERATE_CONFIG, str(write(tmp_path, distributed_type="FSDP")))
    launched = Launched(monkeypatch)
    with pytest.raises(ConfigError, match="got FSDP"):
        launch.tune_on_devices(make_job(tmp_path), lambda _: None)
    assert not launched.jobs
