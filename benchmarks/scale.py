"""Cost against work: processor seconds and peak memory as there is more to do, and the exponent of it.

    python -m benchmarks.scale [--only examples --only nodes] [--rounds 3] [--largest 100000]

One table each for examples and groups of `chaintune compare`, checkpoints in the statistics of a study and in its
report, nodes of a plan of many seeds, and stages of a plan of one chain. Each size is a process of its own. It does the
smallest size first, so that libraries are loaded; seconds are those of the processors for the work alone (the least of
the rounds), memory is the process's peak with libraries and all. An exponent of 1 is linear: between a size and the one
before it, and by least squares over all of them. Nothing is trained; plans know of no data and no model, but load the
backend that they name, and torch with it.
"""

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import page
from chaintune.cli.app import app
from chaintune.forgetting import summarise
from chaintune.plan.plan import compile_plan
from chaintune.records import Choices, Example, Task
from chaintune.report.folder import write_report
from chaintune.study.study import Study

Work = Callable[[], object]

FEW_GROUPS, ROWS_OF_GROUPS = 11, 40_000
ITEMS, RESAMPLES = 2_000, 10_000
NODES_A_SEED, SCORES_A_STAGE = 44, 3


@dataclass(frozen=True)
class Kind:
    """What there may be more of.

    Attributes:
        title: of the table.
        sizes: smallest first.
        write: what of a size lies in a folder before anything is measured.
        work: a folder and a size -> what is measured.
    """

    title: str
    sizes: Sequence[int]
    write: Callable[[Path, int], None]
    work: Callable[[Path, int], Work]


def write_logs(folder: Path, rows: int, *, groups: int) -> None:
    """Two tables of scores in which each example is its own cluster, the slowest case."""
    rng, numbers = np.random.default_rng(0), np.arange(rows)
    for side, share in (("before", 0.7), ("after", 0.6)):
        columns = {"id": numbers, "score": (rng.random(rows) < share).astype(int), "group": numbers % groups}
        table = pl.DataFrame(columns).with_columns(pl.format("g{}", "group").alias("group"))
        table.write_ndjson(folder / f"{side}.jsonl")


def compared(folder: Path, _size: int) -> Work:
    """`chaintune compare` of two logs by their groups."""
    arguments = ["compare", *(str(folder / f"{side}.jsonl") for side in ("before", "after")), "--by", "group"]
    return partial(app, args=arguments, standalone_mode=False)


def summarised(_folder: Path, size: int) -> Work:
    """The statistics of a study of so many checkpoints."""
    tasks = page.both_tasks(ITEMS)
    roles = {name: task.role for name, task in tasks.items()}
    return partial(summarise, list(page.measured(size, tasks)), study="large", roles=roles, resamples=RESAMPLES)


def reported(folder: Path, _size: int) -> Work:
    """The report of a study of so many checkpoints."""
    return partial(write_report, folder / "run", page.both_tasks(ITEMS))


def planned(_folder: Path, size: int) -> Work:
    """A plan of about so many nodes: all orders of two of three tasks, two doses of replay, and as many seeds."""
    seeds = list(range(max(1, round(size / NODES_A_SEED))))
    return _plan({"chains": "all orders of 2", "vary": {"seed": seeds}, "mitigations": [{"replay": _DOSES}]})


_DOSES = {"task": "a", "dose": [0.25]}


def chained(_folder: Path, size: int) -> Work:
    """The plan of one chain of about so many nodes."""
    stages = max(2, round(size / (1 + SCORES_A_STAGE)))
    return _plan({"chains": [["a", "b", "c"][number % 3] for number in range(stages)]})


def _plan(keys: dict[str, object]) -> Work:
    tasks = {name: _task(name) for name in "abc"}
    wish = {"base": "made", "tasks": {name: {"role": "safety", "path": f"{name}.jsonl"} for name in tasks}}

    def work() -> None:
        study = Study.from_mapping(wish | keys)
        plan = compile_plan(study, base_keys={"made": "0" * 64}, tasks=tasks, precision="fp32")
        json.dumps(plan.to_dict())

    return work


