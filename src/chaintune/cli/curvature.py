"""`chaintune curvature`: how sharply the loss bends at a model."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from chaintune.cli.options import AllowUnused, AsJson, RemoteCode, StoreRoot
from chaintune.cli.output import echo

if TYPE_CHECKING:
    from chaintune.records import Curvature

INCONCLUSIVE = 3
Model = Annotated[str, typer.Argument(help="Hub id, folder, .gguf file, MODEL+ADAPTER, or alias.", show_default=False)]
Names = Annotated[list[str], typer.Option("--task", help="A task; repeat the option for more.", show_default=False)]
Examples = Annotated[int, typer.Option("--examples", min=1, help="Number of examples over which the loss is averaged.")]
Split = Annotated[Literal["train", "test"], typer.Option("--split", help="Split of the examples.")]
Space = Annotated[Literal["full", "lora"], typer.Option("--space", help="Every weight, or only the adapter's.")]
Parts = Annotated[
    int, typer.Option("--batches", min=0, help="Number of parts of the examples that are also measured separately.")
]
Basis = Annotated[int, typer.Option("--basis", min=3, help="Number of Lanczos vectors in memory.")]
Tolerance = Annotated[
    float, typer.Option("--tolerance", help="Convergence tolerance, as a fraction of the spectral radius.")
]
Most = Annotated[
    int, typer.Option("--max-products", min=3, help="Approximate limit of Hessian-vector products per eigenvalue.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed for sampling the examples.")]


def curvature(
    model: Model,
    task: Names,
    examples: Examples = 16,
    split: Split = "train",
    space: Space = "full",
    batches: Parts = 4,
    basis: Basis = 6,
    tolerance: Tolerance = 0.01,
    max_products: Most = 200,
    seed: Seed = 0,
    store: StoreRoot = None,
    trust_remote_code: RemoteCode = False,
    allow_unused: AllowUnused = None,
    as_json: AsJson = False,
) -> int:
    """Measure how sharply the loss bends at a model: the spectral radius of its Hessian, on a task's examples.

    The loss is the one that tuning minimises. The exit code is 3 if a value did not converge.
    """
    from chaintune.cli.display import print_tables
    from chaintune.report.curvature import curvature_table
    from chaintune.store.address import open_store

    data = {"examples": examples, "split": split, "seed": seed}
    shared = data | {"store": open_store(store), "trust_remote_code": trust_remote_code}
    shared |= {"allow_unused": allow_unused or ()}
    lanczos = {"basis": basis, "tolerance": tolerance, "max_products": max_products}
    curvatures = _curvatures(model, task, space=space, batches=batches, **lanczos, **shared)
    if as_json:
        echo(json.dumps([one.to_dict() for one in curvatures], indent=2))
    else:
        print_tables([curvature_table(curvatures)])
    return INCONCLUSIVE if any(one.reason for one in curvatures) else 0


def _curvatures(model: str, tasks: Sequence[str], **options: Any) -> "list[Curvature]":
    from chaintune import api

    curvatures = []
    for task in tasks:
        with _counting(task) as note:
            curvatures.append(api.curvature(model, task, on_product=note, **options))
    return curvatures


@contextmanager
def _counting(task: str) -> Iterator[Callable[[int], None]]:
    """Shows the number of products on a terminal's stderr; how many it will take is not known."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(f"{task}: first product") as status:
        yield lambda done: status.update(f"{task}: {done} Hessian-vector products")
