"""A small study with chaintune beside the way it is done without it: TRL for each stage, lm-eval for each checkpoint.

    python benchmarks/study.py [--train 8] [--test 8] [--doses 0.05 0.1 0.2] [--rounds 1] [--per-task]

The study is the quickstart with three doses of replay, cut to size: BBQ and CommonsenseQA in both orders. By hand
(`by_hand.py`) every stage is a process that loads its parent from disk, trains the same examples at the same batch and
rate and saves, and every checkpoint is scored by a process that loads it. The peer shares by hand what chains have in
common, so both sides train and score the same checkpoints; what training each chain from its base would take is added
up from the times of those steps, not run. chaintune is one process with an empty store, its report included. Sides
take turns, and swap in each round. The peer is spared lm-eval's index of tasks and its samples, and TRL's gradient
checkpointing.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import torch
import transformers
import trl
import yaml

from chaintune.execution.bases import open_base
from chaintune.execution.compute import StageInputs
from chaintune.execution.cost import spent
from chaintune.execution.stage_data import stage_data_of
from chaintune.plan.nodes import MEASUREMENT_FILE, StageNode
from chaintune.plan.plan import Plan
from chaintune.records import Example
from chaintune.runs.session import Session, prepare
from chaintune.scoring.reading import read_scores
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study

BY_HAND = Path(__file__).with_name("by_hand.py")
# The quickstart's proportions: CommonsenseQA's examples for each one of a category of BBQ.
TAUGHT_SHARE, ASKED_SHARE = 12, 10


@dataclass
class Side:
    """What one side took: seconds by the clock, of which training and scoring proper, and seconds of all cores."""

    seconds: float = 0.0
    training: float = 0.0
    scoring: float = 0.0
    cpu: float = 0.0
    accuracy: dict[tuple[str, str], float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    scored: dict[str, float] = field(default_factory=dict)

    @property
    def rest(self) -> float:
        """Starting, importing, loading, saving and reporting."""
        return self.seconds - self.training - self.scoring


def study_of(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """The quickstart with other sizes and doses, on a model that lies in a folder."""
    return {
        "base": str(folder),
        "tasks": {
            "bbq": {"role": "safety", "train": f"{wanted.train} per category", "test": f"{wanted.test} per category"},
            "csqa": {
                "role": "capability",
                "train": TAUGHT_SHARE * wanted.train,
                "test": ASKED_SHARE * wanted.test,
            },
        },
        "chains": "both orders",
        "recipe": {"method": "full", "learning_rate": 3e-4, "epochs": 1, "batch_size": 8},
        "mitigations": [{"replay": {"task": "bbq", "dose": wanted.doses}}],
    }


def with_chaintune(file: Path, session: Session, scratch: Path) -> Side:
    """The study in one command, with nothing in its store."""
    store = FolderStore(scratch / "store")
    command = [sys.executable, "-m", "chaintune", "run", str(file), "--store", str(store.root)]
    seconds = _run([*command, "--out", str(scratch / "out")])
    cost = spent(session.plan, store)
    side = Side(seconds, float(cost["train_seconds"]), float(cost["score_seconds"]))
    for node in session.plan.scores:
        entry = store.get(node.kind, node.key)
        assert entry is not None
        right = read_scores(entry.path / MEASUREMENT_FILE, session.tasks[node.task]).item_scores()
        side.accuracy[node.checkpoint_key, node.task] = float(right.mean())
    return side


def by_hand(session: Session, folder: Path, scratch: Path, *, per_task: bool) -> Side:
    """The same checkpoints and the same accuracies, a process each."""
    plan, side = session.plan, Side()
    items = write_tasks(session, scratch / "tasks")
    places = {node.base_key: folder for node in plan.nodes}
    for number, node in enumerate(plan.stages):
        places[node.key] = scratch / f"checkpoint{number}"
        rows = write_lesson(node, session, scratch / f"lesson{number}.jsonl")
        asked = ["train", str(places[node.parent_key]), str(rows), str(places[node.key])]
        recipe = ["--batch", str(node.recipe.batch_size), "--learning-rate", str(node.recipe.learning_rate)]
        seconds, note = _step([*asked, *recipe], session, scratch)
        side.training += note["seconds"]
        side.stages[node.key] = seconds
    for key, place in places.items():
        for tasks in [[task] for task in session.tasks] if per_task else [list(session.tasks)]:
            seconds, note = _step(["score", str(place), str(items), *tasks], session, scratch)
            side.scoring += note["seconds"]
            side.scored[key] = side.scored.get(key, 0.0) + seconds
            side.accuracy |= {(key, task): value for task, value in note["accuracy"].items()}
    side.seconds = sum(side.stages.values()) + sum(side.scored.values())
    return side


def write_lesson(node: StageNode, session: Session, path: Path) -> Path:
    """Prompts and answers of a stage, as TRL reads them."""
    taught = stage_data_of(node, StageInputs({}, {name: session.tasks[name] for name in node.tasks}, {})).examples
    return _write(path, [{"prompt": item.prompt, "completion": item.choices.gold_text} for item in taught])


def write_tasks(session: Session, folder: Path) -> Path:
    """The test items as tasks of lm-eval."""
    folder.mkdir()
    for name, task in session.tasks.items():
        data = _write(folder / f"{name}.jsonl", [_asked(item) for item in task.test])
        described = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "prompt",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "target_delimiter": "",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return folder


def _asked(item: Example) -> dict[str, Any]:
    return {"prompt": item.prompt, "choices": list(item.choices.texts), "gold": item.choices.gold}


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _step(arguments: Sequence[str], session: Session, scratch: Path) -> tuple[float, dict[str, Any]]:
    """Seconds of one process by hand, and what it noted."""
    note = scratch / "note.json"
    command = [sys.executable, str(BY_HAND), *arguments, "--note", str(note), "--precision", session.precision]
    seconds = _run(command)
    return seconds, json.loads(note.read_text(encoding="utf-8"))


def _run(command: Sequence[str]) -> float:
    """Seconds of a process; its words only if it fails."""
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - of this file
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return time.monotonic() - started


def _cpu_seconds() -> float:
    """What the finished processes of this one took of all cores."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def unshared(plan: Plan, side: Side) -> float:
    """What the peer would have taken, had each chain been trained and scored from its base.

    Args:
        plan: of the study.
        side: what each of its steps took once.
    """
    keys = {cell.checkpoint.chain: cell.checkpoint.key for cell in plan.cells}
    chains = [cell.checkpoint.chain for cell in plan.cells if cell.final]
    paths = [[keys[chain[:length]] for length in range(len(chain) + 1)] for chain in chains]
    times = Counter(key for path in paths for key in path)
    assert sum(times[node.key] for node in plan.stages) == plan.stages_unshared
    assert sum(times[node.checkpoint_key] for node in plan.scores) == plan.scores_unshared
    return sum(times[key] * seconds for steps in (side.stages, side.scored) for key, seconds in steps.items())


