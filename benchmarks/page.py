"""Size, processor time and memory of the report of a large study, made of scores that are made up.

    python benchmarks/page.py [--checkpoints 100] [--items 60000] [--resamples 500] [--keep FOLDER]

The study has one base, two tasks (a safety task with nearly all of the items, a capability task with the rest),
learning rates in three seeds each, and after `safety>capability` a replay of 5 %. Every checkpoint is scored on every
item. Scores and results are made in one process; `write_report` runs in another, which tells its processor seconds, its
peak memory (libraries, items' texts and all) and the bytes of the page. They do not hang on `--resamples`.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from chaintune import forgetting
from chaintune.records import (
    Chain,
    ChainStep,
    Checkpoint,
    CheckpointScores,
    Choices,
    Example,
    MitigationRef,
    Role,
    Scores,
    Task,
    chain_label,
    rows_to_polars,
    scores_table,
    variant_label,
)
from chaintune.report.folder import PAGE, write_report

SAFETY, CAPABILITY = "safety", "capability"
SEEDS = (0, 1, 2)
LOST, REPLAYED = (SAFETY, CAPABILITY), (SAFETY, CAPABILITY, f"{SAFETY}@5%")
# Share of right answers to the safety task and to the capability task.
RIGHT = {(): (0.35, 0.3), (SAFETY,): (0.7, 0.3), LOST: (0.55, 0.5), REPLAYED: (0.66, 0.49)}
CATEGORIES, GROUPS, CLUSTER_SIZE = 11, 72, 25
CAPABILITY_SHARE = 0.05
PROMPT = "Two neighbours, {0} and {1}, waited at the office for the third hour in a row. " * 4 + "Who of them was late?"


def made_task(name: str, count: int) -> Task:
    """A task of so many test examples, of two dimensions where it is about safety."""
    examples = []
    for number in range(count):
        groups = {"category": (f"category {number % CATEGORIES}",), "group": (f"group {number * 7 % GROUPS}",)}
        people = (f"person {number}", f"person {number + 1}")
        choices = (*(f" {one}" for one in people), " It is not known")
        cluster, borne = f"t{number // CLUSTER_SIZE}", groups if name == SAFETY else {}
        target = Choices(choices, number % 3)
        examples.append(Example(f"{name}/{number:06d}", PROMPT.format(*people), target, borne, cluster))
    role: Role = "safety" if name == SAFETY else "capability"
    return Task(name, role, f"{name}-1", (), tuple(examples), ("category", "group"), "made up", "CC0")


def both_tasks(items: int) -> dict[str, Task]:
    """The two tasks, of so many items together."""
    few = max(60, round(items * CAPABILITY_SHARE))
    return {SAFETY: made_task(SAFETY, items - few), CAPABILITY: made_task(CAPABILITY, few)}


def blank(task: Task) -> pa.Table:
    """A table of scores in which nothing is right, to be filled in."""
    count = len(task.test)
    return scores_table(task.name, task.test, [[-1.0, -1.0, -1.0]] * count, [[3, 3, 4]] * count)


def filled(table: pa.Table, task: str, right: float, rng: np.random.Generator) -> Scores:
    """Scores of one checkpoint: about this share is right, and what is right tends to be the same everywhere."""
    gold = table.column("gold").to_numpy()
    easy = np.random.default_rng(0).random(len(gold))
    hit = 0.8 * easy + 0.2 * rng.random(len(gold)) < right
    prediction = np.where(hit, gold, (gold + 1) % 3).astype(np.int32)
    logprobs = -2.0 - rng.random((len(gold), 3))
    logprobs[np.arange(len(gold)), prediction] += 1.5
    offsets = pa.array(np.arange(0, 3 * len(gold) + 1, 3, dtype=np.int32))
    columns = {
        "choice_logprobs": pa.ListArray.from_arrays(offsets, pa.array(logprobs.ravel())),
        "prediction": pa.array(prediction),
        "correct": pa.array(hit),
        "score": pa.array(hit.astype(np.float64)),
    }
    arrays = [columns.get(name, table.column(name)) for name in table.schema.names]
    return Scores(task, pa.Table.from_arrays(arrays, schema=table.schema))


def measured(checkpoints: int, tasks: dict[str, Task]) -> Iterator[CheckpointScores]:
    """The base, shared by all, and checkpoints of learning rates in three seeds each, as many as there are to be."""
    tables = {name: blank(task) for name, task in tasks.items()}
    rng = np.random.default_rng(1)

    def scored(chain: tuple[str, ...]) -> dict[str, Scores]:
        shares = zip(tasks, RIGHT[chain], strict=True)
        return {name: filled(tables[name], name, right, rng) for name, right in shares}

    base, chains = scored(()), list(RIGHT)[1:]
    for number in range(checkpoints - 1):
        run, place = divmod(number, len(chains))
        chain, variant = chains[place], (("learning_rate", f"{1 + run // len(SEEDS)}e-5"),)
        if place == 0:
            yield CheckpointScores(Checkpoint("made", (), variant, SEEDS[run % len(SEEDS)], f"base {variant}"), base)
        held = (
            (MitigationRef("replay", "replay", SAFETY, _steps(LOST), (CAPABILITY,), 0.05),) if chain == REPLAYED else ()
        )
        checkpoint = Checkpoint("made", _steps(chain), variant, SEEDS[run % len(SEEDS)], f"checkpoint {number}")
        yield CheckpointScores(checkpoint, scored(chain), held, 1000.0, 60.0)


def _steps(chain: tuple[str, ...]) -> Chain:
    replay = ChainStep(REPLAYED[-1], (), "replay", 0.05)
    return tuple(replay if step == REPLAYED[-1] else ChainStep.plain(step) for step in chain)


def make(folder: Path, checkpoints: int, items: int, resamples: int) -> None:
    """The folder of a finished run."""
    tasks = both_tasks(items)
    found = list(measured(checkpoints, tasks))
    (folder / "scores").mkdir(parents=True)
    index: dict[str, dict[str, object]] = {}
    for number, one in enumerate(found):
        if one.checkpoint.chain or not index:
            index |= written(folder / "scores", number, one)
    (folder / "scores" / "index.json").write_text(json.dumps(index))
    roles = {name: task.role for name, task in tasks.items()}
    rows = forgetting.summarise(found, study="large", roles=roles, resamples=resamples)
    rows_to_polars(rows).write_parquet(folder / "results.parquet")
    (folder / "results.json").write_text(json.dumps({"metric": "accuracy"}))
    (folder / "provenance.json").write_text(json.dumps(provenance(tasks)))


def written(folder: Path, number: int, one: CheckpointScores) -> dict[str, dict[str, object]]:
    """Name of each file of scores that was written -> what it is of."""
    at = one.checkpoint
    variant = variant_label(at.variant) if at.chain else ""
    about: dict[str, object] = {"base": at.base, "chain": chain_label(at.labels), "variant": variant}
    about |= {"seed": at.seed if at.chain else None, "split": "test", "checkpoint": at.key}
    files = {name: f"{number:03d}.on-{name}.parquet" for name in one.scores}
    for name, scores in one.scores.items():
        scores.write(folder / files[name])
    return {file: about | {"task": name} for name, file in files.items()}


def provenance(tasks: dict[str, Task]) -> dict[str, object]:
    """As much of `provenance.json` as a page reads."""
    about = {
        name: {"role": task.role, "version": task.version, "source": task.source, "licence": task.licence}
        | {"train_examples": 0, "test_examples": len(task.test)}
        | {"train_digest": task.train_digest, "test_digest": task.test_digest}
        for name, task in tasks.items()
    }
    told = {"study": "large", "command": ["benchmarks/page.py"], "written_at": "", "python": "", "platform": ""}
    return told | {"packages": {}, "bases": {"made": ""}, "precision": ["fp32"], "seeds": SEEDS, "tasks": about}


def report(folder: Path, items: int) -> dict[str, float]:
    """What it costs to write the report of a folder, and how large its page is."""
    tasks = both_tasks(items)
    before = time.process_time()
    write_report(folder, tasks)
    spent, peak = time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = list((folder / "figures").glob("*.svg"))
    megabytes = (folder / PAGE).stat().st_size / 1e6
    return {"cpu_seconds": spent, "peak_gib": peak / 2**20, "page_megabytes": megabytes, "figures": len(figures)}


def main() -> None:
    """Make the study, then report on it in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=int, default=100)
    parser.add_argument("--items", type=int, default=60_000)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--keep", type=Path, help="a folder that is not there: it is made and stays")
    parser.add_argument("--only", choices=("make", "report"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only == "make":
        make(asked.keep, asked.checkpoints, asked.items, asked.resamples)
    elif asked.only == "report":
        print(json.dumps(report(asked.keep, asked.items)))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            folder = asked.keep or Path(scratch) / "large"
            both(folder, sys.argv[1:])


def both(folder: Path, arguments: list[str]) -> None:
    """Each part in a process of its own, so that the memory of one is not counted as the other's."""
    command = [sys.executable, __file__, *arguments, "--keep", str(folder), "--only"]
    subprocess.run([*command, "make"], check=True)  # noqa: S603 - this file
    done = subprocess.run([*command, "report"], check=True, capture_output=True, text=True)  # noqa: S603 - this file
    found = json.loads(done.stdout)
    print("| figures | page, MB | CPU, s | peak memory, GiB |\n| --- | --- | --- | --- |")
    print("| {figures} | {page_megabytes:.1f} | {cpu_seconds:.1f} | {peak_gib:.2f} |".format(**found))


if __name__ == "__main__":
    main()
