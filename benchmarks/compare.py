"""Seconds of `chaintune compare` for each kind of file, start-up included, beside pandas that only subtracts.

    python benchmarks/compare.py [--examples 60000] [--rounds 3] [--by]

Each kind is written twice, before and after, and compared in a process of its own; `user+system` is the time of all
processors. Every example is its own cluster, which is the slowest case. The peer reads the same two files with pandas,
joins them by id and prints the mean difference: no check, no interval, no test. Inspect's archives have no peer.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chaintune.records import Example, Scores, scores_table

GROUPS = 11
WORDS = ("the", "man", "who", "sat", "beside", "a", "woman", "on", "the", "bus", "to", "town", "asked", "her", "for")
PEER = """
import sys
import pandas as pd
kind, name, score, *paths = sys.argv[1:]
options = {"lines": True} if kind == "json" else {}
one, other = (getattr(pd, "read_" + kind)(path, **options) for path in paths)
both = one.merge(other, on=name)
print((both[score + "_x"].astype(float) - both[score + "_y"]).mean())
"""


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: as the table shows it.
        dimension: what `--by` names.
        peer: pandas' reader, and the columns that hold id and score; none without a peer.
    """

    name: str
    dimension: str
    peer: tuple[str, str, str] | None


KINDS = {
    "scores.parquet": Kind("score files", "category", ("parquet", "example_id", "correct")),
    "table.jsonl": Kind("JSONL table", "category", ("json", "id", "score")),
    "table.csv": Kind("CSV table", "category", ("csv", "id", "score")),
    "table.parquet": Kind("Parquet table", "category", ("parquet", "id", "score")),
    "samples_bbq_2026-01-02T03-04-05.678.jsonl": Kind("lm-eval samples", "doc.category", ("json", "doc_id", "acc")),
    "log.eval": Kind("Inspect archive", "metadata.category", None),
}


def question(number: int) -> str:
    """About as long as a question of BBQ, and each one different."""
    return f"{number}: " + " ".join(WORDS[(number + k) % len(WORDS)] for k in range(40))


def write_all(folder: Path, right: Sequence[bool]) -> None:
    """One file of each kind."""
    folder.mkdir()
    rows = [{"id": f"e{k:06d}", "score": int(good), "category": f"c{k % GROUPS:02d}"} for k, good in enumerate(right)]
    write_scores(folder / "scores.parquet", right)
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "table.parquet")
    with (folder / "samples_bbq_2026-01-02T03-04-05.678.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(sample(k, good), ensure_ascii=False) + "\n" for k, good in enumerate(right))
    write_archive(folder / "log.eval", right)


def write_scores(path: Path, right: Sequence[bool]) -> None:
    """Scores of chaintune."""
    choices = (" yes", " no", " unknown")
    examples = [
        Example(f"e{k:06d}", "", choices, 0, {"category": (f"c{k % GROUPS:02d}",)}, f"e{k:06d}")
        for k in range(len(right))
    ]
    logprobs = [[-1.0 - (not good), -2.0 + good / 2, -3.0] if good else [-2.0, -1.0, -3.0] for good in right]
    Scores("bbq", scores_table("bbq", examples, logprobs, [[1, 1, 1]] * len(right))).write(path)


def sample(number: int, good: bool) -> dict[str, Any]:
    """A line as lm-eval writes it for a question with three choices."""
    asked, digest = question(number), f"{number:064x}"
    answers = [["-1.25", "False"], ["-2.5", "False"], ["-3.75", "False"]]
    choices = ["yes", "no", "unknown"]
    return {
        "doc_id": number,
        "doc": {"question": asked, "choices": choices, "answer": 0, "category": f"c{number % GROUPS:02d}"},
        "target": "0",
        "arguments": {f"gen_args_{k}": {"arg_0": f"{asked}\nAnswer:", "arg_1": f" {c}"} for k, c in enumerate(choices)},
        "resps": [[answer] for answer in answers],
        "filtered_resps": answers,
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": digest,
        "prompt_hash": digest,
        "target_hash": digest,
        "acc": float(good),
        "acc_norm": float(good),
    }


def write_archive(path: Path, right: Sequence[bool]) -> None:
    """A log of Inspect whose samples hold no transcript."""
    spec = {"created": "2026-01-02T03:04:05+00:00", "task": "bbq", "dataset": {}, "model": "m", "config": {}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({"version": 2, "status": "success", "eval": spec}))
        for k, good in enumerate(right):
            told = {
                "id": f"e{k:06d}",
                "epoch": 1,
                "input": question(k),
                "target": "yes",
                "scores": {"choice": {"value": "IC"[int(good)]}},
                "metadata": {"category": f"c{k % GROUPS:02d}"},
            }
            archive.writestr(f"samples/e{k:06d}_epoch_1.json", json.dumps(told))


def measured(command: Sequence[str], rounds: int) -> tuple[float, float]:
    """Least seconds of the processors, and least seconds on the wall, of running a command."""
    busy, passed = [], []
    for _ in range(rounds):
        began, start = _spent(), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        busy.append(_spent() - began)
        passed.append(time.perf_counter() - start)
    return min(busy), min(passed)


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Write the files, measure, and print a line for each kind."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--examples", type=int, default=60_000)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--by", action="store_true", help="compare 11 groups as well")
    asked.add_argument("--only", choices=sorted(KINDS), action="append", help="this kind only; may be repeated")
    options = asked.parse_args()
    print(f"{options.examples} examples a side, best of {options.rounds}, {os.cpu_count()} processors")
    heads = ("files", "MB a side", "user+system s", "wall s", "pandas: user+system s", "wall s")
    print("{:18} {:>9} {:>14} {:>7} {:>22} {:>7}".format(*heads))
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        sides = [Path(folder) / side for side in ("before", "after")]
        for side, share in zip(sides, (0.7, 0.6), strict=True):
            write_all(side, (rng.random(options.examples) < share).tolist())
        for file in options.only or KINDS:
            report(KINDS[file], [str(side / file) for side in sides], options)


def report(kind: Kind, paths: Sequence[str], options: argparse.Namespace) -> None:
    """One line of the table."""
    by = ["--by", kind.dimension] if options.by else []
    ours = measured([sys.executable, "-m", "chaintune", "compare", *paths, *by], options.rounds)
    line = f"{kind.name:18} {Path(paths[0]).stat().st_size / 1e6:9.1f} {ours[0]:14.2f} {ours[1]:7.2f}"
    if kind.peer:
        peer = measured([sys.executable, "-c", PEER, *kind.peer, *paths], options.rounds)
        line += f" {peer[0]:22.2f} {peer[1]:7.2f}"
    print(line, flush=True)


if __name__ == "__main__":
    main()
