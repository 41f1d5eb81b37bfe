"""Several tests at once: groups that depend on each other, and several tasks."""

import numpy as np

from benchmarks.calibration.cells import HUNDRED, USUAL, Cell, losing, overlapping
from benchmarks.calibration.coverage import tally
from benchmarks.calibration.procedure import ERROR_RATE
from benchmarks.calibration.tables import percent, print_head, print_row
from benchmarks.irt import Layout
from chaintune.stats import adjust


def _nested_and_doubled() -> Layout:
    """Eleven groups, four of them twice, and four pairs of them as one."""
    own = HUNDRED.members
    pairs = [own[:, first] | own[:, first + 1] for first in (0, 2, 4, 6)]
    return Layout(HUNDRED.sizes, np.column_stack([own, own[:, :4], *pairs]))


# With what the first group loses more, so that about half of the data sets show it.
LAYOUTS = {
    "2 complementary groups, 330 items": (Layout.even(2, 82, 2), 0.13),
    "11 groups apart, 1,100 items": (HUNDRED, 0.16),
    "same, four of them twice, and four pairs": (_nested_and_doubled(), 0.16),
    "11 groups, each template in two": (overlapping(11, 50, 4), 0.11),
}


def families_table(count: int) -> None:
    """Prints how often a family shows what is not there, and one group's biased forgetting where it is."""
    print_head("groups", "family of verdicts", "family of biased forgetting", "loss of the first", "its bias shown")
    for name, (layout, loss) in LAYOUTS.items():
        seen = tally(Cell(name, layout, USUAL), count)
        losses = np.where(layout.members[:, 0], loss, 0.0)
        one = Cell(f"{name}, one", layout, losing(USUAL, losses))
        shown = [estimates.biased[1].p_adjusted <= ERROR_RATE for _, estimates in one.datasets(count)]
        print_row(name, percent(seen.family), percent(seen.biased_family), f"{100 * loss:.0f}", percent(shown))


def tasks_table(count: int) -> None:
    """Prints how often some task of several is called forgot or gained where nothing is lost."""
    numbers = (5, 10, 20)
    print_head("300 items a task, nothing lost", *(f"{number} tasks" for number in numbers))
    cell = Cell("one task", Layout.even(1, 300, 1), USUAL)
    p_values = np.array([estimates.forgetting[0].p_value for _, estimates in cell.datasets(count * max(numbers))])
    families = p_values.reshape(count, -1)
    for name, corrected in (("each by itself", False), ("Holm over the tasks", True)):
        shown = [
            [bool(((adjust(own, "holm") if corrected else own) <= ERROR_RATE).any()) for own in families[:, :number]]
            for number in numbers
        ]
        print_row(name, *map(percent, shown))
