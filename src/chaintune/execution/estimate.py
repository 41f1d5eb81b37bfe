"""How long a plan will take and how much disk, from what earlier nodes took."""

import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from chaintune.execution.hardware import CPU, Hardware, hardware_of
from chaintune.execution.run import pending_nodes
from chaintune.plan.nodes import CurvatureNode, Node, ScoreNode, StageNode
from chaintune.plan.plan import Plan
from chaintune.records.amounts import plain
from chaintune.records.generation import GENERATION
from chaintune.store.store import Entry, Store
from chaintune.study.study import Keep

# Of the rate at which texts are read, what is reached where they are written: each token waits for the one before.
_WRITING_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens a second.

    Attributes:
        tokens_per_second: NaN when nothing was measured.
        nodes: that it was measured on; 0 if it was not measured.
    """

    tokens_per_second: float
    nodes: int = 0


UNKNOWN = Rate(math.nan)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is still to be computed of a plan, and what it will take.

    Attributes:
        stages, scores: nodes that a run would compute now.
        train_tokens, score_tokens: in them.
        seconds: NaN when there is work and no rate for it; without curvatures (their products are not known).
        measured_share: of the seconds, by rates of finished work of the same kind; NaN where there is nothing to do.
        train_rate, score_rate: of one process of this machine.
        disk_bytes: the most that the plan's checkpoints take at any one time.
        added_bytes: `keep` -> the most that the checkpoints of what is still to be computed take at any one time.
        base_bytes: that bases which were unpacked into the store take there.
        free_bytes: at the store.
    """

    stages: int
    scores: int
    train_tokens: int
    score_tokens: int
    seconds: float
    measured_share: float
    train_rate: Rate
    score_rate: Rate
    disk_bytes: int
    added_bytes: Mapping[Keep, int]
    base_bytes: int
    free_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data; None for what is not known."""
        own: dict[str, Any] = plain(self)
        return own


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second of training and of scoring, by what computes.

    Attributes:
        here: what a node that one process computes on this machine has.
        done: kind of work -> what nodes ran on -> tokens, seconds and number of those that are finished.
        guessed: kind of node -> rate on `here`, used where nothing was measured.
    """

    here: Hardware
    done: Mapping[tuple[str, ...], Mapping[Hardware, tuple[float, float, int]]]
    guessed: Mapping[str, Rate]

    def measured(self, work: tuple[str, ...], on: Hardware) -> Rate:
        """Of all kinds of work that begin so, on as much of the same device; else in proportion; else unknown."""
        every = [known for kind, known in self.done.items() if kind[: len(work)] == work]
        alike = [(one, w) for known in every for one, w in known.items() if one.is_like(on)]
        works = [(one, w) for one, w in alike if one.units == on.units] or alike
        # Several at once add up their seconds, so a device's time is its seconds times its units.
        tokens, seconds = sum(w[0] for _, w in works), sum(one.units * w[1] for one, w in works)
        return Rate(tokens / seconds * on.units, sum(w[2] for _, w in works)) if works else UNKNOWN

    def of(self, kind: str) -> Rate:
        """On this machine, measured if it was, else guessed."""
        rate = self.measured((kind,), self.here)
        return rate if rate.nodes else self.guessed[kind]


def rates_of(
    plan: Plan, store: Store, *, here: Hardware, train_rate: Rate = UNKNOWN, score_rate: Rate = UNKNOWN
) -> Rates:
    """The rates that a store knows of a plan's kinds of work, what does not say on what it ran as computed `here`."""
    done: dict[tuple[str, ...], dict[Hardware, tuple[float, float, int]]] = {node.work: {} for node in plan.nodes}
    for kind in ("stage", "score"):
        for entry in store.entries(kind):
            tokens, seconds = _work(entry)
            by_hardware = done.get(_kind_of_work(entry))
            if by_hardware is not None and tokens > 0 and seconds > 0:
                on = hardware_of(entry.info) or here
                before = by_hardware.get(on, (0.0, 0.0, 0))
                by_hardware[on] = (before[0] + tokens, before[1] + seconds, before[2] + 1)
    return Rates(here, done, {"stage": train_rate, "score": score_rate})


def rates_elsewhere(rates: Rates, device: Hardware, train: Rate, score: Rate) -> Rates:
    """The rates of a device: this machine's where it has such a one, else what was measured on such, or the guesses."""
    if rates.here.is_like(device):
        return rates
    return replace(rates, here=device, guessed={"stage": train, "score": score})


def forecast(plan: Plan, store: Store, rates: Rates, base_entries: Iterable[str] = ()) -> Forecast:
    """What a run of the plan on this machine would take now."""
    pending = pending_nodes(plan, store)
    stages = [node for node in pending if isinstance(node, StageNode)]
    scores = [node for node in pending if isinstance(node, ScoreNode)]
    here = rates.here

    def on(node: Node) -> Hardware:
        return here if here.device == CPU else replace(here, units=node.devices)

    seconds = node_seconds(rates, on=on, power=lambda node: on(node).units / here.units)
    whole = math.fsum(map(seconds, pending))
    measured = math.fsum(seconds(node) for node in pending if rates.measured(node.work, on(node)).nodes)
    return Forecast(
        stages=len(stages),
        scores=len(scores),
        train_tokens=sum(node.tokens for node in stages),
        score_tokens=sum(node.tokens for node in scores),
        seconds=whole,
        measured_share=measured / whole if whole else math.nan,
        train_rate=rates.of("stage"),
        score_rate=rates.of("score"),
        disk_bytes=plan.disk_bytes,
        added_bytes={keep: plan.added_bytes(pending, keep=keep) for keep in get_args(Keep)},
        base_bytes=sum(entry.size_bytes for key in base_entries if (entry := store.peek("base", key))),
        free_bytes=shutil.disk_usage(store.root).free,
    )


def node_seconds(
    rates: Rates, *, on: Callable[[Node], Hardware], power: Callable[[Node], float]
) -> Callable[[Node], float]:
    """What one node takes; 0 of a curvature, whose number of products is not known before.

    What computes it is taken to be `power` times as fast as this machine where nothing was measured on it.
    """

    def seconds(node: Node) -> float:
        if isinstance(node, CurvatureNode):
            return 0.0
        rate = rates.measured(node.work, on(node))
        if not rate.nodes:  # as measured on this machine, else as guessed
            rate = rates.measured(node.work, rates.here)
            rate = rate if rate.nodes else _guess(rates, node)
            return _seconds(node.tokens, rate) / power(node)
        return _seconds(node.tokens, rate)

    return seconds


def _guess(rates: Rates, node: Node) -> Rate:
    if isinstance(node, ScoreNode) and (node.measure == GENERATION or node.generation):
        return Rate(rates.guessed["score"].tokens_per_second * _WRITING_SHARE)
    return rates.guessed["stage" if node.kind == "stage" else "score"]


def _work(entry: Entry) -> tuple[float, float]:
    tokens = entry.info.get("train_tokens" if entry.kind == "stage" else "score_tokens") or entry.info.get("tokens")
    return float(tokens or 0), float(entry.info.get("seconds") or 0)


def _kind_of_work(entry: Entry) -> tuple[str, ...]:
    """As the node said when it was computed; nothing where an entry does not say."""
    work = entry.info.get("work")
    return tuple(map(str, work)) if isinstance(work, list) else ()


def _seconds(tokens: int, rate: Rate) -> float:
    return tokens / rate.tokens_per_second if tokens else 0.0
