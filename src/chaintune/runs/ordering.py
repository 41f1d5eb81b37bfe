"""Which order of tasks keeps most: each is trained alone, every order predicted, and some trained to check."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from chaintune.errors import ConfigError, StageError, StoreError
from chaintune.files import atomic
from chaintune.forgetting.divergence import mean_divergences
from chaintune.forgetting.options import Inference
from chaintune.forgetting.orders import (
    MOST_TASKS,
    Influence,
    OrderScores,
    PredictedOrders,
    check_metric,
    influences_of,
    measured_orders,
    predicted_orders,
    stages_of_all_orders,
)
from chaintune.plan.nodes import MEASUREMENT_FILE, OVERLAP_FILE, KlNode, OverlapNode
from chaintune.records import GradientOverlap, Measurement
from chaintune.runs.output import gather
from chaintune.runs.session import LOCAL, RunOptions, Session, prepare
from chaintune.scoring.reading import metrics_of
from chaintune.store.store import Store
from chaintune.study.study import Study

ORDER_FILE = "order.json"
# Draws behind each interval: there are many, and none decides anything.
_MOST_RESAMPLES = 2_000


def predict_orders(
    study: Study,
    store: Store,
    out: Path,
    options: RunOptions = LOCAL,
    *,
    verify: int = 0,
    examples: int = 64,
    trust_remote_code: bool = False,
    command: Sequence[str] = (),
) -> PredictedOrders:
    """Train each task of a study alone, predict every order of them, and train some to check the prediction.

    Args:
        study: whose chains name the tasks; which order they have there does not matter.
        store: where finished work lies and goes.
        out: folder for `order.json`; results of what was trained lie in `alone/` and `verified/` in it.
        options: who computes.
        verify: how many of the orders that keep most by the prediction are trained, beside the one that keeps least.
        examples: of each task's training examples whose gradients are compared.
        trust_remote_code: run Python code that comes with a model, or that the study names.
        command: that is noted as the results' origin.

    Raises:
        ConfigError: a study with several bases or variants, or of which no order can be predicted.
        StageError: a stage failed.
    """
    tasks = _orderable(study)
    alone = _plain(replace(study, chains=tuple((task,) for task in tasks), gradients=examples))
    session = prepare(alone, store, trust_remote_code=trust_remote_code, serving=options.serving)
    _check(session, tasks)
    _run(session, out / "alone", options, command)
    inference = Inference(
        study.level, min(study.resamples, _MOST_RESAMPLES), study.seed, seed_variance=study.seed_variance
    )
    known = gather(session).scored()
    influences = _influences(session, tasks)
    orders = predicted_orders(known, tasks, influences, inference)
    trained: list[OrderScores] = []
    if verify:
        checked = list(dict.fromkeys([*(one.order for one in orders[:verify]), orders[-1].order]))
        wish = _plain(replace(study, chains=tuple(checked)))
        verified = prepare(wish, store, trust_remote_code=trust_remote_code, serving=options.serving)
        _run(verified, out / "verified", options, command)
        made = gather(verified).scored()
        trained = measured_orders(made, checked, inference)
    stages, tokens = len(session.plan.stages), sum(node.tokens for node in session.plan.stages)
    every = stages_of_all_orders(len(tasks))
    result = PredictedOrders(
        study.name,
        tuple(orders),
        influences,
        tuple(trained),
        stages,
        every * stages // len(tasks),
        tokens,
        tokens * every // len(tasks),
        out,
        study.level,
    )
    atomic.write_bytes(out / ORDER_FILE, (json.dumps(result.to_dict(), indent=2) + "\n").encode())
    return result


def _orderable(study: Study) -> list[str]:
    """The tasks that chains teach, in the order of the file; an error where their order cannot be predicted."""
    if len(study.bases) > 1:
        raise ConfigError(f"base: the order is predicted for one model, got {len(study.bases)}; name one with --set")
    if further := [name for name, values in study.vary if name != "seed" and len(values) > 1]:
        raise ConfigError(
            f"vary.{further[0]}: the order is predicted under one recipe; name one value, or leave it out"
        )
    if external := study.external:
        raise ConfigError(
            f"chains: stage '{external[0].label}' is trained by another program, and orders are predicted of tasks "
            "that are trained here; leave it out"
        )
    named = {item for chain in study.chains for item in chain}
    tasks = [task for task in study.tasks if task in named]
    if not 2 <= len(tasks) <= MOST_TASKS:
        raise ConfigError(f"chains: the order of 2 to {MOST_TASKS} tasks can be predicted, and they teach {len(tasks)}")
    for task in tasks:
        if not study.tasks[task].is_tested:
            raise ConfigError(f"tasks.{task}.test: nothing is tested, so no order can be judged by it; ask for some")
    return tasks


def _plain(study: Study) -> Study:
    """A study without what orders are not predicted by."""
    return replace(study, mitigations=(), curvature=None, kl=False)


def _check(session: Session, tasks: Sequence[str]) -> None:
    """Refuse, before anything is trained, pairs, tests without right answers, and scores without a mean."""
    with_gradients = {task for node in session.plan.overlaps for task in node.tasks}
    with_divergence = {node.task for node in session.plan.divergences}
    for task in tasks:
        if task not in with_gradients:
            raise ConfigError(
                f"task '{task}': it is taught by pairs of answers, whose loss is held against another model, and "
                "gradients are compared of losses on single ones; leave it out of the chains"
            )
        if task not in with_divergence:
            raise ConfigError(
                f"task '{task}': some of its tests have no right answer, on which divergences are measured; leave it "
                "out of the chains"
            )
        check_metric(task, metrics_of(session.tasks[task], session.study.metric)[0])


def _run(session: Session, out: Path, options: RunOptions, command: Sequence[str]) -> None:
    outcome = session.run(out, options, command=command).outcome
    if failures := outcome.of("failed"):
        raise StageError(f"{failures[0].node.title} failed: {failures[0].cause}")


def _influences(session: Session, tasks: Sequence[str]) -> dict[int, Mapping[tuple[str, str], Influence]]:
    """What each task takes from each other one, by seed."""
    plan, store, study = session.plan, session.store, session.study
    divergences: dict[int, dict[tuple[str, str], float]] = defaultdict(dict)
    for node in plan.divergences:
        table = Measurement.read(_folder(store, node) / MEASUREMENT_FILE).table
        forward, _ = mean_divergences(table, session.tasks[node.task], Inference(study.level, 100, study.seed))
        # Undefined where the training rules out a token that the base does not: further than any other.
        value = math.inf if math.isnan(forward.value) else forward.value
        divergences[node.seed][node.chain[0], node.task] = value
    gradients = {
        (node.seed if node.chain else None, *node.chain): GradientOverlap.from_dict(
            json.loads((_folder(store, node) / OVERLAP_FILE).read_bytes())
        )
        for node in plan.overlaps
    }
    base = gradients[None,]
    return {
        seed: influences_of(own, base, {task: gradients[seed, task] for task in tasks})
        for seed, own in divergences.items()
    }


def _folder(store: Store, node: KlNode | OverlapNode) -> Path:
    """Where a finished measurement lies; an error where it was removed since."""
    if (entry := store.get(node.kind, node.key)) is None:
        raise StoreError(f"{store.address}: '{node.title}' is not there any more; the same command computes it again")
    return entry.path
