"""Replay: a dose of a task's training data, taught again after the loss.

Use when: something was forgotten already, and a short third stage is affordable. Which examples make the dose may be
left to chance, spread evenly over the groups of a dimension, or aimed at the groups that lost most.

On your own Trainer: train on `take_dose(...)` instead of the whole data set.

Source:
    Ung et al. 2024 (arXiv:2412.16469) replay about 5 % of the safety data in a third stage.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from chaintune.records import Example
from chaintune.tasks.sizes import dose_size
from chaintune.tuning.mitigations.mitigation import Mitigation
from chaintune.tuning.mitigations.specs import DoseSpec

# Of the turns this share is dealt out evenly, so that a group measured on few examples is never left out.
EVEN_SHARE = 0.2


class ReplaySpec(DoseSpec):
    """Taught in a stage of their own, after the loss."""


def take_dose(
    examples: Sequence[Example],
    dose: float,
    *,
    task: str,
    seed: int,
    by: str = "",
    weights: Mapping[str, float] | None = None,
    of: int | None = None,
    ranked: Mapping[str, float] | None = None,
) -> tuple[Example, ...]:
    """A fraction of the examples; a smaller dose of one seed lies inside a larger one, whoever is drawn first.

    Args:
        examples: the task's whole training data, in any order.
        dose: fraction in (0, 1]; 1 is everything.
        task: named in errors.
        seed: of the draw.
        by: dimension whose groups take turns; empty draws all examples alike.
        weights: turns of each group, in proportion; None gives every group as many.
        ranked: id of each example -> its place, the lowest first; None draws.
        of: examples that the dose is a fraction of, where not all of them are there; None is those that are.

    Raises:
        ConfigError: the dose gives no example.
    """
    size = dose_size(dose, len(examples) if of is None else of, task=task)
    places = ranked or {}
    drawn = sorted(
        examples,
        key=lambda example: (places.get(example.id, 0.0), _lot(example.id, seed)),
    )
    return tuple(_in_turns(drawn, by, weights)[:size] if by else drawn[:size])


def group_weights(forgetting: Mapping[str, float]) -> dict[str, float]:
    """Weight of each group when a dose aims at those that lost most; the weights add up to 1.

    With `L_g = max(0, forgetting of g)` and `G` groups: `w_g = 0.8 * L_g / sum(L) + 0.2 / G`, and `1 / G` where no
    group lost anything. Measure the forgetting on the task's training examples: chosen by their test scores, groups
    that looked bad by chance would look better afterwards by chance, and recovery would be overstated.

    Args:
        forgetting: of each group, score before minus score after.
    """
    losses = {group: max(0.0, value) for group, value in sorted(forgetting.items())}
    total, count = sum(losses.values()), max(1, len(losses))
    if total == 0:
        return dict.fromkeys(losses, 1 / count)
    return {group: (1 - EVEN_SHARE) * (loss / total) + EVEN_SHARE / count for group, loss in losses.items()}


def places_of(who: str, before: Mapping[str, float], after: Mapping[str, float], *, seed: int) -> dict[str, float]:
    """Id of each example -> its place when a dose goes by what its answer was worth, the lowest first.

    `hardest` is what was worth least before the loss, `most_forgotten` what fell most. `representative` spreads every
    dose evenly over the order of the falls: the middle one first, then the quarters, the eighths and so on, so that a
    dose holds what was kept as well as what was lost.

    Args:
        who: one of the three.
        before: the loss; id of each example -> what its answer was worth, more is better.
        after: the same after it.
        seed: of the lots that order equal falls, those of uniform doses.
    """
    if who == "hardest":
        return dict(before)
    falls = {name: after[name] - value if value > -math.inf else 0.0 for name, value in before.items()}
    if who == "most_forgotten":
        return falls
    order = sorted(falls, key=lambda name: (falls[name], _lot(name, seed)))
    return {name: _turn(place, len(order)) for place, name in enumerate(order)}


def _lot(name: str, seed: int) -> bytes:
    return sha256(f"{seed}\n{name}".encode()).digest()


def _turn(place: int, count: int) -> float:
    """When a place of so many is taken if halves are halved again and again."""
    low, high, depth, path = 0, count, 0, 0
    while True:
        middle = (low + high) // 2
        if place == middle:
            # All of one depth in an order that spreads them as well: the bits of the path turned around.
            turned = int(format(path, f"0{depth}b")[::-1], 2) if depth else 0
            return depth + turned / (1 << depth)
        depth, path = depth + 1, 2 * path + (place > middle)
        low, high = (middle + 1, high) if place > middle else (low, middle)


def _in_turns(drawn: Sequence[Example], by: str, weights: Mapping[str, float] | None) -> list[Example]:
    """Every example once, groups taking turns in proportion to their weights; those without a group come last."""
    queues = {
        group: iter([example for example in drawn if group in example.groups.get(by, ())])
        for group in sorted({group for example in drawn for group in example.groups.get(by, ())})
    }
    share = {group: (weights or {}).get(group, 0.0) if weights else 1.0 for group in queues}
    taken: dict[str, Example] = {}
    turns = dict.fromkeys(queues, 0)
    while queues:
        # Webster's rule: whoever has had the fewest turns for its weight; all first turns by weight, then by name.
        group = max(sorted(queues), key=lambda name: share[name] / (2 * turns[name] + 1))
        example = _next_new(queues[group], taken)
        if example is None:
            del queues[group]
            continue
        taken[example.id] = example
        turns[group] += 1
    rest = [example for example in drawn if example.id not in taken]
    return [*taken.values(), *rest]


def _next_new(queue: Iterator[Example], taken: Mapping[str, Example]) -> Example | None:
    """An example may bear several groups of a dimension; it is taken once."""
    return next((example for example in queue if example.id not in taken), None)


MITIGATION = Mitigation(spec=ReplaySpec, place="after the loss", own_trainer="take_dose")
