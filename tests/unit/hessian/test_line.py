"""The line between two checkpoints, and the barrier on it."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chaintune.errors import ConfigError, DataError, ModelError
from chaintune.hessian import loss_line
from chaintune.hessian.line import barrier
from chaintune.models import LoadedModel
from chaintune.records import Recipe
from chaintune.tuning import tune
from tests import tiny
from tests.plain import plain_loss
from tests.unit.hessian.conftest import EXAMPLES, adapted_model, small_model, texts

FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)


def test_a_convex_line_has_no_barrier() -> None:
    """(2x - 1)^2 + x: above neither end's straight line."""
    assert barrier(FRACTIONS, tuple((2 * x - 1) ** 2 + x for x in FRACTIONS)) == (0, 0)


def test_a_hill_by_hand() -> None:
    """Ends 1 and 3, so 1.5 is due a quarter of the way; 4 there is 2.5 too much, and 4.25 halfway is 2.25."""
    assert barrier(FRACTIONS, (1.0, 4.0, 4.25, 3.0, 3.0)) == (2.5, 0.25)


def test_a_double_well_between_its_wells() -> None:
    """(x^2 - 1)^2 from -1 to 1 rises by 1 in the middle."""
    assert barrier(FRACTIONS, tuple(((2 * x - 1) ** 2 - 1) ** 2 for x in FRACTIONS)) == (1, 0.5)


def test_a_straight_line_has_no_barrier() -> None:
    assert barrier(FRACTIONS, (1.0, 1.5, 2.0, 2.5, 3.0)) == (0, 0)


@given(st.lists(st.floats(0, 100), min_size=5, max_size=5), st.floats(-50, 50), st.floats(-50, 50))
def test_the_barrier_does_not_depend_on_a_slope(losses: list[float], level: float, slope: float) -> None:
    tilted = [loss + level + slope * x for x, loss in zip(FRACTIONS, losses, strict=True)]
    assert barrier(FRACTIONS, tilted)[0] == pytest.approx(barrier(FRACTIONS, losses)[0], abs=1e-9)
    assert barrier(FRACTIONS, losses)[0] >= 0


def test_identical_checkpoints_have_no_barrier() -> None:
    found = loss_line(small_model(), small_model(), EXAMPLES, task="balls")
    assert len(set(found.losses)) == 1
    assert (found.barrier, found.barrier_at) == (0, 0)


def test_the_losses_are_those_of_the_mixed_weights() -> None:
    first, second = small_model(), small_model(seed=1)
    found = loss_line(first, second, EXAMPLES, task="balls", points=5, provenance={"first": "a"})
    assert found.fractions == FRACTIONS
    for at, loss in zip(found.fractions, found.losses, strict=True):
        assert loss == pytest.approx(plain_loss(mixed(at).model, texts(first, EXAMPLES)).item(), rel=1e-5)
    assert (found.barrier, found.barrier_at) == barrier(found.fractions, found.losses)
    assert (found.n, found.n_clusters) == (6, 3)


def mixed(at: float) -> LoadedModel:
    result, other = small_model(), small_model(seed=1)
    with torch.no_grad():
        for weight, there in zip(result.model.parameters(), other.model.parameters(), strict=True):
            weight.copy_((1 - at) * weight + at * there)
    return result


def test_a_twin_that_computes_the_same_lies_behind_a_barrier(tmp_path: Path) -> None:
    """Half of the residual stream with its sign turned: the same function, far away among the weights."""
    recipe = Recipe(learning_rate=5e-2, epochs=8, batch_size=6)
    learned, twin = (
        tune(small_model(), EXAMPLES, task="balls", recipe=recipe, seed=0, log=tmp_path / "steps.jsonl").loaded
        for _ in range(2)
    )
    turn_signs(twin)
    found = loss_line(learned, twin, EXAMPLES, task="balls")
    assert found.losses[-1] == pytest.approx(found.losses[0], rel=1e-5)
    assert found.barrier > 0.1
    assert 0.2 < found.barrier_at < 0.8


def turn_signs(loaded: LoadedModel) -> None:
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0])
    writers = ("o_proj.weight", "down_proj.weight")
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if weight.dim() == 2:
                weight.mul_(signs[:, None] if name.endswith(writers) else signs)


def test_the_way_back_is_the_same_line() -> None:
    there = loss_line(small_model(), small_model(seed=1), EXAMPLES, task="balls", points=5)
    back = loss_line(small_model(seed=1), small_model(), EXAMPLES[::-1], task="balls", points=5)
    assert back.losses[::-1] == pytest.approx(there.losses, rel=1e-6)
    assert back.barrier == pytest.approx(there.barrier, rel=1e-4)


def test_as_plain_data_and_as_a_table() -> None:
    found = loss_line(small_model(), small_model(seed=1), EXAMPLES, task="balls", points=5)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["losses"] == list(found.losses)
    table = found.to_polars()
    assert table["fraction"].to_list() == list(FRACTIONS)
    heights = (table["loss"] - table["between_ends"]).to_list()
    assert max(heights) == pytest.approx(found.barrier, rel=1e-6)


def test_models_that_cannot_be_mixed() -> None:
    here = small_model()
    longer = small_model()
    longer.model.resize_token_embeddings(352, mean_resizing=False)
    with pytest.raises(ModelError, match=r"differ in shape: .* is \(340, 4\) in the first and \(352, 4\)"):
        loss_line(here, longer, EXAMPLES, task="balls")
    with pytest.raises(ModelError, match="differ in shape: the second has no weight"):
        loss_line(here, small_model("gpt2"), EXAMPLES, task="balls")
    with pytest.raises(ModelError, match="merge the adapter first"):
        loss_line(here, adapted_model(), EXAMPLES, task="balls")
    reader = LoadedModel(small_model().model, tiny.make_tokenizer("sentencepiece"), "fp32")
    with pytest.raises(ModelError, match="task 'balls': the two models' tokenizers read it differently"):
        loss_line(here, reader, EXAMPLES, task="balls")
    turned = small_model()
    next(iter(turned.model.buffers())).mul_(2)
    with pytest.raises(ModelError, match="is no weight and cannot be mixed"):
        loss_line(here, turned, EXAMPLES, task="balls")
    broken = small_model()
    with torch.no_grad():
        next(broken.model.parameters()).fill_(math.nan)
    with pytest.raises(ModelError, match=r"the loss is nan at 0\.\d* of the way"):
        loss_line(here, broken, EXAMPLES, task="balls")


def test_bad_arguments() -> None:
    with pytest.raises(ConfigError, match="points 2: a line needs"):
        loss_line(small_model(), small_model(), EXAMPLES, task="balls", points=2)
    with pytest.raises(DataError, match="task 'balls'"):
        loss_line(small_model(), small_model(), [], task="balls")
