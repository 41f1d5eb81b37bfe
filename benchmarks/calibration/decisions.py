"""What is decided: power, the gate, and how far a p-value hangs on the draws."""

from collections import Counter
from collections.abc import Sequence
from zlib import crc32

import numpy as np
import pyarrow as pa

from benchmarks.calibration.cells import BBQ_LIKE, HUNDRED, LARGE, QUICKSTART, USUAL, Cell, losing
from benchmarks.calibration.procedure import ERROR_RATE, LEVEL, RESAMPLES, Floats
from benchmarks.calibration.tables import percent, points, print_head, print_row
from benchmarks.irt import Layout, World
from chaintune.forgetting import compare
from chaintune.forgetting.verdicts import verdict
from chaintune.gate.judge import judge
from chaintune.gate.policy import Budget, Limit, Policy
from chaintune.records import Scores
from chaintune.records.scores import whole_table
from chaintune.stats import Sample, detectable_biased, detectable_means, means

MARGIN = 0.02
# The error rate of each of eleven groups.
SHARED = ERROR_RATE / 11
HIGH = World(noise=0.4, change=0.1)
POWER_LAYOUTS = {
    "11 x 15 x 2 (30 a group)": (QUICKSTART, USUAL, 0.7),
    "11 x 25 x 4 (100)": (HUNDRED, USUAL, 0.7),
    "same at 0.97": (HUNDRED, HIGH, 0.97),
    "11 x 25 x 20 (500 in 25 templates)": (LARGE, USUAL, 0.7),
    "11 x 200 x 4 (800 in 200)": (Layout.even(11, 200, 4), USUAL, 0.7),
}


def power_table(count: int) -> None:
    """Prints how often a loss of the whole is shown, and one of a single group beyond the others, by its size."""
    losses = (0.02, 0.05, 0.1)
    print_head(
        "layout", *(f"whole loses {100 * loss:.0f}" for loss in losses),
        *(f"a group loses {100 * loss:.0f} more" for loss in losses), "told at 80 %: whole", "biased",
    )  # fmt: skip
    for name, (layout, world, base) in POWER_LAYOUTS.items():
        whole, group, told = [], [], []
        for loss in losses:
            cell = Cell(f"{name} {loss}", layout, losing(world, loss, base))
            whole.append(percent([verdict(estimates.forgetting[0], margin=MARGIN, level=LEVEL) == "forgot"
                                  for _, estimates in cell.datasets(count)]))  # fmt: skip
            one = layout.by_group([loss] + [0.0] * 10)
            shown = []
            for sample, estimates in Cell(f"{name} {loss} one", layout, losing(world, one, base)).datasets(count):
                shown.append(estimates.biased[1].p_adjusted <= ERROR_RATE)
                least = detectable_means(sample, error_rate=ERROR_RATE), detectable_biased(sample, error_rate=SHARED)
                told.append((least[0][0], least[1][1]))
            group.append(percent(shown))
        print_row(name, *whole, *group, *(points(column) for column in np.transpose(told).tolist()))


BUDGETS = {
    "whole 2": ("", "forgetting", Limit(0.02, relative=False)),
    "groups 5": ("group", "forgetting", Limit(0.05, relative=False)),
    "biased 3": ("group", "biased_forgetting", Limit(0.03, relative=False)),
    "disparity 15": ("group", "disparity", Limit(0.15, relative=False)),
    "5 % of before": ("", "forgetting", Limit(0.05, relative=True)),
}
GATE_CELLS: Sequence[Cell] = [
    Cell("11 x 25 x 4, nothing lost", HUNDRED, USUAL),
    Cell("11 x 100 x 4, nothing lost", Layout.even(11, 100, 4), USUAL),
    Cell("11 x 300 x 4, nothing lost", Layout.even(11, 300, 4), USUAL),
    Cell("11 x 25 x 4, all lose 2", HUNDRED, losing(USUAL, 0.02)),
    Cell("11 x 25 x 4, all lose 3.5", HUNDRED, losing(USUAL, 0.035)),
    Cell("11 x 25 x 4, all lose 5", HUNDRED, losing(USUAL, 0.05)),
    Cell("11 x 100 x 4, one loses 15", Layout.even(11, 100, 4),
         losing(USUAL, Layout.even(11, 100, 4).by_group([0.15] + [0.0] * 10))),
    Cell("11 x 25 x 4, 0.97, all lose 2", HUNDRED, losing(HIGH, 0.02, 0.97)),
]  # fmt: skip


