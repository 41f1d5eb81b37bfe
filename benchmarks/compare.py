"""Seconds of `chaintune compare` for each kind of file, start-up included, beside a peer that only subtracts.

    python benchmarks/compare.py [--examples 60000] [--rounds 3] [--by]

Each kind is written twice, before and after, and compared in a process of its own; `user+system` is the time of all
processors. Every example is its own cluster, which is the slowest case. The peer reads the same two files with pandas,
joins them by id and prints the mean difference: no check, no interval, no test. Of Inspect's archives the peer is
inspect-ai, which reads their summaries.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chaintune.records import Choices, Example, Scores, scores_table

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
INSPECT_PEER = """
import sys
from inspect_ai.log import read_eval_log_sample_summaries
one, other = ({row.id: row.scores["choice"].value for row in read_eval_log_sample_summaries(path)}
              for path in sys.argv[1:])
print(sum((one[name] == "C") - (other[name] == "C") for name in one) / len(one))
"""


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: as the table shows it.
        dimension: what `--by` names.
        peer: a program that takes the paths, and what it takes before them.
    """

    name: str
    dimension: str
    peer: tuple[str, ...]


KINDS = {
    "scores.parquet": Kind("score files", "category", (PEER, "parquet", "example_id", "correct")),
    "table.jsonl": Kind("JSONL table", "category", (PEER, "json", "id", "score")),
    "table.csv": Kind("CSV table", "category", (PEER, "csv", "id", "score")),
    "table.parquet": Kind("Parquet table", "category", (PEER, "parquet", "id", "score")),
    "samples_bbq_2026-01-02T03-04-05.678.jsonl": Kind(
        "lm-eval samples", "doc.category", (PEER, "json", "doc_id", "acc")
    ),
    "log.eval": Kind("Inspect archive", "metadata.category", (INSPECT_PEER,)),
}


def question(number: int) -> str:
    """About as long as a question of BBQ, and each one different."""
    return f"{number}: " + " ".join(WORDS[(number + k) % len(WORDS)] for k in range(40))


def write_all(folder: Path, right: Sequence[bool], *, archive: bool) -> None:
    """One file of each kind; the archive takes a minute."""
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
    if archive:
        write_archive(folder / "log.eval", right)


def write_scores(path: Path, right: Sequence[bool]) -> None:
    """Scores of chaintune."""
    choices = Choices((" yes", " no", " unknown"), 0)
    examples = [
        Example(f"e{k:06d}", "", choices, {"category": (f"c{k % GROUPS:02d}",)}, f"e{k:06d}") for k in range(len(right))
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
    """A log as Inspect 0.3.285 writes it for questions with three choices, some 6 kB a sample with its transcript."""
    # Teaches zipfile the compression that Inspect uses.
    import_module("zipfile_zstd")
    spec = {"created": "2026-01-02T03:04:05+00:00", "task": "bbq", "dataset": {}, "model": "m", "config": {}}
    summaries = []
    with zipfile.ZipFile(path, "w", 93, compresslevel=3) as archive:
        for k, good in enumerate(right):
            told = inspected(k, good)
            summaries.append(told | {"uuid": f"{k:022x}", "retries": 0, "completed": True, "message_count": 2})
            archive.writestr(f"samples/{told['id']}_epoch_1.json", dumped(told | transcript(told)))
        archive.writestr("summaries.json", dumped(summaries))
        archive.writestr("header.json", dumped({"version": 2, "status": "success", "eval": spec}))


def dumped(told: Any) -> str:
    """JSON without spaces, as Inspect writes it."""
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False)


def inspected(number: int, good: bool) -> dict[str, Any]:
    """What Inspect's summary of a sample and the sample have in common."""
    answer = "BA"[good]
    score = {"value": "IC"[good], "answer": answer, "explanation": f"ANSWER: {answer}", "history": []}
    usage = {"input_tokens": 90, "output_tokens": 4, "total_tokens": 94}
    return {
        "id": f"e{number:06d}",
        "epoch": 1,
        "input": question(number),
        "choices": ["yes", "no", "unknown"],
        "target": "A",
        "metadata": {"category": f"c{number % GROUPS:02d}"},
        "scores": {"choice": score},
        "model_usage": {"mockllm/model": usage},
        "role_usage": {},
        "started_at": "2026-01-02T03:04:05.678901+00:00",
        "completed_at": "2026-01-02T03:04:06.789012+00:00",
        "total_time": 1.111,
        "working_time": 0.814,
    }


def transcript(told: Mapping[str, Any]) -> dict[str, Any]:
    """What only the sample has: messages, and events that hold them again and again."""
    asked = f"Answer the following question with ANSWER: $LETTER.\n\n{told['input']}\n\nA) yes\nB) no\nC) unknown"
    answer = told["scores"]["choice"]["explanation"]
    messages = [
        {"id": f"u{told['id']:>21}", "content": asked, "role": "user"},
        {"id": f"a{told['id']:>21}", "content": answer, "source": "generate", "role": "assistant"},
    ]
    event = {"uuid": f"{told['id']:>22}", "timestamp": told["started_at"], "working_start": 0.066, "event": "state"}
    return {"messages": messages, "store": {}, "events": [event | {"messages": messages}] * 10, "attachments": {}}


def measured(command: Sequence[str], rounds: int) -> tuple[float, float]:
    """Least seconds of the processors, and least seconds on the wall, of running a command."""
    busy, passed = [], []
    for _ in range(rounds):
        began, start = spent(), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        busy.append(spent() - began)
        passed.append(time.perf_counter() - start)
    return min(busy), min(passed)


def spent() -> float:
    """Processor seconds of the processes that this one started and that have ended."""
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
    heads = ("files", "MB a side", "user+system s", "wall s", "peer: user+system s", "wall s")
    print("{:18} {:>9} {:>14} {:>7} {:>22} {:>7}".format(*heads))
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        sides = [Path(folder) / side for side in ("before", "after")]
        for side, share in zip(sides, (0.7, 0.6), strict=True):
            right = (rng.random(options.examples) < share).tolist()
            write_all(side, right, archive="log.eval" in (options.only or KINDS))
        for file in options.only or KINDS:
            report(KINDS[file], [str(side / file) for side in sides], options)


def report(kind: Kind, paths: Sequence[str], options: argparse.Namespace) -> None:
    """One line of the table."""
    by = ["--by", kind.dimension] if options.by else []
    ours = measured([sys.executable, "-m", "chaintune", "compare", *paths, *by], options.rounds)
    line = f"{kind.name:18} {Path(paths[0]).stat().st_size / 1e6:9.1f} {ours[0]:14.2f} {ours[1]:7.2f}"
    peer = measured([sys.executable, "-c", *kind.peer, *paths], options.rounds)
    print(f"{line} {peer[0]:22.2f} {peer[1]:7.2f}", flush=True)


if __name__ == "__main__":
    main()
