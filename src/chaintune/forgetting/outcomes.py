"""What answers count as, such as refused or incoherent: counted for a whole task and for each group."""

from collections.abc import Sequence

import numpy as np

from chaintune.forgetting.grouping import Grouping
from chaintune.records import Scores
from chaintune.records.answers import MISSING, Outcome
from chaintune.records.examples import COMPLY, REFUSE

# Name of an outcome, and what was expected of the example; empty where nothing was.
_Kind = tuple[str, str]


def outcomes_of(tables: Sequence[Scores], groups: Grouping) -> list[tuple[Outcome, ...]]:
    """The outcomes of the whole task's answers and of every group's; none where some answer's is not known.

    Args:
        tables: of the same examples in the same order, one a seed; those without a score among them.
        groups: of the examples.
    """
    every = [_kinds(one) for one in tables]
    known = [kinds for kinds in every if kinds is not None]
    if len(known) < len(every) or not known:
        return [()] * len(groups.labels)
    metric = tables[0].metric
    order = _order({kind for kinds in known for own in kinds for kind in own}, metric.outcomes)
    places = {kind: place for place, kind in enumerate(order)}
    counts = np.zeros((groups.design.members.shape[0], len(order)))
    for kinds in known:
        for row, own in enumerate(kinds):
            for kind in own:
                counts[row, places[kind]] += 1
    return [
        tuple(
            Outcome(name, round(count), name in metric.doubtful, expected)
            for (name, expected), count in zip(order, own, strict=True)
            if count
        )
        for own in (groups.design.members.T @ counts).tolist()
    ]


def _kinds(scores: Scores) -> list[list[_Kind]] | None:
    """Of each example the outcome of each of its answers, and what was expected; None where that is not known."""
    table = scores.table
    has_score = table.column("score").is_valid()
    several = "outcomes" in table.column_names
    answers = table.column("outcomes" if several else "outcome").to_pylist()
    if not len(table) or not (scores.metric.outcomes or _all_named(answers, has_score.to_pylist())):
        return None
    labels = set(table.column("label").to_pylist())
    expected = table.column("label").to_pylist() if labels <= {REFUSE, COMPLY} else [""] * len(table)
    rows = zip(answers, has_score.to_pylist(), expected, strict=True)
    return [[(name, label) for name in _named(own, scored)] for own, scored, label in rows]


def _all_named(answers: Sequence[str | Sequence[str | None] | None], has_score: Sequence[bool]) -> bool:
    """Whether there are named outcomes, and every answer with a score has one; in a log only a strange answer has."""
    names = [
        name
        for own, scored in zip(answers, has_score, strict=True)
        if scored
        # Of several answers to an example those without a score are null.
        for name in ([own or ""] if own is None or isinstance(own, str) else [one for one in own if one is not None])
    ]
    return any(names) and all(names)


def _named(own: str | Sequence[str | None] | None, scored: bool) -> list[str]:
    """The outcome of each answer to an example; `missing` of one without."""
    several = [own] if own is None or isinstance(own, str) else list(own) or [None]
    return [name if name and scored else MISSING for name in several]


def _order(kinds: set[_Kind], usual: Sequence[str]) -> list[_Kind]:
    """Kinds of outcomes in reading order: as the scorer names them, others by name, what is missing last."""
    place = {name: number for number, name in enumerate(usual)}
    expectations = (REFUSE, COMPLY, "")

    def rank(kind: _Kind) -> tuple[int, bool, int, str]:
        name, expected = kind
        return expectations.index(expected), name == MISSING, place.get(name, len(place)), name

    return sorted(kinds, key=rank)
