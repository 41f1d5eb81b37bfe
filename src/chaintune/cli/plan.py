"""`chaintune plan`: what a study would run, and what that costs; trains and scores nothing."""

import json
import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.options import AllowUnused, AsJson, Overrides, StoreRoot, StudyFile
from chaintune.cli.output import echo
from chaintune.cli.power import PowerFlags, assumptions, power_json, power_table
from chaintune.errors import number_of

if TYPE_CHECKING:
    from chaintune.execution.cluster_spec import Cluster
    from chaintune.execution.estimate import Forecast, Rates
    from chaintune.execution.makespan import Makespan
    from chaintune.plan.plan import Plan
    from chaintune.report.tables import Table
    from chaintune.runs.session import Session
    from chaintune.study.study import Study

_MOST_SHOWN = 500


@expand_dataclasses
def plan(
    study: StudyFile,
    power_flags: PowerFlags,
    store: StoreRoot = None,
    overrides: Overrides = None,
    allow_unused: AllowUnused = None,
    as_json: AsJson = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help="How long it would take on a cluster: '8 gpu 80GB', '2 node 4 gpu 80GB' or '16 cpu 64GB'.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Show what a study would train and score, what is shared, and the time and disk it takes.

    Nothing is trained; a base that is a GGUF file is unpacked into the store once. The time comes from finished work
    of the same kind in the store (model, method, precision, measure), or, where there is none, from a short measurement
    of this machine's matrix products. A cluster's time comes from the same rates, each job starting as soon as what it
    reads is there and the cluster has room.

    With --power it shows instead what the study could tell: how likely a loss of 5 and of 10 points would be shown, of
    each task and of one group of each dimension, and how many examples and seeds four cases of five take.
    """
    from chaintune.cli.display import print_tables
    from chaintune.execution.cluster_spec import read_cluster
    from chaintune.execution.estimate import forecast, rates_of
    from chaintune.execution.hardware import this_hardware
    from chaintune.store.address import open_store
    from chaintune.study.study import Study

    power_flags.check()
    machines = read_cluster(cluster) if cluster else None
    wish = Study.from_yaml(study, overrides or ())
    wish = replace(wish, allow_unused=(*wish.allow_unused, *(allow_unused or ())))
    if power_flags.power:
        _show_power(wish, power_flags, as_json=as_json)
        return 0
    import chaintune.hf  # noqa: F401 - from here on torch is needed
    from chaintune.execution.bases import entry_keys
    from chaintune.execution.probe import probed_rates
    from chaintune.execution.server_requests import server_work
    from chaintune.execution.sizing import parameters_of
    from chaintune.runs.session import prepare

    session = prepare(wish, open_store(store))
    largest = max(map(parameters_of, session.bases.values()))
    train_rate, score_rate = probed_rates(largest, session.precision)
    rates = rates_of(session.plan, session.store, here=this_hardware(), train_rate=train_rate, score_rate=score_rate)
    ahead = forecast(session.plan, session.store, rates, entry_keys(session.bases.values()))
    on_cluster = _makespan(session, rates, machines) if machines else None
    asked = server_work(session.plan, session.store, {**session.bases, **session.judges}, session.tasks)
    if as_json:
        plain = session.plan.to_dict() | {"forecast": ahead.to_dict()}
        plain |= {"servers": [asdict(one) for one in asked]} if asked else {}
        echo(json.dumps(plain | ({"schedule": on_cluster.to_dict()} if on_cluster else {}), indent=2))
        return 0
    print_tables(_plan_tables(session.plan))
    echo(_to_do(session.plan, ahead))
    for one in asked:
        echo(f"to be asked of {one}")
    if on_cluster and machines:
        echo(_on_cluster(on_cluster, session.plan, machines))
    return 0


def _show_power(study: "Study", flags: PowerFlags, *, as_json: bool) -> None:
    """The power of each task of a study, at its sizes and seeds; reads no model."""
    from chaintune.cli.display import print_tables
    from chaintune.study.task_spec import load_spec
    from chaintune.tasks import power_rows, sample_test
    from chaintune.tasks.power import counts_flips

    flips, seeds = flags.assumed(), len(dict(study.vary).get("seed", (study.seed,)))
    rows = {}
    for name, spec in study.tasks.items():
        if not spec.is_tested:
            continue
        sizes = {"train": None if spec.is_taught else spec.train, "test": None}
        own = spec.model_copy(update=sizes)
        whole = load_spec(name, own, chat=study.chat, allow_overlap=study.allow_overlap)
        if not counts_flips(whole.test, spec.measure):
            echo(f"task '{name}' is measured in nats, which do not flip, so its power is not known", err=True)
            continue
        sample = sample_test(whole, spec.test, seed=spec.seed)
        rows[name] = power_rows(sample, whole, flips, seeds=seeds, seed=spec.seed)
    if as_json:
        echo(json.dumps(power_json(flips, seeds, rows), indent=2))
        return
    print_tables([power_table(name, several) for name, several in rows.items()])
    echo(assumptions(flips, seeds))


def _makespan(session: "Session", rates: "Rates", cluster: "Cluster") -> "Makespan":
    """The makespan of what is pending, on a cluster."""
    import torch

    from chaintune.execution.cluster_spec import check_fits
    from chaintune.execution.estimate import node_seconds
    from chaintune.execution.makespan import makespan
    from chaintune.execution.requests import requests_of
    from chaintune.execution.run import pending_nodes
    from chaintune.execution.sizing import parameters_of

    plan, store = session.plan, session.store
    request_of = requests_of(plan, any_gpu=cluster.has_gpus)
    weights = {name: parameters_of(base) for name, base in session.bases.items()}
    check_fits(plan, cluster, request_of=request_of, weights=weights, precision=session.precision)
    threads = torch.get_num_threads()
    return makespan(
        plan,
        cluster,
        pending=pending_nodes(plan, store),
        seconds=node_seconds(
            rates,
            on=lambda node: cluster.hardware_of(request_of(node)),
            power=lambda node: cluster.power_of(request_of(node), threads=threads),
        ),
        request_of=request_of,
        present=[node.key for node in plan.stages if store.has(node.kind, node.key)],
    )


def _plan_tables(plan: "Plan") -> list["Table"]:
    from chaintune.report.tables import Table

    counts = plan.counts()
    nodes = tuple((node.kind, node.title, f"{node.tokens:,}") for node in plan.nodes[:_MOST_SHOWN])
    more = f"And {len(plan.nodes) - _MOST_SHOWN:,} more; --json has all." if len(plan.nodes) > _MOST_SHOWN else ""
    return [
        Table("Nodes, in the order in which they run", more, ("kind", "what", "tokens"), nodes),
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


def _to_do(plan: "Plan", ahead: "Forecast") -> str:
    from chaintune.cli.amounts import duration

    seconds = "unknown" if math.isnan(ahead.seconds) else f"about {duration(ahead.seconds)}{_origin(ahead)}"
    copies = f", beside {ahead.base_bytes / 1e9:.2f} GB that unpacked bases take there now" if ahead.base_bytes else ""
    further = (
        (plan.curvatures, "curvature", ""),
        (plan.divergences, "divergence", ""),
        (plan.commands, "stage that a command makes", "stages that commands make"),
    )
    left = [number_of(len(part), one, several) for part, one, several in further if part]
    uncounted = f"not counted: {' and '.join(left)}; " if left else ""
    held = max((node.held_bytes for node in plan.stages), default=0)
    beside = f"; beside its model a stage holds up to {held / 1e6:.1f} MB of what its parent predicts" if held else ""
    stages, scores = number_of(ahead.stages, "stage"), number_of(ahead.scores, "score")
    return (
        f"to do: {stages} ({ahead.train_tokens:,} tokens), {scores} ({ahead.score_tokens:,} tokens); time {seconds}; "
        f"{uncounted}disk {ahead.disk_bytes / 1e9:.2f} GB of {ahead.free_bytes / 1e9:.0f} GB free{copies}{beside}"
    )


def _origin(ahead: "Forecast") -> str:
    measured, guessed = "measured on earlier work of the same kind", "guessed from this machine's matrix products"
    if math.isnan(ahead.measured_share):
        return ""
    if 0 < ahead.measured_share < 1:
        return f" ({ahead.measured_share:.0%} of it {measured}, the rest {guessed})"
    return f" ({measured if ahead.measured_share else guessed})"


def _on_cluster(makespan: "Makespan", plan: "Plan", cluster: "Cluster") -> str:
    from chaintune.cli.amounts import duration

    unit = "GPU" if cluster.has_gpus else "core"
    as_fast = "as fast as this machine" if cluster.has_gpus else "as fast as one of this machine's"
    return (
        f"on {makespan.cluster}: about {duration(makespan.makespan_seconds)}, {makespan.unit_hours:,.1f} {unit}-hours; "
        f"disk {makespan.disk_bytes / 1e9:.2f} GB at most, keep: {plan.keep}\n"
        f"Where nothing was measured on a {unit}, it is taken to be {as_fast}, several as that many times as fast; "
        "starting workers, loading and saving are not counted."
    )
