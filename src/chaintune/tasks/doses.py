"""How many examples a dose is."""

import math

from chaintune.errors import ConfigError


def dose_size(dose: float, examples: int, *, task: str) -> int:
    """Examples in a dose, at least one.

    Args:
        dose: fraction in (0, 1]; 1 is everything.
        examples: of the task's training data.
        task: named in errors.

    Raises:
        ConfigError: the dose lies outside (0, 1] or gives no example; the message names one that does.
    """
    if not 0 < dose <= 1:
        raise ConfigError(f"task '{task}': a dose is a fraction above 0 and at most 1, got {dose:g}")
    wanted = round(dose * examples)
    if wanted == 0:
        smallest = (math.floor(0.5 / max(1, examples) * 1e4) + 1) / 1e4
        raise ConfigError(
            f"task '{task}': a dose of {dose:g} of {examples} training examples gives none; "
            f"a dose of {smallest:g} gives one"
        )
    return wanted
