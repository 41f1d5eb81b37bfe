"""The calibration benchmark on a smaller grid: intervals cover and tests keep their error rates."""

import numpy as np
import pytest

from benchmarks.calibration import clustered, labels, margins, rivals
from benchmarks.calibration.__main__ import main
from benchmarks.calibration.cells import COVERAGE, UPPER_ENDS
from benchmarks.calibration.coverage import tally
from benchmarks.calibration.decisions import exact_p
from chaintune.stats.contrasts import contrast_by_seed
from chaintune.stats.halves import halves, sign_flip_p


def rates(cell: tuple[int, float, bool], flips: tuple[float, float], count: int) -> list[float]:
    """Percent: coverage, false alarms and family-wise error of forgetting, of its bias, then disparity's alarms."""
    found = clustered.rates(clustered.Cell(*cell), clustered.World(*flips), count)
    return [float(value) if value else np.nan for value in found]


# What a count of events may exceed its expectation by when the true rate is at the bound.
def slack(percent: float, events: int) -> float:
    return 3 * float(np.sqrt(percent * (100 - percent) / events))


@pytest.mark.parametrize("cell", [(8, 0.2, False), (15, 0.2, True), (25, 0.5, False)])
def test_no_forgetting_raises_few_alarms(cell: tuple[int, float, bool]) -> None:
    count = 30
    found = rates(cell, (0.15, 0.15), count)
    for column in (1, 4):
        assert found[column] <= 6 + slack(6, 11 * count)
    for column in (2, 5, 6):
        assert found[column] <= 6 + slack(6, count)


@pytest.mark.parametrize("cell", [(15, 0.0, False), (25, 0.2, True)])
def test_intervals_cover(cell: tuple[int, float, bool]) -> None:
    count = 30
    found = rates(cell, (0.2, 0.1), count)
    assert found[0] >= 93 - slack(7, 11 * count)
    assert found[3] >= 93 - slack(7, 11 * count)


@pytest.mark.parametrize("world", ["alike", "by rote"])
@pytest.mark.parametrize("cell", [(32, False, True), (60, True, False)])
def test_balanced_means_cover(cell: tuple[int, bool, bool], world: str) -> None:
    count = 40
    found = labels.label_rates(labels.LabelCell(*cell), labels.LABEL_WORLDS[world], count)
    for name in ("whole", "group", "biased", "biased, one label", "of a label", "level"):
        assert np.isnan(found[name]) or found[name] >= 93 - slack(7, count), name
    for name in ("false alarms", "family-wise", "disparity"):
        assert np.isnan(found[name]) or found[name] <= 6 + slack(6, count), name
    assert (found["undefined"] > 0) == cell[2]


def test_balanced_means_of_rare_and_of_several_labels_cover() -> None:
    count = 40
    for cell in (labels.LabelCell(120, False, True, 2, 0.9), labels.LabelCell(60, True, True, 3)):
        found = labels.label_rates(cell, labels.LABEL_WORLDS["uneven"], count)
        for name in ("whole", "group", "biased", "biased, one label", "of a label", "level"):
            assert np.isnan(found[name]) or found[name] >= 93 - slack(7, count), name
        for name in ("false alarms", "family-wise", "disparity"):
            assert np.isnan(found[name]) or found[name] <= 6 + slack(6, count), name


@pytest.mark.parametrize("world", ["alike", "uneven"])
def test_what_balanced_means_can_show_is_shown_in_four_of_five_data_sets(world: str) -> None:
    count = 60
    found = labels.label_power(labels.LabelCell(120, False, True), labels.LABEL_WORLDS[world], count)
    for name, (points, power) in found.items():
        assert points > 0
        # Between 71 and 87 % the detectable difference is within 10 % of the one that 80 % takes.
        assert 71 - slack(80, count) <= power <= 87 + slack(80, count), name


def test_scaled_margins_raise_few_alarms_and_mislead_where_half_get_surer() -> None:
    count = 40
    alike, more, trap = (margins.Tally.of(world, count) for world in margins.WORLDS.values())
    for name in margins.SCORES:
        assert 100 * np.mean(alike[name].others) <= 6 + slack(6, 10 * count)
        assert 100 * np.mean(alike[name].any_other) <= 6 + slack(6, count)
    assert np.mean(more["scaled margins"].alone) > np.mean(more["accuracy"].alone)
    assert np.mean(trap["scaled margins"].shown) > 0.5 > 0.2 > np.mean(trap["accuracy"].shown)


@pytest.mark.slow
@pytest.mark.parametrize("multiple", [False, True])
@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize("clusters", [8, 15, 50])
def test_larger_grid(clusters: int, correlation: float, multiple: bool) -> None:
    count = 200
    cell = (clusters, correlation, multiple)
    for flips in ((0.2, 0.1), (0.15, 0.15), (0.06, 0.02)):
        found = rates(cell, flips, count)
        for column in (0, 3):
            assert found[column] >= 93 - slack(7, count)
            # Rare changes and few clusters leave the exact limits wider than they need be.
            assert found[column] <= 97 + slack(3, count) or clusters < 15 or flips[0] < 0.1
        for column in (2, 5, 6):
            assert np.isnan(found[column]) or found[column] <= 6 + slack(6, count)


def test_rivals_say_the_same_on_tame_data() -> None:
    cell, world = clustered.Cell(50, 0.0, multiple=False), clustered.World(0.25, 0.2)
    sample, _ = next(clustered.datasets(cell, world, 1, 5))
    tops, bottoms = (sums.mean(axis=0) for sums in contrast_by_seed(sample))
    rng = np.random.default_rng(0)
    p_values = {name: rule(tops[:, 1:], bottoms[:, 1:], 0.0, rng) for name, rule in rivals.RULES.items()}
    for name, found in p_values.items():
        assert np.abs(found - p_values["CR2 t"]).max() < 0.1, name


def test_intervals_of_simulated_answers_cover() -> None:
    count, cell = 40, COVERAGE[0]
    seen = tally(cell, count, spread=True)
    for covers in (seen.whole, seen.group, seen.biased):
        assert 100 * np.mean(covers) >= 93 - slack(7, len(covers))
    for alarms in (seen.family, seen.biased_family, seen.disparity, seen.alarms):
        assert 100 * np.mean(alarms) <= 6 + slack(6, len(alarms))
    assert not seen.some_kept.count(True)


def test_upper_cells_lose_what_they_say() -> None:
    for cell in UPPER_ENDS:
        values = [sample.value[0] for sample, _ in cell.datasets(4)]
        assert np.mean(values) == pytest.approx(cell.truth[0], abs=0.04), cell.name


def test_exact_p_is_that_of_every_half() -> None:
    sums = np.array([3, -1, 2, 2, 0, 5, 1, -2])
    every = halves(sums[:, None].astype(float), resamples=1000, seed=0)
    # The data themselves count in full there.
    expected = sign_flip_p(every, np.abs(sums).sum(keepdims=True).astype(float))[0]
    assert exact_p(sums) == pytest.approx(expected, abs=0.5 / len(every.sums) + 1e-12)


@pytest.mark.parametrize(("table", "rows"), [("seeds", 12), ("power", 5), ("gate", 8), ("tasks", 2)])
def test_command_line_prints_one_table(table: str, rows: int, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--datasets", "2", "--table", table])
    printed = capsys.readouterr().out
    assert printed.startswith("2 data sets in each cell")
    assert printed.count("## ") == 1
    assert len([line for line in printed.splitlines() if line.startswith("| ")]) == 2 + rows
