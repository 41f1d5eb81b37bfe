"""`chaintune plan`: what a study would run, and what that costs; trains and scores nothing."""

import json
import math
import shutil
import sys
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
    from chaintune.report.cells import Table
    from chaintune.runs.session import Session
    from chaintune.study.study import Study

_MOST_SHOWN = 30
_PLAIN_WIDTH, _OTHER_COLUMNS = 118, 26
_GUESSED = "guessed from this machine's matrix products"


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
            help="Also estimate the time on a cluster: '8 h100', '2 node 4 a100 80GB' or '16 cpu 64GB'.",
            show_default=False,
        ),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show every node, not only the first.")] = False,
) -> int:
    """Show what a study would train and score, what is shared, and the time, memory and disk it takes.

    Nothing is trained; a base that is a GGUF file is unpacked into the store once. The time is estimated from finished
    work of the same kind in the store (model, method, precision, measure), or without such work from a short
    measurement of this machine's matrix products. The time on a cluster is estimated from work finished on such a
    device, or for a GPU without such work from its data sheet. Each job is assumed to start as soon as its inputs are
    ready and the cluster has room.

    With --power it shows instead the study's power to detect a loss of 5 and of 10 points, for each task and for one
    group of each dimension, and how many examples and seeds 80 % power takes.
    """
    from chaintune.study.study import Study

    power_flags.check()
    machines = None
    if cluster:
        from chaintune.execution.cluster_spec import read_cluster

        machines = read_cluster(cluster)
    wish = Study.from_yaml(study, overrides or ())
    wish = replace(wish, allow_unused=(*wish.allow_unused, *(allow_unused or ())))
    if power_flags.power:
        _show_power(wish, power_flags, as_json=as_json)
        return 0
    import chaintune.hf  # noqa: F401 - from here on torch is needed
    from chaintune.cli.display import print_tables
    from chaintune.execution.bases import entry_keys
    from chaintune.execution.estimate import forecast, rates_of
    from chaintune.execution.hardware import this_hardware
    from chaintune.execution.probe import probed_rates
    from chaintune.execution.server_requests import server_work
    from chaintune.execution.sizing import parameters_of
    from chaintune.runs.session import prepare
    from chaintune.store.address import open_store

    session = prepare(wish, open_store(store))
    largest = max(map(parameters_of, session.bases.values()))
    train_rate, score_rate = probed_rates(largest, session.precision)
    rates = rates_of(session.plan, session.store, here=this_hardware(), train_rate=train_rate, score_rate=score_rate)
    ahead = forecast(session.plan, session.store, rates, entry_keys(session.bases.values()))
    on_cluster = _on_cluster(session, rates, machines, largest) if machines else None
    asked = server_work(session.plan, session.store, {**session.bases, **session.judges}, session.tasks)
    memory = _memory_bytes(session)
    if as_json:
        plain = session.plan.to_dict() | {"forecast": ahead.to_dict(), "memory_bytes": memory}
        plain |= {"servers": [asdict(one) for one in asked]} if asked else {}
        echo(json.dumps(plain | ({"schedule": on_cluster[0].to_dict()} if on_cluster else {}), indent=2))
        return 0
    for line in _summary(session, ahead, memory):
        echo(line)
    for one in asked:
        echo(f"to be asked of {one}")
    if on_cluster:
        echo(_cluster_line(*on_cluster, keep=session.plan.keep))
    echo("")
    print_tables([_nodes(session.plan, whole=show_all)])
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


def _on_cluster(session: "Session", rates: "Rates", cluster: "Cluster", largest: int) -> tuple["Makespan", str]:
    """The makespan of what is pending, on a cluster, and where its time comes from; NaN where nobody knows."""
    from chaintune.execution.cluster_spec import check_fits
    from chaintune.execution.estimate import node_seconds, rates_elsewhere
    from chaintune.execution.makespan import makespan
    from chaintune.execution.probe import REACHED_SHARE, rates_at
    from chaintune.execution.requests import requests_of
    from chaintune.execution.run import pending_nodes
    from chaintune.execution.sizing import parameters_of

    plan, store = session.plan, session.store
    request_of = requests_of(plan, any_gpu=cluster.has_gpus)
    weights = {name: parameters_of(base) for name, base in session.bases.items()}
    check_fits(plan, cluster, request_of=request_of, weights=weights, precision=session.precision)
    operations, source = cluster.operations(session.precision)
    there = rates_elsewhere(rates, cluster.hardware, *rates_at(operations, largest))
    pending = pending_nodes(plan, store)
    seconds = node_seconds(
        there,
        on=lambda node: cluster.hardware_of(request_of(node)),
        power=lambda node: cluster.units_of(request_of(node)) / there.here.units,
    )
    made = makespan(
        plan,
        cluster,
        pending=pending,
        seconds=seconds,
        request_of=request_of,
        present=[node.key for node in plan.stages if store.has(node.kind, node.key)],
    )
    kinds = {there.measured(node.work, cluster.hardware).nodes > 0 for node in pending if node.tokens}
    guess = _GUESSED if there is rates else f"guessed at {100 * REACHED_SHARE:.0f} % of {source}"
    measured = "measured on earlier work on such a device"
    return made, " and ".join(([measured] if True in kinds else []) + ([guess] if False in kinds else []))


