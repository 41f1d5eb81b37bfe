"""The simulated answers that error rates are measured on: their truth, and what scatters together."""

import numpy as np
import pytest

from benchmarks.irt import Layout, World

LAYOUT = Layout.of([[1, 2, 9], [4] * 5, [30]])
WORLDS = {
    "losses differ": World(loss=LAYOUT.by_group([0.0, 0.1, 0.3]), base=LAYOUT.by_group([0.5, 0.7, 0.97])),
    "guessing": World(base=0.5, loss=0.1, guessing=0.25, noise=0.8),
    "templates lost whole": World(base=0.8, loss=0.02, lost_whole=0.1),
    "seeds differ": World(loss=0.1, seed=0.4, seed_group=LAYOUT.by_group([0.1, 0.1, 0.5])),
}


@pytest.mark.parametrize("name", WORLDS)
def test_expected_forgetting_is_that_of_many_answers(name: str) -> None:
    world, rng, count = WORLDS[name], np.random.default_rng(0), 800
    drawn = np.array([world.changes(rng, LAYOUT)[0] for _ in range(count)])
    means = np.column_stack([drawn.mean(axis=1), *(drawn[:, kept].mean(axis=1) for kept in _rows_of_groups())])
    error = means.std(axis=0) / np.sqrt(count)
    assert np.abs(means.mean(axis=0) - world.forgetting(LAYOUT)).max() <= 4 * error.max()


def test_a_template_without_a_change_of_its_own_and_without_noise_keeps_its_answers() -> None:
    before, after = World(noise=0.0, change=0.0).answers(np.random.default_rng(0), LAYOUT, seeds=3)
    assert (before == after).all()


def test_lost_templates_have_no_right_answer_left() -> None:
    before, after = World(lost_whole=1.0, guessing=0.5).answers(np.random.default_rng(0), LAYOUT)
    assert before.sum() > 0
    assert not after.any()


def test_clusters_are_templates_or_items() -> None:
    assert LAYOUT.design().n_clusters.tolist() == [9, 3, 5, 1]
    assert LAYOUT.design(clusters=False).n_clusters.tolist() == [62, 12, 20, 30]


def _rows_of_groups() -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    return list(LAYOUT.members[LAYOUT.templates].T)
