"""Task vectors merged into a later checkpoint."""

import pytest
import torch
from peft.utils.merge_utils import ties as ties_of_peft

from chaintune.errors import ConfigError, ModelError
from chaintune.tuning.mitigations.merge_back import merge_back, ties
from tests import tiny
from tests.unit.tuning.mitigations.plain_trainer import weights


def test_task_arithmetic_adds_a_share_of_what_was_learned() -> None:
    base, trained, after = (tiny.make_model(seed=seed) for seed in (0, 1, 2))
    here, there, start = map(weights, (after, trained, base))
    merge_back(after, trained, 0.5, base=base)
    for name, weight in weights(after).items():
        torch.testing.assert_close(weight, here[name] + 0.5 * (there[name] - start[name]), atol=1e-5, rtol=1e-5)
    merge_back(after, trained, 0, base=base)


@pytest.mark.parametrize("density", [0.2, 0.5])
def test_ties_of_equal_weights_are_those_of_peft(density: float) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = [torch.randn(12, 10, generator=generator) for _ in range(2)]
    own = ties(vectors, [0.5, 0.5], density=density)
    torch.testing.assert_close(own, ties_of_peft(vectors, torch.tensor([1.0, 1.0]), density))
    assert int((own != 0).sum()) <= 2 * density * own.numel()


def test_of_two_that_differ_in_sign_the_one_of_more_weight_stays_and_of_two_that_agree_the_weighted_mean() -> None:
    one, other = torch.tensor([4.0, 2.0, -1.0, 0.5]), torch.tensor([-1.0, 4.0, -3.0, 0.1])
    assert ties([one, other], [0.25, 0.75], density=0.75).tolist() == [4.0, 3.5, -2.5, 0.0]
    assert ties([one, other], [0.15, 0.85], density=0.75).tolist() == pytest.approx([-1.0, 3.7, -2.7, 0.0])
    assert ties([one, other], [0.0, 1.0], density=1).tolist() == pytest.approx([-1.0, 4.0, -3.0, 0.1])


def test_a_share_of_none_leaves_the_other_as_it_was_trimmed_and_of_the_smallest_one_entry_stays() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(12, 10, generator=generator) for _ in range(2))
    trimmed = torch.where(one.abs() >= one.abs().flatten().topk(24).values.min(), one, 0.0)
    torch.testing.assert_close(ties([one, 100 * other], [1.0, 0.0], density=0.2), trimmed)
    assert ties([torch.tensor([1.0, -2.0])] * 2, [0.5, 0.5], density=0.2).tolist() == [0.0, -2.0]


def test_ties_starts_at_the_base() -> None:
    base, trained, after = (tiny.make_model(seed=seed) for seed in (0, 1, 2))
    here, there, start = map(weights, (after, trained, base))
    merge_back(after, trained, 0.25, base=base, method="ties", density=0.3)
    name = "model.layers.0.mlp.up_proj.weight"
    vectors = [here[name] - start[name], there[name] - start[name]]
    torch.testing.assert_close(weights(after)[name], start[name] + ties(vectors, [0.75, 0.25], density=0.3))


def test_what_cannot_be_merged() -> None:
    with pytest.raises(ModelError, match="merge_back: the two checkpoints differ in"):
        merge_back(tiny.make_model(), tiny.make_model(vocabulary=350), 0.5, base=tiny.make_model())
    for fraction, density in ((1.5, 0.2), (0.5, 0.0)):
        with pytest.raises(ConfigError, match="expected a fraction from 0 to 1 and a density above 0"):
            merge_back(tiny.make_model(), tiny.make_model(), fraction, base=tiny.make_model(), density=density)
