"""Power by a formula agrees with simulated flips, grows with what is tested, and says when nothing can be shown."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from chaintune.stats import Design, Flips, simulated_power
from chaintune.stats.planned import Layout
from chaintune.stats.power import POWER
from tests import synthetic

FLIPS = Flips(0.12, 0.08, 0.1, seed_sd=0.03, group_seed_sd=0.03)
DRAWS = 60


def nested(groups: int, clusters: int, size: int = 4) -> Design:
    found = synthetic.nested(np.random.default_rng(0), groups=groups, clusters=clusters, size=size)
    return replace(found, pools=np.array([0] + [1] * groups))


@pytest.mark.parametrize(("clusters", "effect", "seeds"), [(40, 0.1, 1), (120, 0.05, 1), (60, 0.1, 3)])
def test_power_of_the_whole_is_that_of_simulated_flips(clusters: int, effect: float, seeds: int) -> None:
    found = nested(1, clusters)
    power = float(Layout.whole(found).power(FLIPS, effect, seeds=seeds)[0])
    simulated = simulated_power(found, [0], FLIPS, effect, seeds=seeds, draws=DRAWS)
    # Three standard errors of the simulated share, and what a formula may be off.
    assert power == pytest.approx(simulated.value, abs=3 * math.sqrt(power * (1 - power) / DRAWS) + 0.05)


@pytest.mark.parametrize(("clusters", "effect"), [(40, 0.12), (60, 0.08)])
def test_power_of_one_group_is_that_of_simulated_flips(clusters: int, effect: float) -> None:
    found = nested(5, clusters)
    power = float(Layout.groups(found).power(FLIPS, effect)[0])
    simulated = simulated_power(found, list(range(1, 6)), FLIPS, effect, affected=1, draws=DRAWS)
    assert power == pytest.approx(simulated.value, abs=3 * math.sqrt(power * (1 - power) / DRAWS) + 0.05)


@pytest.mark.parametrize("layout", [Layout.whole(nested(1, 30)), Layout.groups(nested(4, 20))], ids=["whole", "groups"])
def test_so_many_times_the_clusters_have_four_fifths(layout: Layout) -> None:
    times = layout.growth(FLIPS, 0.08)
    assert layout.power(FLIPS, 0.08, times=times) == pytest.approx(POWER, abs=0.005)
    assert (layout.power(FLIPS, 0.08, times=2 * times) > POWER).all()
    assert (layout.growth(FLIPS, 0.12) < times).all()


def test_the_fewest_seeds_show_it_and_one_less_does_not() -> None:
    layout = Layout.whole(nested(1, 40))
    seeds = layout.seeds(FLIPS, 0.1)
    assert seeds is not None
    assert layout.power(FLIPS, 0.1, seeds=seeds)[0] >= POWER
    assert seeds == 2 or layout.power(FLIPS, 0.1, seeds=seeds - 1)[0] < POWER
    assert layout.seeds(replace(FLIPS, seed_sd=0.5), 0.1) is None


def test_a_group_of_few_clusters_shows_nothing() -> None:
    codes = np.repeat(np.arange(63), 4)
    members = np.stack([codes < 3, codes >= 3, codes % 2 == 0], axis=1).astype(float)
    power = Layout.groups(Design.of(codes, sparse.csr_array(members))).power(FLIPS, 0.3)
    assert (power[:2] == 0).all()
    assert power[2] > 0.9


def test_groups_that_complement_each_other_are_one_test() -> None:
    codes = np.arange(200)
    half = (codes < 100).astype(float)
    pair = Layout.groups(Design.of(codes, sparse.csr_array(np.stack([half, 1 - half], axis=1))))
    alone = Layout.groups(Design.of(codes, sparse.csr_array(half[:, None])))
    assert pair.power(FLIPS, 0.1) == pytest.approx(alone.power(FLIPS, 0.1)[[0, 0]])


def test_means_over_labels_have_less_power_the_rarer_a_label() -> None:
    def power(share: int, groups: bool) -> float:
        codes = np.arange(600)
        labels = np.where(codes % share == 0, "a", "b")
        members = sparse.csr_array(np.stack([codes < 300, codes >= 300], axis=1).astype(float))
        found = Design.of(codes, members).balanced_over(labels, {}, needed=6)
        layout = Layout.groups(found) if groups else Layout.whole(found)
        return float(layout.power(FLIPS, 0.07)[0])

    plain = Design.of(np.arange(600), sparse.csr_array(np.ones((600, 1))))
    assert power(2, groups=False) == pytest.approx(float(Layout.whole(plain).power(FLIPS, 0.07)[0]), abs=1e-6)
    for groups in (False, True):
        assert power(2, groups) > power(4, groups) > power(10, groups)
