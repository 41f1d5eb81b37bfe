"""How many examples of a split are used: everything, a number, a number of each group, or a dose."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.forgetting.crossing import joined, parts_of
from chaintune.records import Example
from chaintune.tasks.splits import spread

Size = int | str | None
SHOWN = 12


@dataclass(frozen=True, slots=True)
class SizeSpec:
    """A size as a number: of the whole split, or of each group of a dimension, or of two that are crossed."""

    count: int
    dimension: str = ""

    def groups(self, example: Example) -> list[str]:
        """The groups for which an example counts."""
        groups = [example.groups.get(part, ()) for part in parts_of(self.dimension)]
        return [joined(*names) for names in product(*groups)]


def parse_size(size: Size, what: str) -> SizeSpec | None:
    """A size as a number; None is everything.

    Args:
        size: None or `all`, a number, or text like `400`, `30 per category` or `20 per target x label`.
        what: the beginning of an error sentence, such as "task 'bbq', train".

    Raises:
        DataError: it is none of these, or less than 1.
    """
    if size is None or size == "all":
        return None
    match = re.fullmatch(r"\s*(\d{1,12})(?:\s+per\s+(\S.*?))?\s*", str(size)) if not isinstance(size, bool) else None
    if match is None:
        raise DataError(f"{what}: size {size!r} is not understood; write a whole number from 1, or '30 per category'")
    if match[2]:
        try:
            parts_of(match[2])
        except ConfigError as error:
            raise DataError(f"{what}: size {size!r}: {str(error).removeprefix('by ')}") from error
    if int(match[1]) < 1:
        raise DataError(f"{what}: size {size!r} would leave the split empty; write at least 1, or leave it out for all")
    return SizeSpec(int(match[1]), match[2] or "")


def take(
    examples: Sequence[Example],
    size: SizeSpec | None,
    *,
    task: str,
    seed: int,
    what: str,
    groups: Sequence[str] = (),
    balance: Sequence[str] = (),
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

    Raises:
        DataError: there are fewer.
    """
    if size is None:
        return list(examples)
    if not size.dimension:
        if size.count > len(examples):
            fewer = f"ask for {len(examples):,} or fewer, or " if examples else ""
            there = f"there are {len(examples):,}; {fewer}leave the size out"
            raise DataError(f"{what}: {number_of(size.count, 'example')} asked for, {there} for all of them")
        return spread(examples, task=task, seed=seed, balance=balance)[: size.count]
    by_group: dict[str, list[Example]] = {group: [] for group in groups}
    for example in examples:
        for group in size.groups(example):
            by_group.setdefault(group, []).append(example)
    _check_counts(by_group, size, what)
    taken = {
        example.id: example
        for members in by_group.values()
        for example in spread(members, task=task, seed=seed, balance=balance)[: size.count]
    }
    return list(taken.values())


def dose_size(dose: float, examples: int, *, task: str) -> int:
    """Examples in a dose, at least one.

    Args:
        dose: fraction in (0, 1]; 1 is everything.
        examples: of the task's training data.
        task: named in errors.

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
    raise DataError(f"{what}: '{size.count} per {size.dimension}': no such dimension{which}; {known}")


def _check_counts(by_group: dict[str, list[Example]], size: SizeSpec, what: str) -> None:
    few = {group: len(members) for group, members in sorted(by_group.items()) if len(members) < size.count}
    if not few:
        return
    listed = ", ".join(f"'{group}' has {count}" for group, count in list(few.items())[:SHOWN])
    more = f", and {len(few) - SHOWN} more groups" if len(few) > SHOWN else ""
    most = min(few.values())
    todo = f"ask for {most} or fewer" if most else "leave out the group that has none"
    raise DataError(
        f"{what}: '{size.count} per {size.dimension}' asks for more than there are: {listed}{more}; "
        f"{todo}, or write a plain number"
    )
