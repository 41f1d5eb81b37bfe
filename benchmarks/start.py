"""Seconds from Enter to the first line of each command and to its end, and those of the processors.

    python -m benchmarks.start [--rounds 5] [--beside CHECKOUT] [--only compare]

Each command runs in a process of its own on a terminal (a pseudo-terminal), as a user would start it; the median of
the rounds is told. With `--beside` another checkout takes turns with this one, command by command. The study is
`studies/smoke.yaml` on a two-layer model, the logs are lm-eval's, of 1,000 examples. A study file has a key misspelled
in one case, and is no YAML in another.
"""

import argparse
import json
import os
import pty
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare import sample, spent

HERE = Path(__file__).parents[1]
LONGEST_SECONDS = 30.0
LOG = "samples_bbq_2026-01-02T03-04-05.678.jsonl"
COMMANDS = {
    "--help": "--help",
    "--version": "--version",
    "compare --help": "compare --help",
    "compare, lm-eval": f"compare before/{LOG} after/{LOG}",
    "compare, lm-eval, 11 groups": f"compare before/{LOG} after/{LOG} --by doc.category",
    "compare --html": f"compare before/{LOG} after/{LOG} --html page.html",
    "card": f"card before/{LOG} after/{LOG}",
    "policy init --scores": f"policy init policy.yaml --scores before/{LOG}",
    "run, key misspelled": "run studies/misspelled.yaml",
    "run, no YAML": "run studies/broken.yaml",
    "plan --power": "plan studies/smoke.yaml --power",
    "plan": "plan studies/smoke.yaml",
    "run": "run studies/smoke.yaml --out again --store new",
    "order": "order studies/smoke.yaml --store new",
    "status": "status done",
    "report": "report done",
    "store ls": "store ls",
    "tasks": "tasks",
    "suite list": "suite list",
    "score": "score runs/tiny/model --tasks studies/smoke.yaml --out scores --store new",
    "audit": "audit runs/tiny/model runs/tiny/model --tasks studies/smoke.yaml --store new",
    "curvature": "curvature runs/tiny/model --task bbq --store new",
    "rescore": "rescore texts.jsonl --scorer refusal --out texts.parquet",
}


def write_all(folder: Path) -> None:
    """Everything that the commands read."""
    for side, share in (("before", 3), ("after", 4)):
        (folder / side).mkdir()
        lines = (json.dumps(sample(number, number % share > 0)) + "\n" for number in range(1_000))
        (folder / side / LOG).write_text("".join(lines), encoding="utf-8")
    texts = [{"id": number, "text": "I cannot help with that."} for number in range(40)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts), encoding="utf-8")
    (folder / "studies").mkdir()
    smoke = (HERE / "studies" / "smoke.yaml").read_text(encoding="utf-8")
    for name, old, new in (
        ("smoke", "", ""),
        ("misspelled", "chains:", "chians:"),
        ("broken", "chains: both orders", "chains: [both orders"),
    ):
        (folder / "studies" / f"{name}.yaml").write_text(smoke.replace(old, new), encoding="utf-8")
    subprocess.run([sys.executable, str(HERE / "tests" / "tiny.py"), "runs/tiny"], check=True, cwd=folder)  # noqa: S603
    done = [sys.executable, "-m", "chaintune", "run", "studies/smoke.yaml", "--out", "done"]
    subprocess.run(done, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603


def seconds_of(command: Sequence[str], folder: Path, source: Path) -> tuple[float, float, float]:
    """Seconds until a command wrote its first line, until it ended (NaN where it was ended), and of the processors."""
    for name in ("page.html", "policy.yaml", "texts.parquet"):
        (folder / name).unlink(missing_ok=True)
    for name in ("new", "again", "scores"):
        shutil.rmtree(folder / name, ignore_errors=True)
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(source), "TERM": "xterm", "COLUMNS": "100"}
    began, first, before = time.perf_counter(), 0.0, spent()
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "chaintune", *command], cwd=folder, env=environment, stdin=theirs, stdout=theirs,
        stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    while chunk := _read(ours):
        if not first and chunk.strip():
            first = time.perf_counter() - began
        if time.perf_counter() - began > LONGEST_SECONDS:
            process.send_signal(signal.SIGTERM)
    process.wait()
    whole = time.perf_counter() - began
    os.close(ours)
    return first or whole, whole if whole <= LONGEST_SECONDS else float("nan"), spent() - before


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux tells that nobody has the other end any more
        return b""


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=Path, help="another checkout, which takes turns with this one")
    parser.add_argument("--only", metavar="COMMAND", action="append", help="this line of the table only: --only=--help")
    asked = parser.parse_args()
    checkouts = {"before": asked.beside, "now": HERE} if asked.beside else {"now": HERE}
    heads = [f"{when}, {what}" for what in ("first line", "end", "processors") for when in checkouts]
    print(f"| command | {' | '.join(heads)} |\n|{' --- |' * (1 + len(heads))}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_all(folder)
        for name in [name for name in COMMANDS if name in (asked.only or COMMANDS)]:
            taken: dict[str, list[tuple[float, float, float]]] = {when: [] for when in checkouts}
            for _ in range(asked.rounds):
                for when, checkout in checkouts.items():
                    taken[when].append(seconds_of(COMMANDS[name].split(), folder, checkout / "src"))
            middle = [statistics.median(one[part] for one in taken[when]) for part in range(3) for when in checkouts]
            print(f"| `{name}` | {' | '.join(f'{seconds:.2f}' for seconds in middle)} |", flush=True)


if __name__ == "__main__":
    main()