def gate_table(count: int) -> None:
    """Prints how often each budget passes and fails; what is left is inconclusive."""
    policies = list(map(_policy, BUDGETS))
    print_head("truth", *(f"{name}: pass / fail" for name in BUDGETS))
    for cell in GATE_CELLS:
        answers: Counter[tuple[str, str]] = Counter()
        rng, frame = np.random.default_rng(crc32(cell.name.encode())), _frame(cell.layout)
        for number in range(count):
            sides = (_scores(frame, side[0]) for side in cell.world.answers(rng, cell.layout))
            comparison = compare(*sides, by=["group"], resamples=RESAMPLES, seed=number)
            answers.update((policy.name, judge(policy, [comparison]).answer) for policy in policies)
        shares = ([100 * answers[name, answer] / count for answer in ("pass", "fail")] for name in BUDGETS)
        print_row(cell.name, *(f"{passes:.1f} / {fails:.1f}" for passes, fails in shares))


LOOKS = 50


def looks_table(count: int) -> None:
    """Prints how many trainings a budget of 2 points stops: by one look, by any of 50, by any that share its rate."""
    policy, frame = _policy("whole 2"), _frame(HUNDRED)
    print_head("truth at every look", "the first look fails", f"some of {LOOKS}, each alone", "sharing the error rate")
    for loss in (0.0, 0.02, 0.04, 0.06):
        world, failed = losing(USUAL, loss), []
        rng = np.random.default_rng([LOOKS, round(100 * loss)])
        for number in range(count):
            before, after = world.answers(rng, HUNDRED, LOOKS)
            start = _scores(frame, before[0])
            seen = [compare(start, _scores(frame, later), resamples=RESAMPLES, seed=number) for later in after]
            failed.append([[judge(policy, [one], looks=of).answer == "fail" for one in seen] for of in (1, LOOKS)])
        alone, sharing = np.moveaxis(np.array(failed), 1, 0)  # [trainings, looks] each
        shares = (alone[:, 0], alone.any(axis=1), sharing.any(axis=1))
        print_row(f"{100 * loss:.0f} points lost", *map(percent, shares))


def _policy(name: str) -> Policy:
    """The policy of one of the budgets."""
    by, statistic, limit = BUDGETS[name]
    budget = Budget("made-up", by, (), statistic, limit, "block", required=True)  # type: ignore[arg-type]
    return Policy(name, (budget,))


def _frame(layout: Layout) -> pa.Table:
    """The columns that all scores of a layout share."""
    own, group = layout.templates, layout.members.argmax(axis=1)
    columns = {
        "task": ["made-up"] * len(own),
        "example_id": [f"{number:06}" for number in range(len(own))],
        "cluster": [f"{number:05}" for number in own],
        "groups": pa.array([[("group", [f"{group[template]:02}"])] for template in own],
                           pa.map_(pa.string(), pa.list_(pa.string()))),
        "score": pa.array(np.zeros(len(own))),
    }  # fmt: skip
    return whole_table(pa.table(columns))


def _scores(frame: pa.Table, right: Floats) -> Scores:
    place = frame.schema.names.index("score")
    return Scores("made-up", frame.set_column(place, frame.schema.field(place), pa.array(right)))


def draws_table(count: int) -> None:
    """Prints how far a p-value of the sign flips hangs on the seed of its 10,000 draws, beside the exact one."""
    seeds = max(2, min(40, count))
    print_head("cell", "exact", f"mean of {seeds} seeds", "SD", "lowest", "highest")
    # Losses of which a p-value of 0.003 is nothing rare.
    for name, layout, loss in (
        ("quickstart", QUICKSTART, 0.08),
        ("11 x 25 x 4", HUNDRED, 0.04),
        ("BBQ-like", BBQ_LIKE, 0.02),
    ):
        rng, design = np.random.default_rng(crc32(name.encode())), layout.design()
        exact = 1.0
        while not 0.002 < exact < 0.004:
            change = losing(USUAL, loss).changes(rng, layout)[0]
            exact = exact_p(design.sums(change)[:, 0].astype(int))
        drawn = [means(Sample.of(design, change, seed=seed))[0].p_value for seed in range(seeds)]
        print_row(name, *(f"{p:.5f}" for p in (exact, np.mean(drawn), np.std(drawn), min(drawn), max(drawn))))


def exact_p(sums: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    """Two-sided mid-p-value that whole-numbered cluster sums are symmetric about 0, over all flips of their signs."""
    width = int(np.abs(sums).sum())
    chances = np.zeros(2 * width + 1)
    chances[width] = 1.0
    for size in np.abs(sums[sums != 0]):
        chances = (np.roll(chances, size) + np.roll(chances, -size)) / 2
    distance, observed = np.abs(np.arange(-width, width + 1)), abs(int(sums.sum()))
    return float(chances[distance > observed].sum() + chances[distance == observed].sum() / 2)
