"""The two ends of the Hessian's spectrum, by Lanczos."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from chaintune.errors import ConfigError, ModelError, nearest
from chaintune.landscape.examples import choose_examples, taught
from chaintune.landscape.loss import AnswerLoss, Vector
from chaintune.landscape.undisturbed import ready, space_of
from chaintune.models.loading import LoadedModel
from chaintune.records import Curvature, Example, Space
from chaintune.tuning.lessons import Lesson

SPACES = ("full", "lora")
Product = Callable[[Vector], Vector]
OnProduct = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Search:
    """How Lanczos looks for an eigenvalue: see `curvature`."""

    tolerance: float
    basis: int
    max_products: int
    seed: int


def curvature(
    loaded: LoadedModel,
    examples: Sequence[Example],
    *,
    task: str,
    space: Space = "full",
    batches: int = 4,
    seed: int = 0,
    tolerance: float = 0.01,
    basis: int = 8,
    max_products: int = 200,
    provenance: Mapping[str, str] | None = None,
    on_product: OnProduct = lambda _: None,
) -> Curvature:
    """Both ends of the spectrum of the loss's Hessian, and its radius, on some examples.

    The loss is the one that tuning minimises: mean cross entropy of the right answers' tokens, here of all
    examples together, without dropout. It is computed in fp32 whatever the model is held in.

    Memory: beside the model in fp32 and the graph of one micro-batch, `basis + 8` vectors as long as the space,
    4 bytes a number. Time: each product costs about as much as two steps of tuning on the examples; the two
    ends take some 10 to 30 products, and the parts together as much as one end.

    Args:
        loaded: the model; it is left as it was found.
        examples: in any order; the result does not depend on it.
        task: name that the result bears.
        space: `full`, or `lora` for the weights of the model's adapter alone.
        batches: disjoint parts of the examples whose radius is measured too, for its spread; 0 for none.
        seed: of Lanczos's first vector and of who is in which part.
        tolerance: of convergence, as a fraction of the radius.
        basis: Lanczos vectors held in memory; fewer take more products.
        max_products: about how many products the search for one eigenvalue may take.
        provenance: what is measured, to be kept with the result.
        on_product: called with the number of products done so far.

    Raises:
        ConfigError: an argument is out of its range.
        DataError: there is no example, or one is longer than the model's context.
        ModelError: the model has no adapter to measure, its loss is not finite, or memory does not suffice.

    Undefined:
        What did not converge within `max_products` is NaN, and `reason` says so.

    Source:
        Lanczos with implicit restarts is ARPACK's, through `scipy.sparse.linalg.eigsh`; products by double
        backward after Pearlmutter (1994).
    """
    search = _checked(_Search(tolerance, basis, max_products, seed), space, batches, len(examples))
    chosen = choose_examples(examples, None, task=task, seed=seed)
    lessons = taught(loaded, chosen, task=task)
    started = time.monotonic()
    names = space_of(loaded, space)
    with ready(loaded, names.__contains__):
        found = _measure(loaded, lessons, [*names.values()], batches=batches, search=search, on_product=on_product)
    return Curvature(
        task=task,
        space=space,
        n=len(chosen),
        n_clusters=len({example.cluster for example in chosen}),
        seconds=time.monotonic() - started,
        seed=seed,
        provenance=dict(provenance or {}),
        **found,
    )


def _checked(search: _Search, space: str, batches: int, count: int) -> _Search:
    if space not in SPACES:
        raise ConfigError(f"space '{space}' is not known; {nearest(space, SPACES)}")
    if not 0 <= batches <= max(count, 1):
        raise ConfigError(f"batches {batches}: expected 0 for none, or at most one for each of the {count} examples")
    if not 0 < search.tolerance < 1:
        raise ConfigError(f"tolerance {search.tolerance}: expected a fraction of the radius, such as 0.01")
    if search.basis < 3:
        raise ConfigError(f"basis {search.basis}: Lanczos needs at least 3 vectors")
    if search.max_products < search.basis:
        raise ConfigError(f"max_products {search.max_products}: expected at least the basis, {search.basis}")
    return search


def _measure(
    loaded: LoadedModel,
    lessons: Sequence[Lesson],
    parameters: Sequence[Any],
    *,
    batches: int,
    search: _Search,
    on_product: OnProduct,
) -> dict[str, Any]:
    whole = AnswerLoss(loaded.model, lessons, parameters)
    parts = [AnswerLoss(loaded.model, lessons[start::batches], parameters) for start in range(batches)]
    losses = [whole, *parts]

    def counted(loss: AnswerLoss) -> Product:
        def product(vector: Vector) -> Vector:
            image = loss.hessian_product(vector)
            on_product(sum(one.products for one in losses))
            return image

        return product

    value, gradient = whole.value_and_gradient()
    if not math.isfinite(value):
        raise ModelError(f"the loss is {value}, so it has no curvature; the model's weights are broken")
    try:
        ends = _ends(counted(whole), whole.dimension, search)
        radii = [abs(_extreme(counted(part), part.dimension, search)[0]) for part in parts]
    except MemoryError as error:
        gigabytes = 4e-9 * whole.dimension
        raise ModelError(
            f"out of memory: Lanczos holds {search.basis + 8} vectors of {gigabytes:.2f} GB; "
            "take a smaller basis, or space 'lora'"
        ) from error
    if any(map(math.isnan, radii)):
        missing = f"a part's radius did not converge within {search.max_products} products"
        ends["reason"] = "; ".join(filter(None, (ends["reason"], missing)))
    return ends | {
        "batch_radii": tuple(radii),
        "loss": value,
        "gradient_norm": float(np.linalg.norm(gradient.astype(np.float64))),
        "answer_tokens": whole.answer_tokens,
        "parameters": whole.dimension,
        "products": sum(loss.products for loss in losses),
    }


def _ends(product: Product, size: int, search: _Search) -> dict[str, Any]:
    """The end that is larger in magnitude, then the other: the largest in magnitude once the first is subtracted.

    So both converge relative to the radius, also where one end lies at 0.
    """
    first, vector = _extreme(product, size, search)
    if vector is None:
        reason = f"no end of the spectrum converged within {search.max_products} products"
        return dict.fromkeys(("radius", "top", "bottom", "top_residual", "bottom_residual"), math.nan) | {
            "reason": reason
        }
    scale = abs(first) or 1.0
    first_residual = _residual(product, first, vector) / scale
    del vector
    beyond, vector = _extreme(lambda v: product(v) - np.float32(first) * v, size, search)
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


def _extreme(product: Product, size: int, search: _Search) -> tuple[float, Vector | None]:
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
    return float(values[0]), np.asarray(vectors[:, 0], dtype=np.float32)


def _residual(product: Product, value: float, vector: Vector) -> float:
    return float(np.linalg.norm(product(vector) - np.float32(value) * vector))
