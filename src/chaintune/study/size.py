"""The number of jobs that a study asks for, known before any data or model is read."""

from collections.abc import Sequence
from math import prod

from chaintune.config.source import Source
from chaintune.study.chains import MOST_JOBS, Chain
from chaintune.study.external import ChainItem
from chaintune.study.knobs import Knobs
from chaintune.study.mitigations import MitigationItem, acts_on

_EVERY_STAGE = ("later stages", "from the learning stage")


def check_jobs(
    source: Source,
    *,
    bases: int,
    measured: int,
    chains: Sequence[Chain],
    knobs: Sequence[Knobs],
    mitigations: Sequence[MitigationItem],
) -> None:
    """Note a study that asks for more jobs than can be planned; each checkpoint is `measured` so often."""
    stages = bases * prod(len(values) for _, values in knobs) * (_distinct(chains) + _mitigated(chains, mitigations))
    jobs = stages * (1 + measured) + bases * measured
    if jobs <= MOST_JOBS:
        return
    factors = [f"{len(values):,} values of {name}" for name, values in knobs if len(values) > 1]
    factors += [f"{bases:,} bases"] * (bases > 1) + [
        f"{len(chains):,} chains of up to {max(map(len, chains)):,} stages"
    ]
    source.report(
        ("vary",) if len(factors) > 1 and knobs else ("chains",),
        f"the study is {stages:,} checkpoints, each measured {measured:,} times, and {jobs:,} jobs are more than the "
        f"{MOST_JOBS:,} that one study may have ({' x '.join(factors)}); take fewer, or write several studies, which "
        "share what they have in common",
    )


def _distinct(chains: Sequence[Chain]) -> int:
    """Beginnings of chains, each once: what chains share is trained once."""
    places: dict[tuple[int, ChainItem], int] = {}
    for chain in chains:
        place = 0
        for item in chain:
            place = places.setdefault((place, item), len(places) + 1)
    return len(places)


def _mitigated(chains: Sequence[Chain], mitigations: Sequence[MitigationItem]) -> int:
    """Stages that mitigations add, at most."""
    return sum(
        len(item.spec.settings) * (len(chain) if item.mitigation.place in _EVERY_STAGE else 1)
        for item in mitigations
        for chain in chains
        if acts_on(item.spec, chain)
    )
