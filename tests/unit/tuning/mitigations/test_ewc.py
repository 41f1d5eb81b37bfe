"""The empirical Fisher matrix and EWC's penalty by hand, on a linear model."""

from typing import Any

import pytest
import torch

from chaintune.errors import DataError
from chaintune.tuning.mitigations.ewc import EWC, diagonal_fisher

# Logistic regression on two features: p = sigmoid(w x), loss -log p of the label, gradient (p - y) x.
ROWS = [(torch.tensor([2.0, 0.0]), 1.0), (torch.tensor([1.0, -1.0]), 0.0)]


def linear() -> torch.nn.Linear:
    model = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    return model


def loss(model: Any, row: tuple[torch.Tensor, float]) -> torch.Tensor:
    features, label = row
    return torch.nn.functional.binary_cross_entropy_with_logits(model(features), torch.tensor([label]))


def test_fisher_by_hand() -> None:
    # At w = 0, p = 1/2: gradients -(1/2) (2, 0) and (1/2) (1, -1); squares (1, 0) and (1/4, 1/4); their mean.
    found = diagonal_fisher(linear(), ROWS, loss)
    torch.testing.assert_close(found["weight"], torch.tensor([[0.625, 0.125]]))


def test_fisher_is_that_of_the_model_without_dropout() -> None:
    """A new LoRA adapter's dropout is in training mode whatever mode the model is in."""
    dropped = torch.nn.Sequential(torch.nn.Dropout(0.5), linear()).eval()
    dropped[0].train()
    found = diagonal_fisher(dropped, ROWS, loss)
    torch.testing.assert_close(found["1.weight"], torch.tensor([[0.625, 0.125]]))
    assert [module.training for module in dropped.modules()] == [False, True, False]


def test_the_pull_is_the_gradient_of_the_penalty() -> None:
    model = linear()
    pull = EWC(model, diagonal_fisher(model, ROWS, loss), strength=4.0)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0, -4.0]]))
    model.weight.grad = torch.tensor([[10.0, 10.0]])
    pull.on_pre_optimizer_step(None, None, None, model=model, optimizer=None)
    # 10 + 4 * F * (w - 0)
    torch.testing.assert_close(model.weight.grad, torch.tensor([[15.0, 8.0]]))


def test_only_trained_weights_are_held_and_measured() -> None:
    model = torch.nn.Sequential(linear(), torch.nn.Linear(1, 1))
    model[1].requires_grad_(False)
    found = diagonal_fisher(model, ROWS, loss)
    assert set(found) == {"0.weight"}
    assert all(tensor.dtype == torch.float32 for tensor in found.values())


def test_no_example_is_refused() -> None:
    with pytest.raises(DataError, match="at least one example of the earlier task"):
        diagonal_fisher(linear(), [], loss)
