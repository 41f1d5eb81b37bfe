"""Studies whose stages run out of memory, or hold their weights in 4 bits, and what is stored of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.tuning.trainer import StageTrainer
from tests import four_bits
from tests.integration.conftest import Smoke, checkpoints, outcome_of, scores

QUICK = ["chains=[[balls, boxes]]", "recipe.epochs=0.5", "recipe.share_prefixes=false"]
BOTH = ["chains=[[balls, boxes], [boxes]]"]
QLORA = ["recipe.method=lora", "recipe.lora_rank=4", "recipe.quantize=4bit"]


def short_of_memory(patch: pytest.MonkeyPatch, *, most: int) -> None:
    """Memory runs out on more than so many examples, but not at the first pass."""
    plain = StageTrainer.compute_loss

    def compute_loss(self: StageTrainer, model: Any, inputs: dict[str, Any], **options: Any) -> Any:
        if len(inputs["lengths"]) > most and self.state.global_step:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return plain(self, model, inputs, **options)

    patch.setattr(StageTrainer, "compute_loss", compute_loss)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_stages_that_run_out_of_memory_end_as_if_they_had_begun_with_less(
    method: str, smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = [*QUICK, f"recipe.method={method}"]
    plenty = smoke.open(tmp_path / "plenty", *quick, "recipe.micro_batch_size=2")
    outcome_of(plenty)
    short_of_memory(monkeypatch, most=2)
    short = smoke.open(tmp_path / "short", *quick, "recipe.micro_batch_size=0")
    assert outcome_of(short).complete
    assert checkpoints(short) == checkpoints(plenty)
    assert [entry.info["micro_batch_size"] for entry in short.store.entries("stage")] == [2] * 2


@pytest.mark.parametrize(
    ("recipes", "in_four_bits", "alone"),
    [
        (QLORA, 2, 2),
        # boxes in 4 bits; of the two stages on it one lies on the base, the other on weights that balls has changed
        ([*BOTH, "tasks.boxes.recipe={method: lora, lora_rank: 4, quantize: 4bit}"], 2, 1),
    ],
)
def test_only_training_is_in_four_bits(
    recipes: list[str],
    in_four_bits: int,
    alone: int,
    smoke: Smoke,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    forgetful: Callable[[], None],
) -> None:
    asked = four_bits.pretend(monkeypatch)
    held = smoke.open(tmp_path / "held", *QUICK, *recipes)
    assert outcome_of(held).complete
    assert len(asked) == in_four_bits
    stored = [(entry.path / "adapter_config.json").exists() for entry in held.store.entries("stage")]
    assert (len(stored), sum(stored)) == (len(held.plan.stages), alone)
    forgetful()
    fresh = smoke.open(tmp_path / "fresh", *QUICK, *recipes)
    outcome_of(fresh)
    assert checkpoints(fresh) == checkpoints(held)
    assert scores(fresh) == scores(held)
