"""`python tests/fuzz`: damaged inputs of every kind, and how they are answered.

    python tests/fuzz --inputs 2000 --seed 7                  # of all kinds together
    python tests/fuzz --kind models --index 17 --seed 7       # one of them again, with what it says

Each input is decided by seed, kind and index. Ends with 1 where one was not answered with a sentence.
"""

import argparse
import importlib
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

# The wheel of a demo's data has a package of this name as well.
_TESTS = sys.modules["tests"] = ModuleType("tests")
_TESTS.__path__ = [str(Path(__file__).parents[1])]

from tests.fuzz.driver import Answer, Limits, answer, prepared  # noqa: E402

KINDS = ("arguments", "data", "logs", "models", "results", "studies")
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

# Once, for all that are forked.
_LOADED = (
    "chaintune.hf",
    "chaintune.cli.app",
    "chaintune.cli.display",
    "chaintune.logs.compare",
    "chaintune.report.folder",
    "chaintune.report.tables",
    "chaintune.runs.session",
    "chaintune.tasks",
    "inspect_ai.log",
)


def main() -> int:
    asked = _arguments()
    os.environ.update(_ENVIRONMENT)
    for module in _LOADED:
        importlib.import_module(module)
    kinds = asked.kind or KINDS
    limits = Limits(asked.seconds, asked.megabytes)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(kinds):
            count = (asked.inputs + number) // len(kinds)
            indexes = range(count) if asked.index is None else [asked.index]
            bad += _one_kind(name, indexes, asked.seed, Path(folder), limits, verbose=asked.index is not None)
    return int(bad > 0)


def _one_kind(name: str, indexes: Any, seed: int, folder: Path, limits: Limits, *, verbose: bool) -> int:
    kind: Any = importlib.import_module(f"tests.fuzz.{name}")
    valid = prepared(kind, folder / name)
    began, answers = time.monotonic(), []
    for index in indexes:
        rng = Random(f"{seed} {name} {index}")  # noqa: S311 - test data
        one = answer(kind, rng, valid, folder / f"{name}{index}", limits)
        answers.append(one)
        if one.outcome != "answered" or verbose:
            last = one.said if verbose else one.said.strip().rpartition("\n")[2][:200]
            print(f"{one.outcome}: --kind {name} --seed {seed} --index {index}: {one.what[:160]}: {last!r}", flush=True)  # noqa: T201
    _summarise(name, answers, time.monotonic() - began)
    return sum(one.outcome != "answered" for one in answers)


def _summarise(name: str, answers: list[Answer], seconds: float) -> None:
    codes = ", ".join(f"{count} code {code}" for code, count in sorted(Counter(one.code for one in answers).items()))
    outcomes = ", ".join(f"{count} {what}" for what, count in Counter(one.outcome for one in answers).most_common())
    slowest = max(range(len(answers)), key=lambda number: answers[number].seconds)
    largest = max(range(len(answers)), key=lambda number: answers[number].megabytes)
    print(  # noqa: T201
        f"{name}: {len(answers)} inputs: {outcomes}; {codes}; {seconds:.0f} s, the longest "
        f"{answers[slowest].seconds:.1f} s (number {slowest}); at most {answers[largest].megabytes:,.0f} MB "
        f"(number {largest})",
        flush=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description="Damaged inputs, and how they are answered.")
    parser.add_argument("--inputs", type=int, default=300, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this one; repeat it for more")
    parser.add_argument("--index", type=int, help="only this input, with all that it says")
    parser.add_argument("--seconds", type=float, default=Limits.seconds, help="of a processor that an input may take")
    parser.add_argument("--megabytes", type=float, default=Limits.megabytes, help="that an input may take")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
