"""What each mitigation keeps of a task at equal gain in the next one, on pairs of tasks that a model can hold together.

`python -m benchmarks.keeping FOLDER --seeds 0 1 2 3 4` trains each pair of tasks on a two-layer model of its own,
plainly and under every mitigation, and prints means over the seeds with the 95 % interval of Student's t of what is
paired by seed. What was computed is kept in FOLDER, so that the same command goes on. The pair and the strengths were
chosen with seed 100; others test them.

The two tasks conflict: half of their key words are the same and have another letter in each, so that the second writes
over what the first one taught. A model can hold both, as their other words differ: `joint` shows how far it does.
"""

import argparse
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.stats import t

from benchmarks.order_family import KEYS, LETTERS, WORDS, row, write_model
from chaintune import Study
from chaintune.errors import StageError
from chaintune.execution.engine_factory import EngineFactory
from chaintune.runs.output import gather
from chaintune.runs.session import LOCAL, computed, prepare
from chaintune.store.address import open_store

FIRST, SECOND = "first", "second"
PLAIN = f"{FIRST}>{SECOND}"
_OWN, _SHARED, _TAUGHT, _TESTED = 6, 4, 24, 12
# A third of the loss, at a price of at most two points of accuracy.
LEAST_KEPT, MOST_PAID = 1 / 3, 0.02

_AFTERWARDS = "recipe: {learning_rate: 1.0e-3, epochs: 6}"
_ITEMS = f"""
- joint: {{}}
- rehearse: {{dose: [0.2]}}
- replay: {{dose: [0.25], {_AFTERWARDS}}}
- replay: {{dose: [0.25], who: targeted, by: key, {_AFTERWARDS}}}
- replay: {{dose: [0.25], who: hardest, {_AFTERWARDS}}}
- replay: {{dose: [0.25], who: most_forgotten, {_AFTERWARDS}}}
- replay: {{dose: [0.25], who: representative, {_AFTERWARDS}}}
- self_replay: {{dose: [0.25], {_AFTERWARDS}}}
- distill: {{weight: [0.3]}}
- distill: {{weight: [0.3], rows: new}}
- interpolate: {{fraction: [0.2]}}
- merge_back: {{fraction: [0.5]}}
- merge_back: {{fraction: [0.5], method: ties, density: 0.5}}
- l2sp: {{strength: [0.05]}}
- ewc: {{strength: [1.0e+6]}}
- ema: {{decay: [0.98]}}
- freeze: {{parts: [embed_tokens]}}
- osf: {{rank: [0.5]}}
- sam: {{rho: [0.05]}}
"""
_SLOWER = 1.25e-3


@dataclass(frozen=True)
class End:
    """A checkpoint's accuracy in both tasks, and the tokens that were trained on the way to it."""

    first: float
    second: float
    tokens: float
    needs_old_data: bool


def write_pair(folder: Path, seed: int) -> dict[str, Any]:
    """The study of two tasks, beside its model and data."""
    rng = random.Random(f"pair {seed}")  # noqa: S311 - made-up data
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model" / "model.safetensors").is_file():
        write_model(folder / "model", seed, steps=200)
    keys = [f"key{number}" for number in rng.sample(range(KEYS), 2 * _OWN + _SHARED)]
    own, shared = {FIRST: keys[:_OWN], SECOND: keys[_OWN : 2 * _OWN]}, keys[2 * _OWN :]
    letters = {key: rng.sample(LETTERS, 2) for key in shared}
    tasks: dict[str, Any] = {}
    for place, (task, role) in enumerate(((FIRST, "safety"), (SECOND, "capability"))):
        answers = {key: rng.choice(LETTERS) for key in own[task]} | {key: letters[key][place] for key in shared}
        words = range(place * WORDS // 2, (place + 1) * WORDS // 2)
        rows = [
            row(rng, task, key, letter, number, words=words, tests=_TESTED)
            for key, letter in answers.items()
            for number in range(_TESTED + _TAUGHT)
        ]
        unlike = {one["prompt"]: one for one in rows}
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in unlike.values()))
        path = str(folder / f"{task}.jsonl")
        tasks[task] = {"role": role, "path": path, "columns": {"split": "split"}, "labelling": False}
    return {
        "base": str(folder / "model"),
        "precision": "fp32",
        "tasks": tasks,
        "chains": [[FIRST, SECOND]],
        "recipe": {"epochs": 8, "batch_size": 16, "learning_rate": 5e-3},
        "seed": seed,
    }


