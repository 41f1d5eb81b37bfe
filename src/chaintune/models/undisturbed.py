"""Contexts after which a model's modes and the process's random states are as they were before."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from transformers import set_seed


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Within this context every module is in evaluation mode; its former mode is restored after it."""
    with modes_kept(model):
        model.eval()
        yield


@contextmanager
def modes_kept(model: torch.nn.Module) -> Iterator[None]:
    """After this context every module trains or evaluates as before it."""
    # Module by module: some may have been frozen in evaluation mode while the others train.
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def caches_kept(model: Any) -> Iterator[None]:
    """After this context a model keeps keys and values, and writes texts, by the settings that it had before."""
    configs = [model.config, model.config.get_text_config()]
    used = [getattr(config, "use_cache", None) for config in configs]
    own = getattr(model, "generation_config", None)
    content = deepcopy(own)
    try:
        yield
    finally:
        for config, use_cache in zip(configs, used, strict=True):
            if use_cache is not None:
                config.use_cache = use_cache
        if own is not None:
            vars(own).clear()
            vars(own).update(vars(content))
            model.generation_config = own


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within this context every random state of the process starts at `seed`; after it all are as they were."""
    # All of them, as that is what set_seed seeds.
    with random_states_kept(range(torch.cuda.device_count())):
        set_seed(seed)
        yield


@contextmanager
def random_states_kept(devices: Iterable[int], *, kind: str = "cuda") -> Iterator[None]:
    """After this context the random states of Python, NumPy, torch and of some devices are as before it."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the state that other code draws from
    try:
        with torch.random.fork_rng(list(devices), device_type=kind):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