def _nodes(plan: "Plan", *, whole: bool) -> "Table":
    """The nodes, a line each."""
    from chaintune.report.cells import Table

    shown = plan.nodes if whole else plan.nodes[:_MOST_SHOWN]
    left = len(plan.nodes) - len(shown)
    room = (shutil.get_terminal_size().columns if sys.stdout.isatty() else _PLAIN_WIDTH) - _OTHER_COLUMNS
    nodes = tuple((node.kind, _clipped(node.title, room), f"{node.tokens:,}") for node in shown)
    more = f"And {left:,} more; --all shows them, --json has all." if left else ""
    return Table("Nodes, in the order in which they run", more, ("kind", "what", "tokens"), nodes)


def _clipped(text: str, room: int) -> str:
    """A text of at most so many letters: its end says what is measured, its beginning of what."""
    half = max(room - 3, 2) // 2
    return text if len(text) <= room else f"{text[:half]}...{text[-half:]}"


def _memory_bytes(session: "Session") -> int:
    """What the largest node's weights take, with what tuning adds to them; activations come on top."""
    from chaintune.execution.cluster_spec import least_bytes
    from chaintune.execution.sizing import parameters_of

    weights = {name: parameters_of(base) for name, base in session.bases.items()}
    return max((least_bytes(node, weights[node.base], session.precision) for node in session.plan.nodes), default=0)


def _summary(session: "Session", ahead: "Forecast", memory: int) -> list[str]:
    """What is to be done, and the time, memory and disk that it takes, a line each."""
    from chaintune.cli.amounts import duration, size_shown

    plan = session.plan
    counts, stages, scores = plan.counts(), number_of(ahead.stages, "stage"), number_of(ahead.scores, "score")
    seconds = "unknown" if math.isnan(ahead.seconds) else f"about {duration(ahead.seconds)}{_origin(ahead)}"
    further = (
        (plan.curvatures, "curvature", ""),
        (plan.divergences, "divergence", ""),
        (plan.commands, "stage that a command makes", "stages that commands make"),
    )
    left = [number_of(len(part), one, several) for part, one, several in further if part]
    uncounted = f"; not counted: {' and '.join(left)}" if left else ""
    held = max((node.held_bytes for node in plan.stages), default=0)
    beside = f"; beside its model a stage holds up to {held / 1e6:.1f} MB of what its parent predicts" if held else ""
    shared = f"{counts['stages_shared']:,} stages and {counts['scores_shared']:,} scores in all"
    alone = f"{counts['stages_unshared']:,} and {counts['scores_unshared']:,} if every chain began at its base alone"
    return [
        f"to do: {stages} ({ahead.train_tokens:,} tokens), {scores} ({ahead.score_tokens:,} tokens)",
        f"sharing: {shared}; {alone}",
        f"time: {seconds}{uncounted}",
        f"memory: {size_shown(memory)} or more for weights and what tuning adds; activations come on top{beside}",
        _disk(session, ahead),
    ]


def _disk(session: "Session", ahead: "Forecast") -> str:
    """What checkpoints take of the disk, with what another `keep` would take where that is more than there is."""
    from chaintune.store.store import is_url

    keep, needed = session.plan.keep, {name: f"{size / 1e9:.2f} GB" for name, size in ahead.added_bytes.items()}
    copies = f"; unpacked bases take {ahead.base_bytes / 1e9:.2f} GB there already" if ahead.base_bytes else ""
    line = f"disk: {needed[keep]} of {ahead.free_bytes / 1e9:.0f} GB free, keep: {keep}{copies}"
    if is_url(session.store.address) or ahead.added_bytes[keep] <= ahead.free_bytes:
        return line
    others = " and ".join(f"'keep: {name}' would take {size}" for name, size in needed.items() if name != keep)
    return f"{line}\nWARNING: that does not fit, and run will not begin; {others}"


def _origin(ahead: "Forecast") -> str:
    measured = "measured on earlier work of the same kind"
    if math.isnan(ahead.measured_share):
        return ""
    if 0 < ahead.measured_share < 1:
        return f" ({100 * ahead.measured_share:.0f} % of it {measured}, the rest {_GUESSED})"
    return f" ({measured if ahead.measured_share else f'{_GUESSED}; loading and saving come on top'})"


def _cluster_line(makespan: "Makespan", origin: str, *, keep: str) -> str:
    from chaintune.cli.amounts import duration

    disk = f"disk {makespan.disk_bytes / 1e9:.2f} GB at most, keep: {keep}"
    if math.isnan(makespan.makespan_seconds):
        return (
            f"on {makespan.cluster}: time unknown, as nothing was measured on such a device yet; name the GPU, as in "
            f"'8 h100', or its rate, as in '8 gpu 400TFLOPS'; {disk}"
        )
    unit = "GPU" if makespan.unit == "gpu" else "core"
    return (
        f"on {makespan.cluster}: about {duration(makespan.makespan_seconds)}, {makespan.unit_hours:,.1f} {unit}-hours"
        f"{f' ({origin})' if origin else ''}; {disk}; starting workers, loading and saving are not counted"
    )
