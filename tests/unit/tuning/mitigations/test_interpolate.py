"""Weights between two checkpoints."""

from typing import Any

import pytest
import torch

from chaintune.errors import ConfigError, ModelError
from chaintune.tuning.mitigations.interpolate import interpolate
from tests import tiny
from tests.unit.tuning.mitigations.plain_trainer import weights


def bits(model: Any) -> dict[str, bytes]:
    return {name: weight.view(torch.uint8).numpy().tobytes() for name, weight in weights(model).items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_the_ends_are_the_checkpoints_bit_for_bit(fraction: float, dtype: torch.dtype) -> None:
    after, before = tiny.make_model(seed=1).to(dtype), tiny.make_model(seed=2).to(dtype)
    with torch.no_grad():  # signs of zero are bits too
        after.lm_head.weight[0, 0], before.lm_head.weight[0, 0] = -0.0, 0.0
    expected = bits(before if fraction else after)
    interpolate(after, before, fraction)
    assert bits(after) == expected


def test_a_quarter_of_the_way() -> None:
    after, before = tiny.make_model(seed=1), tiny.make_model(seed=2)
    expected = {name: 0.75 * weight + 0.25 * weights(before)[name] for name, weight in weights(after).items()}
    interpolate(after, before, 0.25)
    for name, weight in weights(after).items():
        torch.testing.assert_close(weight, expected[name])


def test_checkpoints_of_different_shapes_are_refused() -> None:
    with pytest.raises(ModelError, match=r"differ in '.*': \[340, 32\] and \[350, 32\]; only checkpoints of one"):
        interpolate(tiny.make_model(), tiny.make_model(vocabulary=350), 0.5)
    with pytest.raises(ModelError, match="missing"):
        interpolate(tiny.make_model(), tiny.make_model("gpt2"), 0.5)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_fraction_outside_the_line(fraction: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        interpolate(tiny.make_model(), tiny.make_model(), fraction)
