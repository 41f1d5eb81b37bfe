"""`chaintune mitigate`: bring back what a checkpoint lost, at the smallest dose that does, and write that model."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from chaintune.cli.amounts import read_size
from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.options import AsJson, MaxStore, Overrides, RunFlags, Tables
from chaintune.cli.output import echo
from chaintune.cli.score import TaskFile
from chaintune.errors import ConfigError

_SEVERAL = re.compile(r"[^,\[\]{}\s]+(,[^,\[\]{}\s]+)+")


@dataclass(frozen=True)
class DoseFlags:
    """Options of which doses are tried, and which one suffices."""

    dose: Annotated[
        str | None,
        typer.Option(help="Fractions of the task's training data to try. [default: 0.01,0.02,0.05,0.1,0.25]"),
    ] = None
    who: Annotated[
        Literal["uniform", "balanced", "targeted", "hardest", "most_forgotten", "representative"],
        typer.Option(help="How the examples of the dose are chosen."),
    ] = "uniform"
    kind: Annotated[
        str,
        typer.Option(
            help="The mitigation: replay; self_replay, which replays the earlier model's own answers; interpolate or "
            "merge_back, which mix in a fraction of its weights without training."
        ),
    ] = "replay"
    base: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Base of both models, for mitigations that need it, such as merge_back."),
    ] = None
    by: Annotated[str | None, typer.Option(help="Dimension of the groups, if --who needs groups.")] = None
    target: Annotated[float, typer.Option(help="Share of the loss that must be recovered.")] = 0.8
    margin: Annotated[float, typer.Option(help="Most that a kept task may lose, as a share of the score.")] = 0.02
    write_best: Annotated[
        bool, typer.Option("--write-best", help="If no dose suffices, write the model with the largest recovery.")
    ] = False

    def fractions(self) -> list[float] | None:
        """The doses as numbers; None where none were given."""
        try:
            return [float(part) for part in self.dose.split(",")] if self.dose is not None else None
        except ValueError:
            raise ConfigError(f"--dose '{self.dose}': expected fractions such as 0.01,0.05,0.1") from None


@expand_dataclasses
def mitigate(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The checkpoint after the loss.", show_default=False)],
    before: Annotated[str, typer.Option(metavar="MODEL", help="The checkpoint before the loss.", show_default=False)],
    forgotten: Annotated[str, typer.Option(metavar="TASK", help="The task that was lost.", show_default=False)],
    keep: Annotated[
        list[str],
        typer.Option(
            "--keep",
            metavar="TASK",
            help="A task that should not get worse; repeat the option for more.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results and the model.", show_default=False)],
    dose_flags: DoseFlags,
    run_flags: RunFlags,
    suite: TaskFile = None,
    max_store: MaxStore = "",
    overrides: Overrides = None,
    as_json: AsJson = False,
    tables: Tables = "few",
) -> int:
    """Replay doses of a task that MODEL lost, compare them, and write the model of the smallest dose that suffices.

    A dose suffices if the interval of its recovery lies wholly above the target and the interval of its price in every
    kept task wholly below the margin. Exit code 3: no tested dose suffices. --kind interpolate and merge_back try
    fractions of the weights instead of doses.

    Fields of the recipe are options too, such as --recipe.learning_rate 1e-4 or, to try several values, 1e-4,5e-5.
    So are keys of the mitigation, such as --mitigation.fraction 0.1,0.2. --set takes any key of a study file, such as
    tasks.bbq.train="30 per category".
    """
    from chaintune.api import mitigate as run
    from chaintune.cli.display import RunDisplay, print_tables, print_texts
    from chaintune.records import Limits
    from chaintune.report.mitigations import mitigation_tables
    from chaintune.report.printed import chosen
    from chaintune.report.results import Results
    from chaintune.study.task_spec import suite_settings

    run_flags.check()
    recipe, options = further_options(context.args)
    mitigations = run(
        model,
        before=before,
        forgotten=forgotten,
        keep=keep,
        out=out,
        **(asdict(dose_flags) | {"dose": dose_flags.fractions()}),
        store=run_flags.store,
        executor=run_flags.executor,
        address=run_flags.address,
        trust_remote_code=run_flags.trust_remote_code,
        allow_unused=run_flags.allow_unused or (),
        serving=run_flags.serving,
        allow=run_flags.allowance,
        settings=suite_settings(suite) if suite else None,
        overrides=[*(overrides or ()), *recipe],
        options=options,
        max_store=read_size(max_store, "--max-store"),
        watch=RunDisplay,
        command=["chaintune", *sys.argv[1:]],
    )
    if as_json:
        echo(json.dumps(mitigations.to_dict(), indent=2, default=str))
    else:
        made, limits = mitigations.results, Limits(dose_flags.target, dose_flags.margin)
        shown = chosen(mitigation_tables(Results("", made.rows, made.level, limits)), tables)
        print_tables(shown.tables)
        print_texts([shown.others_line(f"{out}/report.html"), ""])
        echo(f"{mitigations.choice.dose_curve} of {mitigations.choice.task}: {mitigations.choice.reason}.")
        model_folder = mitigations.model
        wrote = f"{mitigations.written} is written to {model_folder}" if model_folder else "no model is written"
        echo(f"{wrote}; the whole report is {out}/report.html")
    if not mitigations.results.outcome.complete:
        for result in mitigations.results.outcome.of("failed"):
            echo(f"chaintune: {result.node.title} failed: {result.cause}", err=True)
        return 2
    return 0 if mitigations.choice.chosen else 3


def further_options(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """`--recipe.FIELD VALUE` and `--recipe.FIELD=VALUE` as overrides of a study file, `--mitigation.FIELD` as its keys.

    Several values, `1e-4,5e-5`, are varied of a recipe, and a list of a mitigation.

    Raises:
        ConfigError: anything else stands among them.
    """
    overrides, rest, fields = list[str](), list(arguments), dict[str, Any]()
    while rest:
        option = rest.pop(0)
        if not (named := re.fullmatch(r"--((?:recipe|mitigation)\.\w+)(?:=(.*))?", option)):
            raise ConfigError(f"'{option}' is not understood; --help shows what there is")
        if named[2] is None and not rest:
            raise ConfigError(f"'{option}' needs a value")
        value, (room, field) = rest.pop(0) if named[2] is None else named[2], named[1].split(".")
        several = value.split(",") if _SEVERAL.fullmatch(value) else []
        if room == "recipe":
            overrides.append(f"vary.{named[1]}=[{value}]" if several else f"{named[1]}={value}")
        else:
            fields[field] = several or value
    return overrides, fields
