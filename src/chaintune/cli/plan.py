"""`chaintune plan`: what a study would run, and what that costs; runs nothing."""

import json
import math

import typer

from chaintune.cli.options import AsJson, Overrides, StoreRoot, StudyFile


def plan(study: StudyFile, store: StoreRoot = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show what a study would train and score, what is shared, and the time and disk it takes.

    Nothing is trained. The time comes from stages of the same base in the store, or, where there is
    none, from a short measurement of this machine's matrix products.
    """
    from chaintune.cli.display import duration, print_tables
    from chaintune.report.tables import Table
    from chaintune.study.address import open_store
    from chaintune.study.estimate import forecast
    from chaintune.study.file import Study
    from chaintune.study.probe import probed_rates
    from chaintune.study.session import open_session, parameters_of

    session = open_session(Study.from_yaml(study, overrides or ()), open_store(store))
    largest = max(map(parameters_of, session.bases.values()))
    train_rate, score_rate = probed_rates(largest, session.precision)
    ahead = forecast(session.plan, session.store, train_rate=train_rate, score_rate=score_rate)
    if as_json:
        typer.echo(json.dumps(session.plan.to_dict() | {"forecast": ahead.to_dict()}, indent=2))
        return
    counts = session.plan.counts()
    nodes = tuple((node.kind, node.title, f"{node.tokens:,}") for node in session.plan.nodes)
    print_tables(
        [
            Table("Nodes, in the order in which they run", "", ("kind", "what", "tokens"), nodes),
            Table(
                "Shared and not shared",
                "Not shared: every chain trained and scored from its base on its own.",
                ("", "shared", "not shared"),
                (
                    ("stages", str(counts["stages_shared"]), str(counts["stages_unshared"])),
                    ("scores", str(counts["scores_shared"]), str(counts["scores_unshared"])),
                ),
            ),
        ]
    )
    measured = ahead.train_rate.nodes or ahead.score_rate.nodes
    origin = "measured on earlier stages" if measured else "guessed from this machine's matrix products"
    seconds = "unknown" if math.isnan(ahead.seconds) else f"about {duration(ahead.seconds)}"
    uncounted = f"not counted: {len(session.plan.curvatures)} curvatures; " if session.plan.curvatures else ""
    typer.echo(
        f"to do: {ahead.stages} stages ({ahead.train_tokens:,} tokens), {ahead.scores} scores "
        f"({ahead.score_tokens:,} tokens); time {seconds} ({origin}); "
        f"{uncounted}disk {ahead.disk_bytes / 1e9:.2f} GB of {ahead.free_bytes / 1e9:.0f} GB free"
    )