def report(session: Session, ours: Sequence[Side], theirs: Sequence[Side]) -> None:
    """Print the times, the ratios and how far accuracies lie apart."""
    alone = [unshared(session.plan, side) for side in theirs]
    print("\n| | seconds | training | scoring | starting, loading, saving, reporting | CPU seconds | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, sides in (("chaintune", ours), ("by hand, sharing prefixes", theirs)):
        parts = [[getattr(side, part) for side in sides] for part in ("seconds", "training", "scoring", "rest", "cpu")]
        ratios = [side.seconds / mine.seconds for mine, side in zip(ours, sides, strict=True)]
        print(f"| {name} | {' | '.join(map(_spread, parts))} | {_spread(ratios, 2)} |")
    ratios = [seconds / mine.seconds for mine, seconds in zip(ours, alone, strict=True)]
    print(f"| by hand, each chain from its base (added up) | {_spread(alone)} | | | | | {_spread(ratios, 2)} |\n")
    for part in ("training", "scoring", "rest", "cpu"):
        ratios = [getattr(b, part) / getattr(a, part) for a, b in zip(ours, theirs, strict=True)]
        print(f"ratio of {part}: {_spread(ratios, 2)}")
    _report_accuracy(session, ours[-1], theirs[-1])


def _report_accuracy(session: Session, ours: Side, theirs: Side) -> None:
    names = {cell.checkpoint.key: ">".join(cell.checkpoint.labels) or "base" for cell in session.plan.cells}
    print("\n| checkpoint | task | n | chaintune | by hand | apart, in points |")
    print("|---|---|---|---|---|---|")
    apart = {place: 100 * (theirs.accuracy[place] - ours.accuracy[place]) for place in ours.accuracy}
    for (key, task), points in apart.items():
        pair = f"{ours.accuracy[key, task]:.3f} | {theirs.accuracy[key, task]:.3f}"
        print(f"| {names[key]} | {task} | {len(session.tasks[task].test)} | {pair} | {points:+.1f} |")
    tuned = [points for (key, _), points in apart.items() if names[key] != "base"]
    largest = max(tuned, key=abs)
    print(f"\nafter training: {np.mean(tuned):+.1f} points apart in the mean, {largest:+.1f} at most")


def _spread(values: Sequence[float], digits: int = 1) -> str:
    """Median, and the range where there is one."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def compete(session: Session, file: Path, folder: Path, wanted: argparse.Namespace) -> tuple[list[Side], list[Side]]:
    """Every round of both sides, each in folders of its own that are gone afterwards."""
    contenders: dict[str, Callable[[Path], Side]] = {
        "chaintune": lambda scratch: with_chaintune(file, session, scratch),
        "by hand": lambda scratch: by_hand(session, folder, scratch, per_task=wanted.per_task),
    }
    found: dict[str, list[Side]] = {name: [] for name in contenders}
    for number in range(wanted.rounds):
        for name in list(contenders)[:: 1 if number % 2 == 0 else -1]:
            before = _cpu_seconds()
            with tempfile.TemporaryDirectory() as scratch:
                side = contenders[name](Path(scratch))
            side.cpu = _cpu_seconds() - before
            found[name].append(side)
            parts = f"training {side.training:.1f}, scoring {side.scoring:.1f}, the rest {side.rest:.1f}"
            print(f"round {number + 1}  {name:10} {side.seconds:7.1f} s: {parts}", flush=True)
    return found["chaintune"], found["by hand"]


def main() -> None:
    """Run both sides in turn and print times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=8, help="examples of each category of BBQ; 40 in the quickstart")
    parser.add_argument("--test", type=int, default=8, help="the same for scoring; 30 in the quickstart")
    parser.add_argument("--doses", type=float, nargs="+", default=[0.05, 0.1, 0.2])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--per-task", action="store_true", help="lm-eval starts anew for each task, too")
    parser.add_argument("--model", default="smollm2-135m")
    wanted = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    os.environ |= {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}
    folder = open_base(wanted.model, FolderStore()).folder
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_DATASETS_CACHE"] = f"{scratch}/datasets"
        file = Path(scratch) / "study.yaml"
        file.write_text(yaml.safe_dump(study_of(folder, wanted)), encoding="utf-8")
        session = prepare(Study.from_yaml(file), FolderStore(Path(scratch) / "empty"))
        counts = session.plan.counts()
        threads = f"{torch.get_num_threads()} threads, {platform.machine()}"
        print(f"{platform.platform()}, {threads}, {wanted.model} in {session.precision}, torch {torch.__version__}")
        print(f"transformers {transformers.__version__}, trl {trl.__version__}, lm-eval {lm_eval.__version__}")
        for name, task in session.tasks.items():
            print(f"{name}: {len(task.train)} examples taught, {len(task.test)} asked")
        print(f"both sides: {counts['stages_shared']} stages, {counts['scores_shared']} scorings; each chain "
              f"from its base: {counts['stages_unshared']} and {counts['scores_unshared']}\n")  # fmt: skip
        report(session, *compete(session, file, folder, wanted))


if __name__ == "__main__":
    main()
