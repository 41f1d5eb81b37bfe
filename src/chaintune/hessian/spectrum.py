"""Curvature at a checkpoint: the two ends of the spectrum of the loss's Hessian."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chaintune.errors import ConfigError, ModelError, nearest
from chaintune.hessian.double_backward import double_backward_mode, space_of
from chaintune.hessian.examples import choose_examples
from chaintune.hessian.lanczos import Product, Search, Vector, extreme, spectrum_ends
from chaintune.hessian.loss import StageLoss
from chaintune.models.loading import LoadedModel
from chaintune.models.memory import unless_out_of_memory
from chaintune.records import Curvature, Example, Recipe, Space
from chaintune.tuning.objectives import Objective, Tokenized, objective_of, targets_of, with_objective
from chaintune.tuning.tokenized import tokenized

SPACES = ("full", "lora")
OnProduct = Callable[[int], None]
DEFAULT_SEARCH = Search()


def curvature(
    loaded: LoadedModel,
    examples: Sequence[Example],
    *,
    task: str,
    loss: Recipe | None = None,
    space: Space = "full",
    batches: int = 4,
    search: Search = DEFAULT_SEARCH,
    provenance: Mapping[str, str] | None = None,
    on_product: OnProduct = lambda _: None,
) -> Curvature:
    """Both ends of the spectrum of the loss's Hessian, and its radius, on some examples.

    The loss is the one that tuning minimises, in SFT the mean cross entropy of the right answers' tokens, here of all
    examples together, without dropout. It is computed in fp32 whatever the model's precision.

    Memory: beside the model in fp32 and the graph of one micro-batch, `search.basis + 8` vectors as long as the space,
    4 bytes a number. Time: each product costs about as much as two steps of tuning on the examples; the two
    ends take some 10 to 30 products, and the parts together as much as one end.

    Args:
        loaded: the model; it is left unchanged.
        examples: in any order; the result does not depend on it.
        task: name that the result bears.
        loss: the recipe whose loss it is; where it names no objective, the one that takes the examples' targets.
        space: `full`, or `lora` for the weights of the model's adapter alone.
        batches: disjoint parts of the examples whose radius is measured too, for its spread; 0 for none.
        search: for an eigenvalue; its seed also says which example is in which part.
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
    _check(search, space, batches, len(examples))
    chosen = choose_examples(examples, None, task=task, seed=search.seed)
    optimised = objective_of(with_objective(loss or Recipe(), targets_of(chosen), task=task))
    if optimised.has_reference:
        raise ConfigError(
            f"task '{task}': its loss is held against another model, and curvature is that of one; take a task without "
            "preferences"
        )
    encoded = tokenized(loaded, chosen, optimised, task=task)
    started = time.monotonic()
    names = space_of(loaded, space)

    def measure() -> dict[str, Any]:
        with double_backward_mode(loaded, names.__contains__):
            return _measure(
                loaded, encoded, [*names.values()], optimised, batches=batches, search=search, on_product=on_product
            )

    ends = unless_out_of_memory(measure)
    if ends is None:
        gigabytes = 4e-9 * sum(weight.numel() for weight in names.values())
        raise ModelError(
            f"out of memory: beside the model in fp32, Lanczos holds {search.basis + 8} vectors of {gigabytes:.2f} GB; "
            "take a smaller basis, or space 'lora'"
        )
    return Curvature(
        task=task,
        space=space,
        n=len(chosen),
        n_clusters=len({example.cluster for example in chosen}),
        seconds=time.monotonic() - started,
        seed=search.seed,
        provenance=dict(provenance or {}),
        **ends,
    )


def _check(search: Search, space: str, batches: int, count: int) -> None:
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


def _measure(
    loaded: LoadedModel,
    examples: Sequence[Tokenized],
    parameters: Sequence[Any],
    objective: Objective,
    *,
    batches: int,
    search: Search,
    on_product: OnProduct,
) -> dict[str, Any]:
    whole = StageLoss(loaded.model, examples, parameters, objective=objective)
    starts = range(batches)
    parts = [StageLoss(loaded.model, examples[start::batches], parameters, objective=objective) for start in starts]
    losses = [whole, *parts]

    def counted(loss: StageLoss) -> Product:
        def product(vector: Vector) -> Vector:
            image = loss.hessian_product(vector)
            on_product(sum(one.products for one in losses))
            return image

        return product

    value, gradient = whole.value_and_gradient()
    if not math.isfinite(value):
        raise ModelError(f"the loss is {value}, so it has no curvature; the model's weights are broken")
    ends = spectrum_ends(counted(whole), whole.dimension, search)
    radii = [abs(extreme(counted(part), part.dimension, search)[0]) for part in parts]
    if any(map(math.isnan, radii)):
        missing = f"a part's radius did not converge within {search.max_products} products"
        ends["reason"] = "; ".join(filter(None, (ends["reason"], missing)))
    return ends | {
        "batch_radii": tuple(radii),
        "loss": value,
        "gradient_norm": float(np.linalg.norm(gradient.astype(np.float64))),
        "answer_tokens": whole.items,
        "parameters": whole.dimension,
        "products": sum(loss.products for loss in losses),
    }
