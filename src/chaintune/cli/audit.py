"""`chaintune audit`: score checkpoints and compare them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from chaintune.cli.comparison import (
    CompareFlags,
    OutputFlags,
    SeriesFlags,
    check_several,
    report_comparisons,
    simulating,
)
from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.score import Names, ScoreFlags
from chaintune.files.names import shown_arguments, told_apart


@expand_dataclasses
def audit(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="BEFORE_MODEL AFTER_MODEL [LATER_MODEL]...",
            help="Checkpoints in order: folder, Hub id, MODEL+ADAPTER, openai:URL#NAME, ...",
            show_default=False,
        ),
    ],
    score_flags: ScoreFlags,
    series_flags: SeriesFlags,
    compare_flags: CompareFlags,
    output: OutputFlags,
    task: Names = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report (HTML, Markdown, JSON) and the models' scores.", show_default=False),
    ] = None,
    kl: Annotated[
        bool | None,
        typer.Option(
            "--kl/--no-kl",
            help="Measure the KL divergence of the later of two models from the earlier one on the right answers, in "
            "nats per token. [default: if only the later one is quantised]",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Score checkpoints on the same examples and report forgetting, overall and by group. Nothing is trained.

    Three or more are a series: each is compared with the one before it and with the first. Each checkpoint is scored
    once, and scores in the store are not computed again. Adapters on one base (MODEL and MODEL+ADAPTER, or two
    adapters) load the base once. With --policy the exit code is 0 if every blocking budget is kept, 1 if one is
    exceeded, and 3 if the data do not decide or something required is missing.

    For example:

    chaintune audit base-model my-model --task bbq --task csqa --by category

    chaintune audit base-model base-model+my-adapter --task bbq --test "40 per category" --policy policy.yaml

    chaintune audit base-model my-model --suite chat-safety --by area --by type --by label --by category --out audit

    chaintune audit base-model base-model-awq --task bbq --by category

    chaintune audit base sft dpo rl --task bbq --by category --out audit
    """
    from chaintune.auditing import audit_scores, check_budgets, check_dimensions, write_audit
    from chaintune.series import series_of_scores, write_series
    from chaintune.study.serve import SERVER_LOGS

    check_several(models)
    policy = output.read_policy()
    options = compare_flags.options(policy=policy)
    tasks = score_flags.tasks(task)
    check_dimensions(options.by, tasks)
    check_budgets(policy, tasks, options)
    command = shown_arguments(["chaintune", *sys.argv[1:]])
    logs = None if out is None else out.absolute() / SERVER_LOGS
    if len(models) == 2:
        named = dict(zip(("before", "after"), models, strict=True))
        scored = score_flags.score(named, tasks, kl=kl, server_logs=logs)
        sides, apart = (scored.scores["before"], scored.scores["after"]), scored.divergences
        with simulating(options) as on_draw:
            audited = audit_scores(*sides, options, policy, tasks=tasks, divergences=apart, on_draw=on_draw)
        if out is not None:
            write_audit(audited, out, tasks=tasks, command=command)
        return report_comparisons(audited.comparisons, audited.gate, output, out)
    against_first = series_flags.against_first
    named = dict(zip(told_apart(models), models, strict=True))
    scores = score_flags.score(named, tasks, kl=kl, server_logs=logs).scores
    with simulating(options) as on_draw:
        series = series_of_scores(
            scores, options, policy, tasks=tasks, against_first=against_first, policy_on=output.policy_on,
            on_draw=on_draw,
        )  # fmt: skip
    if out is not None:
        write_series(series, out, tasks=tasks, command=command)
    return report_comparisons(series.comparisons, series.gate, output, out)
