"""The checkpoint that forgetting is counted from: `forgetting_from` of a study."""

from collections.abc import Mapping, Sequence
from typing import get_args

from chaintune.errors import ConfigError, nearest
from chaintune.forgetting.runs import Runs, earlier_tasks, trained_at
from chaintune.records import Chain, Checkpoint, ForgettingFrom

FORGETTING_FROM = get_args(ForgettingFrom)


def check_reference(reference: str) -> None:
    """Refuse a reference that does not exist.

    Raises:
        ConfigError: there is none of that name.
    """
    if reference not in FORGETTING_FROM:
        raise ConfigError(f"forgetting_from '{reference}': {nearest(reference, FORGETTING_FROM)}")


def reference_chains(chain: Chain, task: str, reference: ForgettingFrom) -> list[Chain]:
    """The parts of a chain from one of which the forgetting of a task at its end is counted.

    That of a task which the chain never teaches is counted from the base.
    """
    if not any(task in step.tasks for step in chain):
        return [()]
    if reference == "best":
        return [chain[:stage] for stage in range(1, len(chain))]
    single: Mapping[str, Chain] = {"trained": trained_at(chain, task), "base": (), "previous": chain[:-1]}
    return [single[reference]]


def lost_tasks(runs: Runs, condition: Checkpoint, reference: ForgettingFrom) -> dict[str, list[Chain]]:
    """Each task that a checkpoint may have forgotten, with the chains from one of which its forgetting is counted."""
    chain = condition.chain
    starts = {task: reference_chains(chain, task, reference) for task in earlier_tasks(chain)}
    if condition in runs.final:  # what the chain never teaches has no checkpoint of its own to be counted from
        starts |= {task: [()] for task in runs.tasks(condition) if task not in condition.tasks}
    return starts


def reference_checkpoints(
    runs: Runs, condition: Checkpoint, task: str, chains: Sequence[Chain], *, beside: Sequence[Checkpoint] = ()
) -> tuple[list[int], list[Checkpoint]]:
    """The seeds under which everything was measured, and the checkpoint of each from which forgetting is counted.

    Args:
        runs: of the study.
        condition: where forgetting is measured.
        task: measured.
        chains: of the candidates; of several the one with the best mean is taken, for each seed.
        beside: further conditions that have to be measured under the same seeds.
    """
    candidates = [condition.at(chain) for chain in chains]
    known = [candidate for candidate in candidates if runs.seeds([condition, candidate], task)]
    seeds = runs.seeds([condition, *beside, *known], task) if known else []
    return seeds, [_best(runs, known, seed, task) for seed in seeds]


def _best(runs: Runs, candidates: Sequence[Checkpoint], seed: int, task: str) -> Checkpoint:
    return max(candidates, key=lambda candidate: runs.groups[task].design.mean(runs.values(candidate, seed, task)))
