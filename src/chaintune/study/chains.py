"""Which chains a study trains: words such as `both orders`, or lists of task names and of stages trained elsewhere."""

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise, permutations
from math import ceil, perm
from typing import Any

from chaintune.config.source import KeyPath, Source
from chaintune.errors import nearest
from chaintune.study.external import ChainItem, ExternalStage, label_of, read_external

Chain = tuple[ChainItem, ...]

_MOST_CHAINS = 5_000
# Of one study: its plan is made in seconds and holds less than a gigabyte.
MOST_JOBS = 100_000
_LONGEST_ORDERS = 6
_SHOWN_COUNT = 10**12
ORDERS = (
    r"(?:(?P<word>both|all)|(?P<count>\d{1,9}) random) orders(?: of (?P<length>\d{1,9}))?(?:, seed (?P<seed>\d{1,9}))?"
)


def read_chains(source: Source, tasks: Sequence[str], taught: Sequence[str]) -> list[Chain]:
    """The chains that `chains` names, each once, in the order written; problems are noted.

    Args:
        source: of the study file.
        tasks: names of the study's tasks, in order.
        taught: those of which there is something to teach, which the words of orders speak of.
    """
    if "chains" not in source.data or not tasks:
        return []  # the problem is reported with the other keys
    value = source.data["chains"]
    items = value if isinstance(value, list) else [value]
    if not items:
        source.report(("chains",), f"expected {_expected(tasks, ('chains',))}, got an empty list")
    chains: dict[Chain, None] = {}
    words: set[str] = set()
    for index, item in enumerate(items):
        path: KeyPath = ("chains", index) if isinstance(value, list) else ("chains",)
        if not isinstance(item, str) or item not in words:
            chains |= dict.fromkeys(_read_item(item, path, source, tasks, taught))
        words |= {item} if isinstance(item, str) else set()
        if len(chains) > _MOST_CHAINS:
            _too_many(source, len(tasks))
            return []
    _check_labels(chains, tasks, source)
    return list(chains)


def _check_labels(chains: Iterable[Chain], tasks: Sequence[str], source: Source) -> None:
    """Note a name that two different stages would have in the chains' labels."""
    named: dict[str, ChainItem] = {}
    for item in dict.fromkeys(item for chain in chains for item in chain):
        label, of_task = label_of(item), isinstance(item, ExternalStage) and item.task
        if named.setdefault(label, item) != item or (label in tasks and label not in (item, of_task)):
            source.report(
                ("chains",),
                f"two stages would be called '{label}'; give the external one a 'name' of its own",
            )


def _expected(tasks: Sequence[str], path: KeyPath) -> str:
    """What may stand at a place: in a list of chains it is one chain."""
    words = "'both orders'" if len(tasks) == 2 else "'all orders of 2'" if len(tasks) > 1 else "'all orders'"
    chain = f"[{tasks[0]}, {tasks[-1]}]" if len(tasks) > 1 else f"[{tasks[0]}]"
    listed = f"a list of chains such as [{chain}]" if len(path) == 1 else f"a chain such as {chain}"
    return f"{words}, 'all orders of N', '20 random orders', or {listed}"


def _too_many(source: Source, tasks: int, count: int = 0) -> None:
    """Note that there are more chains than a study may have, so many of them where that is known."""
    lengths = range(1, min(tasks, _LONGEST_ORDERS) + 1)
    fit = [n for n in lengths if (1 + tasks) * sum(perm(tasks, k) for k in range(1, n + 1)) <= MOST_JOBS]
    shorter = f"write '20 random orders', 'all orders of {fit[-1]}', or " if fit else ""
    many = f"{count:,}" if count < _SHOWN_COUNT else f"more than {_SHOWN_COUNT:,}"
    chains = f"{many} chains, more" if count else "more chains"
    source.report(
        ("chains",), f"{chains} than the {_MOST_CHAINS:,} that a study may have; {shorter}list those you need"
    )


def _read_item(item: Any, path: KeyPath, source: Source, tasks: Sequence[str], taught: Sequence[str]) -> list[Chain]:
    if isinstance(item, str) and (words := re.fullmatch(ORDERS, item.strip())):
        return _orders(words, path, source, taught)
    if isinstance(item, str) and (">" in item or item in tasks):
        item = [step.strip() for step in item.split(">")]
    if not isinstance(item, list) or not item or not all(isinstance(step, str | dict) for step in item):
        source.report(path, f"expected {_expected(tasks, path)}, got {item!r}")
        return []
    if untaught := [step for step in item if isinstance(step, str) and step in tasks and step not in taught]:
        source.report(path, f"'{untaught[0]}' has 'train: none', so no chain can teach it; give it a size")
        return []
    steps = [
        step if isinstance(step, str) else read_external(step, (*path, index), source, tasks)
        for index, step in enumerate(item)
    ]
    chain = tuple(step for step in steps if step is not None)
    return _checked(chain, path, source, tasks) if len(chain) == len(item) else []


