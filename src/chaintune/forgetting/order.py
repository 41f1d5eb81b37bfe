"""Does the order matter? Two chains that are each other's reverse, side by side."""

from collections.abc import Mapping

from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import About, estimate_rows, mean_rows
from chaintune.forgetting.runs import Condition, Runs, named
from chaintune.records import Estimate, ResultRow, Role
from chaintune.stats import Sample, combination


def order_rows(runs: Runs, study: str, roles: Mapping[str, Role], options: Inference) -> list[ResultRow]:
    """Final safety and asymmetry of every two chains that are each other's reverse.

    `order_effect` is the final score of a safety task where it comes later minus that where it comes
    earlier, on the same examples. `asymmetry` is the forgetting of the safety task when it comes first
    minus the forgetting of the capability task when that comes first.
    """
    rows: list[ResultRow] = []
    for one, other in _reversed_pairs(runs):
        for task in (step for step in one.chain if roles[step] == "safety"):
            early, late = sorted((one, other), key=lambda condition: condition.chain.index(task))
            if early.chain.index(task) < late.chain.index(task):
                rows += _final_safety(runs, study, task, (early, late), options)
        if len(one.chain) == 2 and {roles[step] for step in one.chain} == {"safety", "capability"}:
            rows += _asymmetry(runs, study, roles, (one, other), options)
    return rows


def _reversed_pairs(runs: Runs) -> list[tuple[Condition, Condition]]:
    conditions = runs.conditions
    known = set(conditions)
    pairs = []
    for position, one in enumerate(conditions):
        other = one.at(one.chain[::-1])
        plain = len(one.chain) > 1 and len(set(one.chain)) == len(one.chain) and runs.is_plain(one.chain)
        if plain and other in known and other not in conditions[:position]:
            pairs.append((one, other))
    return pairs


def _final_safety(
    runs: Runs, study: str, task: str, pair: tuple[Condition, Condition], options: Inference
) -> list[ResultRow]:
    early, late = pair
    seeds = runs.seeds([early, late], task)
    if not seeds:
        return []
    values = runs.stacked(late, seeds, task) - runs.stacked(early, seeds, task)
    about = About(study, late, named(early.chain), task)
    return mean_rows(about, "order_effect", runs.groups[task], values, seeds, options)


def _asymmetry(
    runs: Runs, study: str, roles: Mapping[str, Role], pair: tuple[Condition, Condition], options: Inference
) -> list[ResultRow]:
    """Forgetting of the first task of either chain: safety first minus capability first."""
    first, second = sorted(pair, key=lambda condition: roles[condition.chain[0]] != "safety")
    shared = [set(runs.seeds([c, c.at(c.chain[:1])], c.chain[0])) for c in (first, second)]
    seeds = sorted(set.intersection(*shared))
    if not seeds:
        return []
    losses = [
        runs.stacked(c.at(c.chain[:1]), seeds, c.chain[0]) - runs.stacked(c, seeds, c.chain[0]) for c in (first, second)
    ]
    designs = [runs.groups[c.chain[0]].design for c in (first, second)]
    about = About(study, first, named(second.chain), first.chain[0])

    def between(positions: list[int]) -> Estimate:
        drawn = [
            Sample.of(design, loss[positions], resamples=options.resamples, seed=options.seed)
            for design, loss in zip(designs, losses, strict=True)
        ]
        return combination(drawn, (1.0, -1.0), level=options.level, seed=options.seed)

    return estimate_rows(about, "asymmetry", seeds, between)
