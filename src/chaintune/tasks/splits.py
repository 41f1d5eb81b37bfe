"""Which clusters are taught and which are tested, and which examples a sample of them takes.

Every order comes from SHA-256 of content, so it is the same on every machine and for every row order.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from chaintune.records import Example


def split_clusters(
    examples: Sequence[Example], *, task: str, seed: int, test_share: float, stratify_by: str = ""
) -> tuple[list[Example], list[Example]]:
    """The examples that are taught and those that are tested; no cluster is in both.

    Clusters are put into strata by the groups of one dimension that their examples bear. Of each
    stratum's clusters the share `test_share`, rounded half up, is tested: those that come first by
    SHA-256 of task, seed and cluster. Strata of one cluster are put together first.

    Args:
        examples: in any order.
        task: the task's name.
        seed: of the split.
        test_share: of the clusters, from 0 to 1.
        stratify_by: a dimension; all clusters are one stratum when empty.
    """
    tested: set[str] = set()
    for clusters in _strata(examples, stratify_by):
        ordered = sorted(clusters, key=lambda cluster: (_hash("split", task, seed, cluster), cluster))
        tested.update(ordered[: int(test_share * len(ordered) + 0.5)])
    train = [example for example in examples if example.cluster not in tested]
    test = [example for example in examples if example.cluster in tested]
    return train, test


def _strata(examples: Iterable[Example], dimension: str) -> list[list[str]]:
    groups: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        groups[example.cluster].update(example.groups.get(dimension, ()))
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for cluster, names in groups.items():
        strata[tuple(sorted(names))].append(cluster)
    # A stratum of one cluster always rounds the same way; many of them would bend the share of the whole.
    alone = [clusters[0] for clusters in strata.values() if len(clusters) == 1]
    return [clusters for clusters in strata.values() if len(clusters) > 1] + ([alone] if alone else [])


def spread(examples: Iterable[Example], *, task: str, seed: int, balance: Sequence[str] = ()) -> list[Example]:
    """The examples in the order in which a sample takes them: round after round one of each cluster.

    Clusters, and examples within a cluster, come in the order of SHA-256 of task, seed and name. A
    sample of 30 is therefore the beginning of a sample of 60, and lies in as many clusters as it can.

    Args:
        examples: in any order.
        task: the task's name.
        seed: of the sample.
        balance: a dimension, and those over which a sample is even within its groups: their kinds of examples, crossed,
            take turns within a cluster, and each cluster of a group begins with the kind that follows the one before.
    """
    by_hash = sorted(examples, key=lambda example: (_hash("sample", task, seed, example.id), example.id))
    of_cluster: dict[str, list[Example]] = defaultdict(list)
    for example in by_hash:
        of_cluster[example.cluster].append(example)
    order = sorted(of_cluster, key=lambda cluster: (_hash("sample", task, seed, cluster), cluster))
    if balance:
        of_cluster = _in_turns(of_cluster, order, balance)
    rounds = range(max(map(len, of_cluster.values()), default=0))
    return [of_cluster[cluster][turn] for turn in rounds for cluster in order if turn < len(of_cluster[cluster])]


def _in_turns(
    of_cluster: Mapping[str, Sequence[Example]], order: Sequence[str], balance: Sequence[str]
) -> dict[str, list[Example]]:
    """The examples of each cluster, their kinds in turns."""
    within, *crossed = balance
    kinds = {example.id: tuple(example.groups.get(name, ()) for name in crossed)
             for members in of_cluster.values() for example in members}  # fmt: skip
    every = sorted(set(kinds.values()))
    earlier: Counter[tuple[str, ...]] = Counter()
    turned = {}
    for cluster in order:
        first = earlier[group := of_cluster[cluster][0].groups.get(within, ())]
        earlier[group] += 1
        seen: Counter[tuple[tuple[str, ...], ...]] = Counter()
        turns = []
        for example in of_cluster[cluster]:
            kind = kinds[example.id]
            turns.append((seen[kind], (every.index(kind) - first) % len(every), example))
            seen[kind] += 1
        turned[cluster] = [turn[-1] for turn in sorted(turns, key=lambda turn: turn[:2])]
    return turned


def _hash(purpose: str, task: str, seed: int, name: str) -> bytes:
    return sha256(f"{purpose}\0{task}\0{seed}\0{name}".encode()).digest()
