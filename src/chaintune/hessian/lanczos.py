"""The ends of the spectrum of a symmetric operator that is known by its products with vectors."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh

Vector = NDArray[np.float32]
Product = Callable[[Vector], Vector]


@dataclass(frozen=True, slots=True)
class Search:
    """Settings of the search for an eigenvalue.

    Attributes:
        tolerance: of convergence, as a fraction of the eigenvalue that is larger in magnitude.
        basis: Lanczos vectors in memory.
        max_products: about how many products one eigenvalue may take.
        seed: of the first vector.
    """

    tolerance: float = 0.01
    basis: int = 6
    max_products: int = 200
    seed: int = 0


def spectrum_ends(product: Product, size: int, search: Search) -> dict[str, Any]:
    """The end that is larger in magnitude, then the other: the largest in magnitude once the first is subtracted.

    So both converge relative to the radius, also where one end lies at 0.
    """
    first, vector = extreme(product, size, search)
    if vector is None:
        reason = f"no end of the spectrum converged within {search.max_products} products"
        return dict.fromkeys(("radius", "top", "bottom", "top_residual", "bottom_residual"), math.nan) | {
            "reason": reason
        }
    scale = abs(first) or 1.0
    first_residual = _residual(product, first, vector) / scale
    del vector
    beyond, vector = extreme(lambda v: product(v) - np.float32(first) * v, size, search)
    second = first + beyond
    second_residual = _residual(product, second, vector) / scale if vector is not None else math.nan
    top, bottom = ((first, first_residual), (second, second_residual))[:: 1 if first >= 0 else -1]
    return {
        "radius": max(abs(first), abs(second)) if vector is not None else abs(first),
        "top": top[0],
        "bottom": bottom[0],
        "top_residual": top[1],
        "bottom_residual": bottom[1],
        "reason": "" if vector is not None else f"one end did not converge within {search.max_products} products",
    }


def extreme(product: Product, size: int, search: Search) -> tuple[float, Vector | None]:
    """The eigenvalue of largest magnitude and its vector of length 1; NaN and None when it did not converge."""
    start = np.random.default_rng(search.seed).standard_normal(size, dtype=np.float32)
    basis = min(search.basis, size)
    try:
        values, vectors = eigsh(
            LinearOperator((size, size), matvec=lambda v: product(v.reshape(-1)), dtype=np.float32),
            k=1,
            which="LM",
            ncv=basis,
            tol=search.tolerance,
            v0=start,
            maxiter=max(1, (search.max_products - 1) // (basis - 1)),
        )
    except ArpackNoConvergence:
        return math.nan, None
    except ArpackError:
        # It refuses an operator that maps the first vector to nothing; that eigenvalue is 0.
        if product(start).any():
            raise
        return 0.0, start / np.float32(np.linalg.norm(start))
    return float(values[0]), np.asarray(vectors[:, 0], dtype=np.float32)


def _residual(product: Product, value: float, vector: Vector) -> float:
    return float(np.linalg.norm(product(vector) - np.float32(value) * vector))
