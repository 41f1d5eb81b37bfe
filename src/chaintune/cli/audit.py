"""`chaintune audit`: score two checkpoints and compare them."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chaintune.cli.compared import Comparing, Telling, tell
from chaintune.cli.score import Names, ScoringRun
from chaintune.cli.spread import spread

if TYPE_CHECKING:
    from chaintune.records import Audit, Comparison, Gate


@spread
def audit(
    before: Annotated[str, typer.Argument(metavar="BEFORE_MODEL", help="The earlier checkpoint.")],
    after: Annotated[
        str, typer.Argument(metavar="AFTER_MODEL", help="The later one: folder, Hub id, MODEL+ADAPTER, ...")
    ],
    task: Names,
    scoring: ScoringRun,
    comparing: Comparing,
    telling: Telling,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report (HTML, Markdown, JSON) and both models' scores.", show_default=False),
    ] = None,
) -> int:
    """Score two checkpoints on the same examples and tell what was forgotten, and by whom. Nothing is trained.

    Each checkpoint is scored once; what is in the store is not computed again. Adapters on one base
    (MODEL and MODEL+ADAPTER, or two adapters) load the base once. With --policy, judge it: code 0 when every
    blocking budget is kept, 1 when one is exceeded, 3 when the data do not tell or something required is missing.

    For example:

    chaintune audit base-model my-model --task bbq --task csqa --by category

    chaintune audit base-model base-model+my-adapter --task bbq --test "40 per category" --policy policy.yaml
    """
    from chaintune import auditing

    tasks = scoring.tasks(task)
    audited: list[Audit] = []

    def compare(**how: Any) -> "Sequence[Comparison]":
        audited.append(auditing.audit(before, after, tasks=tasks, **scoring.options(), **how))
        return audited[0].comparisons

    def keep(_comparisons: "Sequence[Comparison]", gate: "Gate | None") -> None:
        if out is not None:
            command = ["chaintune", *sys.argv[1:]]
            auditing.write_audit(replace(audited[0], gate=gate), out, tasks=tasks, command=command)

    return tell(compare, comparing, telling, keep=keep)
