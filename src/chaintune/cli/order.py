"""`chaintune order`: which order of a study's tasks keeps most, predicted before the orders are trained."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.options import AsJson, Out, Overrides, RunFlags, StudyFile
from chaintune.cli.output import echo


@expand_dataclasses
def order(
    study: StudyFile,
    run_flags: RunFlags,
    out: Out = None,
    overrides: Overrides = None,
    verify: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Train the N best orders by the prediction, and the worst."),
    ] = 0,
    examples: Annotated[
        int, typer.Option(min=1, metavar="N", help="Training examples of each task for comparing gradients.")
    ] = 64,
    as_json: AsJson = False,
) -> int:
    """Predict in which order the tasks of a study keep most, without training every order.

    Each task in the study's chains is trained once, alone. What every order would keep is predicted from three things:
    how far each training moves the model on the other tasks' questions (KL divergence from the base), how much each
    task still has to learn after each other one, and how far their gradients oppose each other. --verify trains some
    orders; a later `chaintune run` reuses their stages.

    On synthetic tasks with known answers, predictions were not shown to rank orders better than chance
    (docs/how-to/order.md): take them as a starting point, and measure with --verify.
    """
    from chaintune.study.study import Study

    run_flags.check()
    wish = Study.from_yaml(study, overrides or ())
    wish = replace(wish, allow_unused=(*wish.allow_unused, *(run_flags.allow_unused or ())))
    from chaintune import api  # what is wrong with the file is said before all this is loaded
    from chaintune.cli.display import RunDisplay, print_tables
    from chaintune.report.orders import order_tables, order_words

    folder = out or Path("runs") / f"{wish.name}-order"
    predicted = api.order(
        wish,
        folder,
        verify=verify,
        examples=examples,
        store=run_flags.store,
        executor=run_flags.executor,
        address=run_flags.address,
        watch=RunDisplay,
        command=["chaintune", *sys.argv[1:]],
        trust_remote_code=run_flags.trust_remote_code,
        serving=run_flags.serving,
        allow=run_flags.allowance,
    )
    if as_json:
        echo(json.dumps(predicted.to_dict(), indent=2))
        return 0
    print_tables(order_tables(predicted))
    echo(order_words(predicted))
    echo(f"\nall orders are in {folder}/order.json")
    return 0