def _orders(words: re.Match[str], path: KeyPath, source: Source, tasks: Sequence[str]) -> list[Chain]:
    """Every order of all the tasks, or of so many of them; or some of these, drawn."""
    length, count = words["length"], words["count"]
    if not tasks:
        source.report(path, "every task has 'train: none', so there is nothing to teach; give one a size")
        return []
    if words["seed"] and not count:
        source.report(path, f"'{words[0]}' draws nothing, so it takes no seed; leave it out")
        return []
    if words["word"] == "both" and (len(tasks) != 2 or length):
        todo = "write 'all orders of 2'" if len(tasks) > 1 else f"name the chain of one, [[{tasks[0]}]], or add a task"
        source.report(path, f"'both orders' needs exactly 2 tasks, the study has {len(tasks)}; {todo}")
        return []
    steps = int(length or len(tasks))
    if not 1 <= steps <= len(tasks):
        source.report(path, f"'orders of {steps}' of {len(tasks)} tasks: expected 1 to {len(tasks)}")
        return []
    there = perm(len(tasks), steps)
    if count and not 1 <= int(count) <= there:
        source.report(
            path, f"'{words[0]}': there are {there:,} orders; write a number from 1 to {there:,}, or 'all orders'"
        )
        return []
    if int(count or there) > _MOST_CHAINS:
        _too_many(source, len(tasks), int(count or there))
        return []
    if count:
        return list(random_orders(tasks, int(count), steps=steps, seed=int(words["seed"] or 0)))
    return list(permutations(tasks, steps))


def random_orders(tasks: Sequence[str], count: int, *, steps: int, seed: int) -> Iterator[tuple[str, ...]]:
    """Orders of tasks, each once, in which every task stands at every place as often as any other, or once more.

    They are rows of Latin squares, the tasks counted on cyclically from one order to the next. The first square (of an
    odd number of tasks the first two) is Williams's, in which every task follows every other equally often too.

    Args:
        tasks: to be ordered.
        count: at most as many as there are orders.
        steps: of each order.
        seed: of the draw.

    Source: Williams 1949, Experimental designs balanced for the estimation of residual effects of treatments.
    """
    rng, number = random.Random(seed), len(tasks)  # noqa: S311 - no secret
    named = rng.sample(list(tasks), number)
    for first in islice(_first_rows(number, steps, ceil(count / number), rng), ceil(count / number)):
        turns = rng.sample(range(number), number)
        for turn in turns[: min(number, count)]:
            yield tuple(named[(place + turn) % number] for place in first)
        count -= number


def _first_rows(number: int, steps: int, squares: int, rng: random.Random) -> Iterator[tuple[int, ...]]:
    """First rows of different Latin squares, each beginning with 0."""
    sides = [side for low in range(1, number) for side in (low, number - low)]
    zigzag = [0, *sides[: number - 1]]
    back = [(place - zigzag[-1]) % number for place in reversed(zigzag)]
    rows = dict.fromkeys(tuple(row[:steps]) for row in ([zigzag, back] if number % 2 else [zigzag]))
    yield from rows
    if 2 * squares > perm(number - 1, steps - 1):
        rest = [(0, *row) for row in permutations(range(1, number), steps - 1) if (0, *row) not in rows]
        yield from rng.sample(rest, len(rest))
        return
    while True:
        row = (0, *rng.sample(range(1, number), steps - 1))
        if row not in rows:
            rows[row] = None
            yield row


def _checked(chain: Chain, path: KeyPath, source: Source, tasks: Sequence[str]) -> list[Chain]:
    unknown = [(index, name) for index, name in enumerate(chain) if isinstance(name, str) and name not in tasks]
    for index, name in unknown:
        source.report((*path, index), f"no task is named '{name}'; {nearest(name, tasks)}")
    for before, after in pairwise(chain):
        if before == after:
            source.report(path, f"'{label_of(before)}' twice in a row; train it once with more epochs instead")
            return []
    return [] if unknown else [chain]