def _task(name: str) -> Task:
    examples = [Example(f"{name}-{number}", "?", Choices((" yes", " no"), 0), {}, str(number)) for number in range(40)]
    return Task(name, "safety", "1", tuple(examples[:20]), tuple(examples[20:]), (), "made up", "CC0")


def write_nothing(_folder: Path, _size: int) -> None:
    """Nothing lies in the folder."""


KINDS = {
    "examples": Kind(
        f"Examples that `compare` reads, {FEW_GROUPS} groups",
        (1_000, 10_000, 100_000, 1_000_000),
        partial(write_logs, groups=FEW_GROUPS),
        compared,
    ),
    "groups": Kind(
        f"Groups that `compare` tells apart, {ROWS_OF_GROUPS:,} examples",
        (2, 20, 200, 2_000),
        lambda folder, size: write_logs(folder, ROWS_OF_GROUPS, groups=size),
        compared,
    ),
    "statistics": Kind(
        f"Checkpoints in the statistics of a study, {ITEMS:,} examples each", (2, 20, 200), write_nothing, summarised
    ),
    "report": Kind(
        f"Checkpoints in a report, {ITEMS:,} examples each",
        (2, 20, 200),
        lambda folder, size: page.make(folder / "run", size, ITEMS, RESAMPLES),
        reported,
    ),
    "nodes": Kind("Nodes of a plan, many seeds", (100, 1_000, 10_000), write_nothing, planned),
    "chain": Kind("Nodes of a plan, one chain", (100, 1_000, 4_000), write_nothing, chained),
}


def measure(name: str, folder: Path, sizes: Sequence[int], rounds: int) -> dict[str, float]:
    """Processor seconds of the last size after the first one was done once, and this process's peak memory in MB."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        KINDS[name].work(folder / str(sizes[0]), sizes[0])()
        work, seconds = KINDS[name].work(folder / str(sizes[-1]), sizes[-1]), []
        for _ in range(rounds):
            began = time.process_time()
            work()
            seconds.append(time.process_time() - began)
    unit = 1 if sys.platform == "darwin" else 1024
    return {"seconds": min(seconds), "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6}


def table(name: str, folder: Path, largest: int, rounds: int) -> None:
    """Print the table of one kind."""
    kind, sizes, costs = KINDS[name], [size for size in KINDS[name].sizes if size <= largest], list[float]()
    print(
        f"\n{kind.title}:\n\n| size | processor seconds | exponent | peak MB |\n| --- | --- | --- | --- |", flush=True
    )
    for place, size in enumerate(sizes):
        (folder / str(size)).mkdir(parents=True)
        kind.write(folder / str(size), size)
        command = [sys.executable, "-m", "benchmarks.scale", "--measure", name, str(folder), str(rounds)]
        done = subprocess.run([*command, str(sizes[0]), str(size)], check=True, capture_output=True)  # noqa: S603
        cost = json.loads(done.stdout)
        costs.append(cost["seconds"])
        since = math.log(costs[-1] / costs[-2]) / math.log(size / sizes[place - 1]) if place else math.nan
        shown = "" if math.isnan(since) else f"{since:.2f}"
        print(f"| {size:,} | {cost['seconds']:.3f} | {shown} | {cost['megabytes']:,.0f} |", flush=True)
    if len(sizes) > 1:
        slope = np.polyfit(np.log(sizes), np.log(costs), 1)[0]
        print(f"| over all | | {slope:.2f} | |", flush=True)


def main() -> None:
    """Measure what is asked for, one table after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=KINDS, action="append", help="this table only; may be repeated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=1_000_000, help="leave larger sizes out")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        name, folder, rounds, *sizes = asked.measure
        print(json.dumps(measure(name, Path(folder), list(map(int, sizes)), int(rounds))))
        return
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}")
    for name in asked.only or KINDS:
        with tempfile.TemporaryDirectory() as scratch:
            table(name, Path(scratch), asked.largest, asked.rounds)


if __name__ == "__main__":
    main()
