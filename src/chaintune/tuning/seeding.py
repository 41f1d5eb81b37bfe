"""Randomness that begins at a seed and leaves no trace."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from transformers import set_seed


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within this context every random state of the process starts at `seed`; after it all are as they were."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the state that other libraries draw from
    # All of them, as that is what set_seed seeds.
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        set_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002
