"""A dose of a task's training data: which examples are replayed.

Use when: something was forgotten and a third stage may bring it back.

Source:
    Ung et al. 2024 (arXiv:2412.16469) replay about 5 % of the safety data in a third stage.
"""

import math
from collections.abc import Sequence
from hashlib import sha256

from chaintune.errors import ConfigError
from chaintune.records import Example


def take_dose(examples: Sequence[Example], dose: float, *, task: str, seed: int) -> tuple[Example, ...]:
    """A fraction of the examples, drawn uniformly; a smaller dose of one seed lies inside a larger one.

    Args:
        examples: the task's whole training data, in any order.
        dose: fraction in (0, 1]; 1 is everything.
        task: named in errors.
        seed: of the draw.

    Raises:
        ConfigError: the dose gives no example.
    """
    wanted = round(dose * len(examples))
    if wanted == 0:
        smallest = (math.floor(0.5 / max(1, len(examples)) * 1e4) + 1) / 1e4
        raise ConfigError(
            f"task '{task}': a dose of {dose:g} of {len(examples)} training examples gives none; "
            f"a dose of {smallest:g} gives one"
        )
    drawn = sorted(examples, key=lambda example: sha256(f"{seed}\n{example.id}".encode()).digest())
    return tuple(drawn[:wanted])