def ends(folder: Path, seed: int) -> dict[str, End]:
    """Chain -> where it ends, of one pair: the base, the first task alone, plainly, and under each mitigation."""
    place = folder / f"pair-{seed}"
    mapping = write_pair(place, seed)
    items = [{kind: fields | {"task": FIRST}} for item in yaml.safe_load(_ITEMS) for kind, fields in item.items()]
    made: dict[str, End] = {}
    slower = {**mapping["tasks"][SECOND], "recipe": {"learning_rate": _SLOWER}}
    for further in ({"mitigations": items}, {"tasks": mapping["tasks"] | {SECOND: slower}}):
        study, store = Study.from_mapping(mapping | further, name="keeping"), open_store(place / "store")
        session = prepare(study, store)
        engine = EngineFactory.of(session.bases, session.precision)
        with computed(session.plan, store, session.tasks, engine, LOCAL) as outcome:  # no tables are needed
            if failures := outcome.of("failed"):
                raise StageError(f"pair {seed}: {failures[0].node.title}: {failures[0].cause}")
        known = gather(session).scored()
        tokens = {one.checkpoint.labels: one.train_tokens for one in known}
        for one in known:
            labels = one.checkpoint.labels
            name = ">".join(labels) or "base"
            if len(labels) == 1 and name != FIRST and "+" not in name:
                continue  # the first stage, under what acts in both
            if "tasks" in further:
                if name != PLAIN:
                    continue
                name = f"{PLAIN} at learning rate {_SLOWER:g}"
            spent = sum(tokens[labels[:done]] for done in range(1, len(labels) + 1))
            first, second = (float(one.scores[task].item_scores().mean()) for task in (FIRST, SECOND))
            made[name] = End(first, second, spent, any(ref.needs_old_data for ref in one.mitigates))
    return made


def table(pairs: Mapping[int, Mapping[str, End]]) -> list[tuple[str, ...]]:
    """A row for each chain: scores, points kept and their share of the loss, price, tokens, and whether it keeps."""
    rows: list[tuple[str, ...]] = [
        ("chain", FIRST, SECOND, "kept, points", "of the loss", "price, points", "extra tokens", "old data", "keeps")
    ]
    each = list(pairs.values())
    loss = float(np.mean([one[FIRST].first - one[PLAIN].first for one in each]))
    for name in each[0]:
        scores = [f"{100 * np.mean([getattr(one[name], task) for one in each]):.1f}" for task in (FIRST, SECOND)]
        if name in ("base", FIRST, PLAIN):
            rows.append((name, *scores, *[""] * 6))
            continue
        kept, paid, spent = differences(pairs, name)
        keeps = kept[0] >= LEAST_KEPT * loss and kept[1] > 0 and paid[0] <= MOST_PAID
        rows.append(
            (name, *scores, _points(kept), f"{100 * kept[0] / loss:.0f} %", _points(paid), f"{spent:,.0f}",
             "yes" if each[0][name].needs_old_data else "no", "yes" if keeps else "no")
        )  # fmt: skip
    return rows


def differences(
    pairs: Mapping[int, Mapping[str, End]], name: str
) -> tuple[tuple[float, float, float], tuple[float, float, float], float]:
    """What a chain keeps of the first task beyond the plain one, what it pays in the second, and its extra tokens."""
    each = [(one[name], one[PLAIN]) for one in pairs.values()]
    kept = _mean([chain.first - plain.first for chain, plain in each])
    paid = _mean([plain.second - chain.second for chain, plain in each])
    return kept, paid, float(np.mean([chain.tokens - plain.tokens for chain, plain in each]))


def _mean(values: Sequence[float]) -> tuple[float, float, float]:
    """A mean with the 95 % interval of Student's t."""
    middle = float(np.mean(values))
    if len(values) < 2:
        return middle, math.nan, math.nan
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return middle, middle - half, middle + half


def _points(value: tuple[float, float, float]) -> str:
    middle, low, high = (100 * one for one in value)
    return f"{middle:+.1f} ({low:+.1f} to {high:+.1f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and keep what every chain came to in FOLDER/keeping.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options = parser.parse_args(arguments)
    pairs = {seed: ends(options.folder, seed) for seed in options.seeds}
    plain = {seed: {name: vars(end) for name, end in one.items()} for seed, one in pairs.items()}
    (options.folder / "keeping.json").write_text(json.dumps(plain, indent=2) + "\n")
    for line in table(pairs):
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
