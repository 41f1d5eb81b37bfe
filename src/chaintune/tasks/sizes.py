"""How many examples of a split are used: everything, a number, a number of each group, what power takes, or a dose."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.records import Example
from chaintune.records.crossing import joined, parts_of
from chaintune.tasks.definition import TaskData
from chaintune.tasks.splits import spread

Size = int | str | None
NONE = "none"
SHOWN = 12
_SIZE = re.compile(r"\s*(?:power\s+(\d{1,3}(?:\.\d{1,3})?)|(\d{1,12}))(?:\s+per\s+(\S.*?))?\s*")


@dataclass(frozen=True, slots=True)
class SizeSpec:
    """A size as a number: of the whole split, or of each group of a dimension, or of two that are crossed.

    Attributes:
        count: of examples; 0 where `points` says how many are needed, and where there are to be none.
        dimension: of whose groups each has so many; empty is the whole split.
        points: the loss that is shown with 80 % power.
    """

    count: int
    dimension: str = ""
    points: float = 0.0

    @property
    def is_none(self) -> bool:
        """Whether the split is to have no examples."""
        return not self.count and not self.points

    def __str__(self) -> str:
        number = f"power {self.points:g}" if self.points else f"{self.count}"
        return f"{number} per {self.dimension}" if self.dimension else number

    def groups(self, example: Example) -> list[str]:
        """The groups for which an example counts."""
        groups = [example.groups.get(part, ()) for part in parts_of(self.dimension)]
        return [joined(*names) for names in product(*groups)]


def parse_size(size: Size, what: str) -> SizeSpec | None:
    """A size as a number; None is everything.

    Args:
        size: None or `all`, `none`, a number, or text like `400`, `30 per category`, `20 per target x label`,
            `power 10` or `power 10 per category`.
        what: the beginning of an error sentence, such as "task 'bbq', train".

    Raises:
        DataError: it is none of these, or less than 1.
    """
    if size is None or size == "all":
        return None
    if size == NONE:
        return SizeSpec(0)
    match = _SIZE.fullmatch(str(size)) if not isinstance(size, bool) else None
    if match is None:
        raise DataError(
            f"{what}: size {size!r} is not understood; write a whole number from 1, or '30 per category', 'none', or, "
            "of test, 'power 10' for what shows a loss of 10 points with 80 % power"
        )
    if match[3]:
        try:
            parts_of(match[3])
        except ConfigError as error:
            raise DataError(f"{what}: size {size!r}: {str(error).removeprefix('by ')}") from error
    if match[1] and not 0 < float(match[1]) < 100:
        raise DataError(f"{what}: size {size!r}: write the points of a loss, more than 0 and less than 100")
    if match[2] and int(match[2]) < 1:
        raise DataError(f"{what}: size {size!r} would leave the split empty; write at least 1, or leave it out for all")
    return SizeSpec(int(match[2] or 0), match[3] or "", float(match[1] or 0))


def take(
    examples: Sequence[Example],
    size: SizeSpec | None,
    *,
    task: str,
    seed: int,
    what: str,
    groups: Sequence[str] = (),
    balance: Sequence[str] = (),
    balanced: bool = False,
) -> list[Example]:
    """The examples of one split that a size asks for.

    `N per DIMENSION` takes the first N of each group in the order of `splits.spread` over that
    group's examples, and their union: an example of several groups counts for each of them, and a
    group whose examples bear other groups too may come out with more than N.

    Args:
        examples: the whole split, in any order.
        size: None takes everything.
        task: the task's name.
        seed: of the order.
        what: the beginning of an error sentence.
        groups: every group of the dimension, those that this split lacks too.
        balance: dimensions over which the sample is even, as `splits.spread` takes them.
        balanced: whether scores are balanced over gold labels, which a size by power has to know.

    Raises:
        DataError: there are fewer.
    """
    if size is None:
        return list(examples)
    if size.points:
        orders = orders_of(examples, size, task=task, seed=seed, groups=groups, balance=balance)
        count = _count_for_power(orders, size, what, balanced=balanced)
        return list({example.id: example for order in orders.values() for example in order[:count]}.values())
    if not size.dimension:
        if size.count > len(examples):
            fewer = f"ask for {len(examples):,} or fewer, or " if examples else ""
            there = f"there are {len(examples):,}; {fewer}leave the size out"
            raise DataError(f"{what}: {number_of(size.count, 'example')} asked for, {there} for all of them")
        return spread(examples, task=task, seed=seed, balance=balance)[: size.count]
    orders = orders_of(examples, size, task=task, seed=seed, groups=groups, balance=balance)
    _check_counts(orders, size, what)
    return list({example.id: example for order in orders.values() for example in order[: size.count]}.values())


def orders_of(
    examples: Sequence[Example],
    size: SizeSpec,
    *,
    task: str,
    seed: int,
    groups: Sequence[str] = (),
    balance: Sequence[str] = (),
) -> dict[str, list[Example]]:
    """The examples of each group that a size speaks of, in the order in which a sample takes them, as `take` has it."""
    by_group: dict[str, list[Example]] = {group: [] for group in groups} if size.dimension else {"": list(examples)}
    for example in examples if size.dimension else ():
        for group in size.groups(example):
            by_group.setdefault(group, []).append(example)
    return {name: spread(members, task=task, seed=seed, balance=balance) for name, members in by_group.items()}


def _count_for_power(orders: dict[str, list[Example]], size: SizeSpec, what: str, *, balanced: bool) -> int:
    from chaintune.tasks.power import FLIPS, needed_for  # loads scipy, which other sizes do not need

    groups_of = size.groups if size.dimension else None
    needed = needed_for(orders, groups_of, size.points, balanced=balanced, flips=FLIPS)
    if needed.count is not None:
        return needed.count
    each = f" per {size.dimension}" if size.dimension else ""
    there = f"'{needed.scarce}' has {needed.most:,}" if size.dimension else f"there are {needed.most:,}"
    if not needed.most:
        raise DataError(f"{what}: '{size}': {there}; leave out the group that has none, or write a plain number")
    takes = f"takes about {needed.about:,}{each}" if needed.about else "is out of reach of these clusters"
    instead = f"ask for 'power {needed.points:g}{each}', or " if needed.points else "ask "
    raise DataError(
        f"{what}: '{size}' {takes}, and {there}, with which a loss of {size.points:g} points would be shown in "
        f"{100 * needed.power:.0f} % of cases; {instead}for the most that can be taken, '{needed.most}{each}'"
    )


def of_groups(source: TaskData, only: Mapping[str, str | Sequence[str]], what: str) -> TaskData:
    """The data with the examples alone that bear one of the groups that are named, on each dimension.

    Raises:
        DataError: there is no such dimension, or a group without an example.
    """
    for dimension, groups in only.items():
        if dimension not in source.dimensions:
            raise DataError(f"{what}, only: no dimension '{dimension}'; {nearest(dimension, source.dimensions)}")
        names = {groups} if isinstance(groups, str) else set(groups)
        parts = [source.pool.examples, source.pool.test or ()]
        known = sorted({group for part in parts for one in part for group in one.groups.get(dimension, ())})
        if unknown := sorted(names.difference(known)):
            raise DataError(f"{what}, only: no group '{unknown[0]}' of {dimension}; {nearest(unknown[0], known)}")
        parts = [[one for one in part if names.intersection(one.groups.get(dimension, ()))] for part in parts]
        pool = replace(source.pool, examples=parts[0], test=None if source.pool.test is None else parts[1])
        source = replace(source, pool=pool)
    return source


def dose_size(dose: float, examples: int, *, task: str) -> int:
    """Examples in a dose, a fraction in (0, 1] of the task's training data, at least one.

    Raises:
        ConfigError: the dose lies outside (0, 1] or gives no example; the message names one that does.
    """
    if not 0 < dose <= 1:
        raise ConfigError(f"task '{task}': a dose is a fraction above 0 and at most 1, got {dose:g}")
    size = round(dose * examples)
    if size == 0:
        smallest = (math.floor(0.5 / max(1, examples) * 1e4) + 1) / 1e4
        raise ConfigError(
            f"task '{task}': a dose of {dose:g} of {examples} training examples gives none; "
            f"a dose of {smallest:g} gives one"
        )
    return size


def check_dimension(size: SizeSpec | None, dimensions: Sequence[str], what: str) -> None:
    """Nothing when the size names no dimension or one of the task's.

    Raises:
        DataError: it names another.
    """
    unknown = [part for part in parts_of(size.dimension) if part not in dimensions] if size and size.dimension else []
    if size is None or not unknown:
        return
    which = f" '{unknown[0]}'" if unknown[0] != size.dimension else ""
    known = nearest(unknown[0], dimensions) if dimensions else "the task has no groups; write a plain number"
    raise DataError(f"{what}: '{size}': no such dimension{which}; {known}")


def _check_counts(by_group: dict[str, list[Example]], size: SizeSpec, what: str) -> None:
    few = {group: len(members) for group, members in sorted(by_group.items()) if len(members) < size.count}
    if not few:
        return
    listed = ", ".join(f"'{group}' has {count}" for group, count in list(few.items())[:SHOWN])
    more = f", and {len(few) - SHOWN} more groups" if len(few) > SHOWN else ""
    most = min(few.values())
    todo = f"ask for {most} or fewer" if most else "leave out the group that has none"
    raise DataError(f"{what}: '{size}' asks for more than there are: {listed}{more}; {todo}, or write a plain number")
