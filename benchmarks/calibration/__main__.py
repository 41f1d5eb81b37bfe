"""Prints the tables of `docs/explanation/statistics.md`: simulated comparisons, and how often they are right.

    python -m benchmarks.calibration [--table NAME] [--datasets N]    # from the repository's root

Each table takes minutes on one core. Changes are drawn in two ways: from each cluster's own probabilities
(`clustered`), and as the answers of two checkpoints to items of known difficulty (`benchmarks.irt`).
"""

import argparse
import itertools
from collections.abc import Callable, Mapping, Sequence

from benchmarks.calibration.cells import COVERAGE, SEVERAL_SEEDS, UPPER_ENDS, UPPER_ENDS_OF_SEEDS
from benchmarks.calibration.clustered import Cell, World, clustered_power_table, grid_table, seeds_table
from benchmarks.calibration.coverage import coverage_table, upper_table
from benchmarks.calibration.decisions import draws_table, gate_table, looks_table, power_table
from benchmarks.calibration.families import families_table, tasks_table
from benchmarks.calibration.labels import LABEL_WORLDS, LabelCell, label_power_table, labels_table
from benchmarks.calibration.margins import margins_table
from benchmarks.calibration.nats import nats_table
from benchmarks.calibration.procedure import LEVEL, RESAMPLES
from benchmarks.calibration.rivals import rivals_table
from benchmarks.calibration.several_seeds import over_recipes_table, recipes_table

GRID = [Cell(*parts) for parts in itertools.product((8, 15, 25, 50), (0.0, 0.2, 0.5), (False, True))]
FEW = [Cell(clusters, 0.2, multiple=False) for clusters in (8, 15, 50)]
TWO = [Cell(15, 0.2, multiple=False), Cell(25, 0.2, multiple=True)]
LESS = [cell for cell in GRID if cell.correlation != 0.5]
TWO_LABELS = [LabelCell(*parts) for parts in itertools.product((32, 60, 120), (False, True), (False, True))]
OTHER_LABELS = [
    LabelCell(clusters, mixed, True, labels, share)
    for labels, share, sizes in (
        (2, 0.9, (60, 120, 240)),
        (3, 0.75, (60, 120)),
        (3, 0.9, (240,)),
        (4, 0.75, (120,)),
        (4, 0.25, (60,)),
    )
    for clusters in sizes
    for mixed in (False, True)
]
LABELS = dict.fromkeys(LABEL_WORLDS, TWO_LABELS)
MORE_LABELS = dict.fromkeys(("alike", "uneven"), OTHER_LABELS)
POWERFUL = [
    LabelCell(clusters, mixed, one_label=True, labels=labels, share=share)
    for clusters, labels, share in ((120, 2, 0.75), (240, 2, 0.9), (120, 4, 0.75))
    for mixed in (False, True)
]
POWER_LABELS = dict.fromkeys(("alike", "uneven"), POWERFUL)

TABLES: Mapping[str, tuple[str, Callable[[int], None]]] = {
    "coverage": ("Coverage and false alarms", lambda n: coverage_table(COVERAGE, n)),
    "upper": ("Upper ends and `kept`", lambda n: upper_table(UPPER_ENDS, n)),
    "coverage-seeds": ("The same of 3 and 5 seeds", lambda n: coverage_table(SEVERAL_SEEDS, n)),
    "upper-seeds": ("Upper ends of 3 and 5 seeds", lambda n: upper_table(UPPER_ENDS_OF_SEEDS, n)),
    "recipes": ("Several seeds, biased forgetting", recipes_table),
    "over-recipes": ("Several seeds of three recipes, the whole task", over_recipes_table),
    "power": ("Power", power_table),
    "gate": ("The gate", gate_table),
    "looks": ("Many looks at one training", looks_table),
    "families": ("Groups that depend on each other", families_table),
    "tasks": ("Several tasks", tasks_table),
    "draws": ("P-values by the seed of the draws", draws_table),
    "chosen": (
        "Changes drawn from clusters' own probabilities",
        lambda n: grid_table(GRID, [World(0.2, 0.1), World(0.15, 0.15)], n),
    ),
    "rare": (
        "Few and one-sided changes",
        lambda n: grid_table(FEW, [World(0.06, 0.02), World(0.05, 0.0), World(0.2, 0.0)], n),
    ),
    "rivals": ("Rivals", lambda n: rivals_table(TWO, [World(0.2, 0.1), World(0.06, 0.02), World(0.05, 0.0)], n)),
    "rules": (
        "Power for a biased forgetting of 5 points, beside simpler rules",
        lambda n: clustered_power_table(LESS, [World(0.15, 0.15, 0.055), World(0.2, 0.1, 0.055)], n),
    ),
    "seeds": ("Several seeds, their share and that of clusters", seeds_table),
    "labels": ("Labelling tasks of 75:25 labels", lambda n: labels_table(LABELS, n)),
    "more_labels": ("Labelling tasks of rarer labels, and of more of them", lambda n: labels_table(MORE_LABELS, n)),
    "label_power": ("Power of balanced means", lambda n: label_power_table(POWER_LABELS, n)),
    "margins": ("Scaled margins beside accuracy", margins_table),
    "nats": ("Forgetting in nats", nats_table),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--datasets", type=int, default=1000, help="in each cell (1000)")
    parser.add_argument("--table", choices=list(TABLES), action="append", help="only this one; may be repeated")
    options = parser.parse_args(arguments)
    print(f"{options.datasets} data sets in each cell, {RESAMPLES} halves in each data set, level {LEVEL:.0%}.")
    for name in options.table or TABLES:
        title, table = TABLES[name]
        print(f"\n## {title}\n")
        table(options.datasets)


if __name__ == "__main__":
    main()
