"""How many examples of a split are used: everything, a number, or a number of each group."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chaintune.errors import DataError, nearest
from chaintune.records import Example
from chaintune.tasks.splits import spread

Size = int | str | None
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Wanted:
    """A size as a number: of the whole split, or of each group of a dimension when one is named."""

    count: int
    dimension: str = ""


def parse_size(size: Size, what: str) -> Wanted | None:
    """What a size means; None is everything.

    Args:
        size: None or `all`, a number, or text like `400` or `30 per category`.
        what: the beginning of an error sentence, such as "task 'bbq', train".

    Raises:
        DataError: it is none of these, or less than 1.
    """
    if size is None or size == "all":
        return None
    found = re.fullmatch(r"\s*(\d+)(?:\s+per\s+(\S.*?))?\s*", str(size)) if not isinstance(size, bool) else None
    if found is None:
        raise DataError(f"{what}: size {size!r} is not understood; write a number, or '30 per category'")
    if int(found[1]) < 1:
        raise DataError(f"{what}: size {size!r} would leave the split empty; write at least 1, or leave it out for all")
    return Wanted(int(found[1]), found[2] or "")


def take(
    examples: Sequence[Example], wanted: Wanted | None, *, task: str, seed: int, what: str, groups: Sequence[str] = ()
) -> list[Example]:
    """The examples of one split that a size asks for.

    `N per DIMENSION` takes the first N of each group in the order of `splits.spread` over that
    group's examples, and their union: an example of several groups counts for each of them, and a
    group whose examples bear other groups too may come out with more than N.

    Args:
        examples: the whole split, in any order.
        wanted: None takes everything.
        task: the task's name.
        seed: of the order.
        what: the beginning of an error sentence.
        groups: every group of the dimension, those that this split lacks too.

    Raises:
        DataError: there are fewer than asked for.
    """
    if wanted is None:
        return list(examples)
    if not wanted.dimension:
        if wanted.count > len(examples):
            fewer = f"ask for {len(examples):,} or fewer, or " if examples else ""
            there = f"there are {len(examples):,}; {fewer}leave the size out"
            raise DataError(f"{what}: {wanted.count:,} examples asked for, {there} for all of them")
        return spread(examples, task=task, seed=seed)[: wanted.count]
    by_group: dict[str, list[Example]] = {group: [] for group in groups}
    for example in examples:
        for group in example.groups.get(wanted.dimension, ()):
            by_group.setdefault(group, []).append(example)
    _check_counts(by_group, wanted, what)
    taken = {
        example.id: example
        for members in by_group.values()
        for example in spread(members, task=task, seed=seed)[: wanted.count]
    }
    return list(taken.values())


def check_dimension(wanted: Wanted | None, dimensions: Sequence[str], what: str) -> None:
    """Nothing when the size names no dimension or one of the task's.

    Raises:
        DataError: it names another.
    """
    if wanted is None or not wanted.dimension or wanted.dimension in dimensions:
        return
    known = nearest(wanted.dimension, dimensions) if dimensions else "the task has no groups; write a plain number"
    raise DataError(f"{what}: '{wanted.count} per {wanted.dimension}': no such dimension; {known}")


def _check_counts(by_group: dict[str, list[Example]], wanted: Wanted, what: str) -> None:
    few = {group: len(members) for group, members in sorted(by_group.items()) if len(members) < wanted.count}
    if not few:
        return
    listed = ", ".join(f"'{group}' has {count}" for group, count in list(few.items())[:SHOWN])
    more = f", and {len(few) - SHOWN} more groups" if len(few) > SHOWN else ""
    most = min(few.values())
    todo = f"ask for {most} or fewer" if most else "leave out the group that has none"
    raise DataError(
        f"{what}: '{wanted.count} per {wanted.dimension}' asks for more than there are: {listed}{more}; "
        f"{todo}, or write a plain number"
    )
