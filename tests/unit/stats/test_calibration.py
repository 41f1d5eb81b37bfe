"""The calibration benchmark on a smaller grid: intervals cover and tests keep their error rates."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "calibration.py"


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    spec = importlib.util.spec_from_file_location("calibration", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module
    spec.loader.exec_module(module)
    return module


def rates(
    calibration: ModuleType, cell: tuple[int, float, bool], flips: tuple[float, float], count: int
) -> list[float]:
    """Percent: coverage, false alarms and family-wise error of forgetting, of its bias, then disparity's alarms."""
    found = calibration.rates(calibration.Cell(*cell), calibration.World(*flips), count)
    return [float(value) if value else np.nan for value in found]


# What a count of events may exceed its expectation by when the true rate is at the bound.
def slack(percent: float, events: int) -> float:
    return 3 * float(np.sqrt(percent * (100 - percent) / events))


@pytest.mark.parametrize("cell", [(8, 0.2, False), (15, 0.2, True), (25, 0.5, False)])
def test_no_forgetting_raises_few_alarms(calibration: ModuleType, cell: tuple[int, float, bool]) -> None:
    count = 30
    found = rates(calibration, cell, (0.15, 0.15), count)
    for column in (1, 4):
        assert found[column] <= 6 + slack(6, 11 * count)
    for column in (2, 5, 6):
        assert found[column] <= 6 + slack(6, count)


@pytest.mark.parametrize("cell", [(15, 0.0, False), (25, 0.2, True)])
def test_intervals_cover(calibration: ModuleType, cell: tuple[int, float, bool]) -> None:
    count = 30
    found = rates(calibration, cell, (0.2, 0.1), count)
    assert found[0] >= 93 - slack(7, 11 * count)
    assert found[3] >= 93 - slack(7, 11 * count)


@pytest.mark.parametrize("world", ["alike", "by rote"])
@pytest.mark.parametrize("cell", [(32, False, True), (60, True, False)])
def test_balanced_means_cover(calibration: ModuleType, cell: tuple[int, bool, bool], world: str) -> None:
    count = 40
    found = calibration.label_rates(calibration.LabelCell(*cell), calibration.LABEL_WORLDS[world], count)
    for name in ("whole", "group", "biased", "biased, one label", "of a label", "level"):
        assert np.isnan(found[name]) or found[name] >= 93 - slack(7, count), name
    for name in ("false alarms", "family-wise", "disparity"):
        assert np.isnan(found[name]) or found[name] <= 6 + slack(6, count), name
    assert (found["undefined"] > 0) == cell[2]


@pytest.mark.slow
@pytest.mark.parametrize("multiple", [False, True])
@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize("clusters", [8, 15, 50])
def test_larger_grid(calibration: ModuleType, clusters: int, correlation: float, multiple: bool) -> None:
    count = 200
    cell = (clusters, correlation, multiple)
    for flips in ((0.2, 0.1), (0.15, 0.15), (0.06, 0.02)):
        found = rates(calibration, cell, flips, count)
        for column in (0, 3):
            assert found[column] >= 93 - slack(7, count)
            # Rare changes and few clusters leave the exact limits wider than they need be.
            assert found[column] <= 97 + slack(3, count) or clusters < 15 or flips[0] < 0.1
        for column in (2, 5, 6):
            assert np.isnan(found[column]) or found[column] <= 6 + slack(6, count)


def test_rivals_say_the_same_on_tame_data(calibration: ModuleType) -> None:
    cell, world = calibration.Cell(50, 0.0, multiple=False), calibration.World(0.25, 0.2)
    sample, _ = next(calibration.datasets(cell, world, 1, 5))
    tops, bottoms = calibration.contrast_sums(sample)
    rng = np.random.default_rng(0)
    p_values = {name: rule(tops[:, 1:], bottoms[:, 1:], 0.0, rng) for name, rule in calibration.RULES.items()}
    for name, found in p_values.items():
        assert np.abs(found - p_values["CR2 t"]).max() < 0.1, name


def test_command_line_prints_one_table(calibration: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    calibration.main(["--datasets", "2", "--table", "seeds"])
    printed = capsys.readouterr().out
    assert printed.startswith("2 data sets in each cell")
    assert printed.count("## ") == 1
    assert len([line for line in printed.splitlines() if line.startswith("| ")]) == 2 + 12
