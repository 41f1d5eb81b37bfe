"""How fast this machine would tune and score a model, guessed from its matrix products alone."""

import time

import torch

from chaintune.execution.estimate import Rate
from chaintune.models.precision import Precision, default_device, dtype_of

# Multiply-adds a weight and token: one forward, two backward, two operations each (Kaplan et al. 2020, 2.1).
_TRAIN_OPERATIONS, _SCORE_OPERATIONS = 6, 2
# What tuning reaches of the matrix products' rate; benchmarks/training.py prints the share it measures.
REACHED_SHARE = 0.4
_SIZE = 1024
_SECONDS = 0.2


def probed_rates(parameters: int, precision: Precision) -> tuple[Rate, Rate]:
    """Tokens a second of tuning and of scoring, a guess for a machine that has done neither."""
    return rates_at(_operations_per_second(precision), parameters)


def rates_at(operations: float, parameters: int) -> tuple[Rate, Rate]:
    """Tokens a second of tuning and of scoring a model at a rate of operations of matrix products, NaN if unknown."""
    reached = operations * REACHED_SHARE / max(parameters, 1)
    return Rate(reached / _TRAIN_OPERATIONS), Rate(reached / _SCORE_OPERATIONS)


def _operations_per_second(precision: Precision) -> float:
    device = default_device()
    one = torch.randn(_SIZE, _SIZE, dtype=dtype_of(precision), device=device)
    other = torch.randn(_SIZE, _SIZE, dtype=dtype_of(precision), device=device)
    torch.mm(one, other)  # the first one sets things up
    _wait(device)
    started, products = time.monotonic(), 0
    while time.monotonic() - started < _SECONDS:
        torch.mm(one, other)
        _wait(device)
        products += 1
    return 2 * _SIZE**3 * products / (time.monotonic() - started)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
