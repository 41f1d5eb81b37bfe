"""The ends of spectra that are known beforehand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.hessian.lanczos import Product, Search, extreme, spectrum_ends


def diagonal(values: list[float]) -> Product:
    numbers = np.asarray(values, dtype=np.float32)
    return lambda vector: np.asarray(numbers * vector, dtype=np.float32)


@pytest.mark.parametrize(
    ("values", "bottom", "top"),
    [
        ([*np.linspace(0, 1, 200), 50.0, -40.0], -40, 50),
        ([*np.linspace(0, 1, 200), 40.0, -50.0], -50, 40),
        ([*np.zeros(200), *range(1, 6)], 0, 5),
        ([*np.zeros(200), *range(-5, 0)], -5, 0),
        ([*np.linspace(-1, 1, 200), 30.0, -30.0], -30, 30),
        ([1e-6 * x for x in range(1, 101)], 1e-6, 1e-4),
        ([-2.0, 1.0, 3.0], -2, 3),
    ],
)
def test_both_ends(values: list[float], bottom: float, top: float) -> None:
    found = spectrum_ends(diagonal(values), len(values), Search())
    radius = max(abs(bottom), abs(top))
    assert found["top"] == pytest.approx(top, abs=0.01 * radius)
    assert found["bottom"] == pytest.approx(bottom, abs=0.01 * radius)
    assert found["radius"] == pytest.approx(radius, rel=0.01)
    assert max(found["top_residual"], found["bottom_residual"]) < 0.05
    assert found["reason"] == ""


def test_no_curvature_at_all() -> None:
    found = spectrum_ends(diagonal([0.0] * 50), 50, Search())
    assert (found["top"], found["bottom"], found["radius"]) == (0, 0, 0)


def test_the_residual_bounds_the_error() -> None:
    values = np.random.default_rng(0).normal(size=400)
    exact = float(np.abs(values).max())
    found = spectrum_ends(diagonal(values.tolist()), 400, Search(basis=5, tolerance=0.05))
    residual = found["top_residual"] if found["top"] == found["radius"] else found["bottom_residual"]
    assert min(abs(np.abs(values) - found["radius"])) <= residual * found["radius"] + 1e-5
    assert found["radius"] <= exact * (1 + 1e-5)


def test_one_end_may_be_missing() -> None:
    """One eigenvalue stands apart and is found at once; the other end is a crowd."""
    values = [100.0, *np.linspace(-1, 1, 3000)]
    found = spectrum_ends(diagonal(values), len(values), Search(max_products=9, basis=4, tolerance=1e-4))
    assert found["radius"] == found["top"] == pytest.approx(100)
    assert math.isnan(found["bottom"])
    assert math.isnan(found["bottom_residual"])
    assert found["reason"] == "one end did not converge within 9 products"


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-10, 10, width=32), min_size=12, max_size=40), st.integers(0, 5))
def test_never_outside_the_spectrum(values: list[float], seed: int) -> None:
    value, vector = extreme(diagonal(values), len(values), Search(seed=seed, basis=12, tolerance=1e-4))
    if vector is not None:
        assert min(values) - 1e-4 <= value <= max(values) + 1e-4
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)
