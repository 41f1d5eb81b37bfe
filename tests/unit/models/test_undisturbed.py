"""Randomness that begins at a seed and leaves no trace."""

import random
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
import torch

from chaintune.models.undisturbed import seeded
from tests.reference import random_states


def draws(seed: int) -> list[float]:
    with seeded(seed):
        return [random.random(), float(np.random.rand()), float(torch.rand(1))]  # noqa: NPY002, S311


def test_the_same_seed_draws_the_same() -> None:
    assert draws(3) == draws(3)
    assert not set(draws(3)) & set(draws(4))


def test_the_process_draws_on_as_if_nothing_had_been() -> None:
    before = random_states()
    draws(1)
    assert random_states() == before


def test_the_states_of_all_gpus_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []

    def fork_rng(devices: Iterable[int], device_type: str) -> AbstractContextManager[None]:
        assert device_type == "cuda"
        kept.extend(devices)
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.random, "fork_rng", fork_rng)
    monkeypatch.setattr("chaintune.models.undisturbed.set_seed", lambda _: None)
    before = torch.get_rng_state()
    draws(1)
    torch.set_rng_state(before)
    assert kept == [0, 1, 2]


def test_after_an_error_too() -> None:
    before = random_states()
    with pytest.raises(ZeroDivisionError), seeded(1):
        raise ZeroDivisionError
    assert random_states() == before
