"""How well `chaintune order` tells orders apart, on families in which every order is trained.

`python -m benchmarks.order FOLDER --seeds 10 11 12 13 14` trains all 24 orders of each family, predicts them from the
tasks alone, and prints rank correlations with what was measured, beside baselines: the mean over families, with the
95 % interval of Student's t. The predictor was made with seeds 1 to 3; others test it. What was computed is kept in
FOLDER, so that the same command goes on.
"""

import argparse
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr, t

from benchmarks.order_family import TASKS, write_family
from chaintune import Study
from chaintune.errors import StageError
from chaintune.execution.engine_factory import EngineFactory
from chaintune.forgetting.options import Inference
from chaintune.forgetting.orders import Order, OrderScores, measured_orders
from chaintune.records import Estimate
from chaintune.runs.ordering import predict_orders
from chaintune.runs.output import gather
from chaintune.runs.session import LOCAL, computed, prepare
from chaintune.store.address import open_store

_ORDERS = tuple(itertools.permutations(TASKS))
_PREDICTED, _PAIRS = "chaintune order", "every pair trained, 12 stages more"


def correlations(folder: Path, seed: int) -> dict[str, dict[str, float]]:
    """Of one family: statistic -> predictor -> rank correlation over orders; NaN of one that says the same of all."""
    path = folder / f"family-{seed}" / "study.yaml"
    if not path.exists():
        write_family(path.parent, seed)
    study, store = Study.from_yaml(path), open_store(path.parent / "store")
    predicted = predict_orders(study, store, path.parent / "predicted")
    session = prepare(study, store)
    engine = EngineFactory.of(session.bases, session.precision)
    with computed(session.plan, store, session.tasks, engine, LOCAL) as outcome:  # 64 checkpoints need no tables
        if not outcome.complete:
            raise StageError(f"family {seed}: a stage failed")
    made = gather(session).scored()
    trained = {one.order: one for one in measured_orders(made, _ORDERS, Inference(resamples=200))}
    known = {one.order: one for one in predicted.orders}
    roles = {name: spec.role for name, spec in study.tasks.items()}
    rates = {name: spec.recipe["learning_rate"] for name, spec in study.tasks.items()}
    rng = np.random.default_rng(seed)
    level = {(one.checkpoint.tasks, x): float(one.scores[x].item_scores().mean()) for one in made for x in TASKS}
    paired = {order: from_pairs(level, order) for order in _ORDERS}
    chance = dict(zip(_ORDERS, rng.permutation(len(_ORDERS)), strict=True))
    means: Mapping[str, Callable[[Order], float]] = {
        _PREDICTED: lambda order: known[order].mean.value,
        "safety last": lambda order: sum(order.index(name) for name in TASKS if roles[name] == "safety"),
        "largest learning rate first": lambda order: -sum(rates[name] * order.index(name) for name in TASKS),
        "random": lambda order: float(chance[order]),
        _PAIRS: lambda order: float(np.mean(list(paired[order].values()))),
        "what its last three stages alone come to": lambda order: float(np.mean([level[order[1:], x] for x in TASKS])),
    }
    effects: Mapping[str, Callable[[Order, str], float]] = {
        _PREDICTED: lambda order, name: _effect(known, order, name),
        "what comes last keeps most": lambda order, name: order.index(name) - order[::-1].index(name),
        _PAIRS: lambda order, name: paired[order][name] - paired[order[::-1]][name],
    }
    truth = [trained[order].mean.value for order in _ORDERS]
    pairs = [(order, name) for order in _ORDERS for name in TASKS if order < order[::-1]]
    measured = [_effect(trained, *pair) for pair in pairs]
    ranks = {
        "mean score of all tasks, 24 orders": {
            name: _rank([of(o) for o in _ORDERS], truth) for name, of in means.items()
        },
        "order effect of each task, an order against its reverse": {
            name: _rank([of(*pair) for pair in pairs], measured) for name, of in effects.items()
        },
    }
    best, worst = (predicted.orders[place].order for place in (0, -1))
    spread = max(truth) - min(truth)
    gained = (trained[best].mean.value - trained[worst].mean.value) / spread
    covered = np.mean([_covers(known[o].scores[n], trained[o].scores[n].value) for o in _ORDERS for n in TASKS])
    ranks["best against worst by the prediction, of the widest gap there is"] = {_PREDICTED: gained}
    ranks["predicted intervals that hold the trained score"] = {_PREDICTED: float(covered)}
    return ranks


def from_pairs(level: Mapping[tuple[Order, str], float], order: Order) -> dict[str, float]:
    """Task -> its score at the end of an order, predicted from the chains of two tasks.

    What the last two stages alone leave is measured. An earlier task adds to that of its gain what each later one,
    trained right after it, leaves beyond what this one alone would give.

    Args:
        level: (tasks trained one after another, task that is asked) -> score.
        order: of all tasks.
    """
    scores = {}
    for place, task in enumerate(order):
        gain = level[(task,), task] - level[(), task]
        later = [(level[(task, one), task] - level[(one,), task]) / gain for one in order[place + 1 :]]
        kept = gain * math.prod(min(max(share, 0.0), 1.0) for share in later) if len(later) > 1 else 0.0
        scores[task] = level[order[-2:], task] + kept
    return scores


def _effect(orders: Mapping[Order, OrderScores], order: Order, name: str) -> float:
    return orders[order].scores[name].value - orders[order[::-1]].scores[name].value


def _covers(estimate: Estimate, value: float) -> bool:
    return estimate.low <= value <= estimate.high


def _rank(predictions: Sequence[float], measured: Sequence[float]) -> float:
    if len(set(predictions)) < 2 or len(set(measured)) < 2:
        return math.nan
    return float(spearmanr(predictions, measured).statistic)


def _over_families(values: Sequence[float]) -> str:
    there = [value for value in values if not math.isnan(value)]
    if len(there) < 2:
        return f"{there[0]:+.2f}" if there else "undefined"
    half = t.ppf(0.975, len(there) - 1) * np.std(there, ddof=1) / math.sqrt(len(there))
    return (
        f"{np.mean(there):+.2f} ({np.mean(there) - half:+.2f} to {np.mean(there) + half:+.2f}), {len(there)} families"
    )


def main() -> None:
    """Print the table, and keep the correlations of each family in FOLDER/order.json."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12, 13, 14])
    options = arguments.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    families = {seed: correlations(options.folder, seed) for seed in options.seeds}
    (options.folder / "order.json").write_text(json.dumps(families, indent=2) + "\n")
    first = next(iter(families.values()))
    for statistic, predictors in first.items():
        print(f"\n{statistic}")
        for name in predictors:
            print(f"  {name:42} {_over_families([one[statistic][name] for one in families.values()])}")


if __name__ == "__main__":
    main()
