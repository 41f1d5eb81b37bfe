"""Flips as thresholds on a normal latent change: an effect moves it, adds flips of one kind and takes the other's away.

An example is forgotten where its latent change lies above one threshold, and learned where it lies below another. A
loss of ability moves all of them, which is why a group that loses much scatters less than one whose losses come on top
of what it had learned.
"""

import numpy as np
from scipy import special

from chaintune.stats.bisection import bisected
from chaintune.stats.clusters import Floats

# Where an effect leaves no example alone.
FAR = 12.0
LEAST_RATE = 1e-6
_HALVINGS = 40


def thresholds(forgot: float | Floats, learned: float | Floats) -> tuple[Floats, Floats]:
    """Latent change below which an example is learned, and above which it is forgotten. Shape: as the shares."""
    low, high = (special.ndtri(np.maximum(rate, LEAST_RATE)) for rate in (learned, forgot))
    return np.asarray(low), np.asarray(-high)


def moved(ends: tuple[float | Floats, float | Floats], shift: float | Floats) -> tuple[Floats, Floats]:
    """Shares forgotten and learned once the latent change moved by `shift`."""
    low, high = ends
    return np.asarray(special.ndtr(shift - high)), np.asarray(special.ndtr(low - shift))


def loss(ends: tuple[float | Floats, float | Floats], shift: float | Floats) -> Floats:
    """Forgotten minus learned once the latent change moved by `shift`."""
    forgot, learned = moved(ends, shift)
    return forgot - learned


def variance(ends: tuple[float | Floats, float | Floats], shift: float | Floats) -> Floats:
    """Variance of what happens to an example, 1 forgotten and -1 learned, once the latent change moved by `shift`."""
    forgot, learned = moved(ends, shift)
    return forgot + learned - (forgot - learned) ** 2


def shift_to(ends: tuple[Floats, Floats], target: float | Floats) -> Floats:
    """How far the latent change moves so that forgotten minus learned is the target; at most `FAR`. Shape: `[K]`."""
    low, high = np.full_like(ends[0], -FAR), np.full_like(ends[0], FAR)
    return bisected(lambda shift: ~(loss(ends, shift) < target), low, high, _HALVINGS)[1]
