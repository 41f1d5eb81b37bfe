"""`chaintune audit`: score two checkpoints and compare them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from chaintune.cli.comparison import CompareFlags, OutputFlags, report_comparisons, simulating
from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.score import Names, ScoreFlags
from chaintune.files.names import shown_arguments


@expand_dataclasses
def audit(
    before: Annotated[str, typer.Argument(metavar="BEFORE_MODEL", help="The earlier checkpoint.")],
    after: Annotated[
        str, typer.Argument(metavar="AFTER_MODEL", help="The later one: folder, Hub id, MODEL+ADAPTER, ...")
    ],
    task: Names,
    score_flags: ScoreFlags,
    compare_flags: CompareFlags,
    output: OutputFlags,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report (HTML, Markdown, JSON) and both models' scores.", show_default=False),
    ] = None,
) -> int:
    """Score two checkpoints on the same examples and report forgetting, overall and by group. Nothing is trained.

    Each checkpoint is scored once; what is in the store is not computed again. Adapters on one base
    (MODEL and MODEL+ADAPTER, or two adapters) load the base once. With --policy, judge it: code 0 when every
    blocking budget is kept, 1 when one is exceeded, 3 when the data do not tell or something required is missing.

    For example:

    chaintune audit base-model my-model --task bbq --task csqa --by category

    chaintune audit base-model base-model+my-adapter --task bbq --test "40 per category" --policy policy.yaml
    """
    from chaintune.auditing import audit_scores, check_dimensions, write_audit

    policy = output.read_policy()
    options = compare_flags.options(policy=policy)
    tasks = score_flags.tasks(task)
    check_dimensions(options.by, tasks)
    scores = score_flags.score({"before": before, "after": after}, tasks)
    with simulating(options) as on_draw:
        audited = audit_scores(scores["before"], scores["after"], options, policy, on_draw=on_draw)
    if out is not None:
        write_audit(audited, out, tasks=tasks, command=shown_arguments(["chaintune", *sys.argv[1:]]))
    return report_comparisons(audited.comparisons, audited.gate, output)
