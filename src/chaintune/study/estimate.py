"""How long a plan will take and how much disk, from what earlier nodes took."""

import math
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from chaintune.study.needs import Needs
from chaintune.study.nodes import CurvatureNode, Node, ScoreNode, StageNode
from chaintune.study.plan import Plan
from chaintune.study.store import Entry, Store


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens a second.

    Attributes:
        tokens_per_second: NaN when nothing was measured.
        nodes: that it was measured on; 0 when it was given.
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
        seconds: NaN when there is work and no rate for it; without curvatures, whose products nobody can count.
        train_rate, score_rate: that the seconds come from.
        disk_bytes: the most that the plan's checkpoints take at any one time.
        free_bytes: at the store.
    """

    stages: int
    scores: int
    train_tokens: int
    score_tokens: int
    seconds: float
    train_rate: Rate
    score_rate: Rate
    disk_bytes: int
    free_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data; None for what is not known."""
        plain = asdict(self)
        plain |= {"seconds": None if math.isnan(self.seconds) else self.seconds}
        for name in ("train_rate", "score_rate"):
            rate = plain[name]["tokens_per_second"]
            plain[name]["tokens_per_second"] = None if math.isnan(rate) else rate
        return plain


def forecast(plan: Plan, store: Store, *, train_rate: Rate = UNKNOWN, score_rate: Rate = UNKNOWN) -> Forecast:
    """What a run of the plan would take now.

    Args:
        plan: of a study.
        store: whose finished entries of the same bases tell the rates, and what need not be done.
        train_rate: used when the store knows none, measured on a short trial for example.
        score_rate: the same for scoring.
    """
    pending = Needs(plan, store).pending()
    stages = [node for node in pending if isinstance(node, StageNode)]
    scores = [node for node in pending if isinstance(node, ScoreNode)]
    bases = {node.base_key for node in plan.nodes}
    train_rate = _or_else(measured_rate(store, "stage", bases), train_rate)
    score_rate = _or_else(measured_rate(store, "score", bases), score_rate)
    train_tokens, score_tokens = sum(n.tokens for n in stages), sum(n.tokens for n in scores)
    return Forecast(
        stages=len(stages),
        scores=len(scores),
        train_tokens=train_tokens,
        score_tokens=score_tokens,
        seconds=_seconds(train_tokens, train_rate) + _seconds(score_tokens, score_rate),
        train_rate=train_rate,
        score_rate=score_rate,
        disk_bytes=plan.disk_bytes,
        free_bytes=shutil.disk_usage(store.root).free,
    )


def node_seconds(ahead: Forecast, *, power: Callable[[Node], float]) -> Callable[[Node], float]:
    """What one node takes, at the rates of a forecast; 0 of a curvature, whose products nobody can count.

    Args:
        ahead: with rates that are known.
        power: how many times as fast as this machine a node is computed.
    """

    def seconds(node: Node) -> float:
        if isinstance(node, CurvatureNode):
            return 0.0
        rate = ahead.train_rate if isinstance(node, StageNode) else ahead.score_rate
        return _seconds(node.tokens, rate) / power(node)

    return seconds


def measured_rate(store: Store, kind: Literal["stage", "score"], base_keys: Iterable[str]) -> Rate:
    """Tokens over seconds of all finished nodes of some bases; unknown when there are none."""
    keys = set(base_keys)
    work = [_work(entry) for entry in store.entries(kind) if entry.info.get("base_key") in keys]
    work = [(tokens, seconds) for tokens, seconds in work if tokens > 0 and seconds > 0]
    tokens, seconds = sum(t for t, _ in work), sum(s for _, s in work)
    return Rate(tokens / seconds, len(work)) if work else UNKNOWN


def _work(entry: Entry) -> tuple[float, float]:
    tokens = entry.info.get("train_tokens" if entry.kind == "stage" else "score_tokens") or entry.info.get("tokens")
    return float(tokens or 0), float(entry.info.get("seconds") or 0)


def _or_else(rate: Rate, other: Rate) -> Rate:
    return other if math.isnan(rate.tokens_per_second) else rate


def _seconds(tokens: int, rate: Rate) -> float:
    return tokens / rate.tokens_per_second if tokens else 0.0
