"""Power of a comparison by simulation: seeded, by the comparison's own procedure, and bounded in time."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from chaintune import compare
from chaintune.errors import ConfigError
from chaintune.forgetting import power
from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.power import power_by_simulation
from chaintune.records import SimulatedPower
from chaintune.report.comparison import comparison_json, comparison_schema, read_comparisons
from chaintune.report.power import power_sentences, power_table
from chaintune.stats import Flips, flips_of, simulated_power
from chaintune.stats.sample import Sample
from tests import synthetic
from tests.synthetic import Floats

OPTIONS = Inference(resamples=400)
LABELS = [("faith", "a"), ("faith", "b"), ("age", "c")]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in {"_DRAWS_OF_WHOLE": 20, "_MOST_DRAWS": 6, "_FEWEST_DRAWS": 2}.items():
        monkeypatch.setattr(power, name, count)


def grouped() -> Grouping:
    """Two groups of one dimension, the second small, and one of another that has two thirds of the examples."""
    clusters = np.repeat(np.arange(60), 4)
    borne = [[int(code >= 45)] + [2] * int(code % 3 > 0) for code in clusters]
    return Grouping((("", ""), *LABELS), synthetic.design(clusters.tolist(), borne, n_groups=3))


def change(found: Grouping) -> Floats:
    return synthetic.changes(np.random.default_rng(0), len(found.design.clusters), 0.12, 0.08)


def simulated(found: Grouping, *, on_draw: power.OnDraw | None = None, seed: int = 0) -> SimulatedPower:
    options = Inference(resamples=400, seed=seed)
    return power_by_simulation(found, change(found), options, right=0.7, testable=set(LABELS), on_draw=on_draw)


def test_each_group_has_its_power_and_the_error_of_the_simulation() -> None:
    calls: list[tuple[int, int]] = []
    seen = simulated(grouped(), on_draw=lambda *at: calls.append(at))
    assert [(one.dimension, one.group, one.n, one.n_clusters) for one in seen.groups] == [
        ("", "", 240, 60),
        ("faith", "a", 180, 45),
        ("faith", "b", 60, 15),
        ("age", "c", 160, 40),
    ]
    assert [one.draws for one in seen.groups] == [20, 6, 6, 6]
    assert all(one.power_5 <= one.power_10 for one in seen.groups)
    assert all(0 < one.error_10 < 0.21 for one in seen.groups)
    assert seen.groups[0].power_10 > seen.groups[2].power_10
    assert (seen.left_out, seen.reason) == ((), "")
    assert calls == [(done, 76) for done in range(1, 77)]


def test_it_is_the_simulation_of_these_clusters_and_flips() -> None:
    found, seen = grouped(), simulated(grouped())
    flips = flips_of(Sample.of(found.design, change(found), resamples=1), right=0.7)
    assert Flips(seen.forgot, seen.learned, seen.correlation, right=0.7) == flips
    alone = simulated_power(found.design, [1, 2], flips, 0.1, affected=2, draws=6)
    assert (seen.groups[2].power_10, seen.groups[2].error_10) == (alone.value, alone.error)


def test_the_same_seed_gives_the_same_numbers_and_another_one_others() -> None:
    assert simulated(grouped()) == simulated(grouped())
    assert simulated(grouped()) != simulated(grouped(), seed=1)


def test_more_groups_have_fewer_draws_and_too_many_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "_SECONDS_OF_GROUPS", 0.01)
    assert {one.draws for one in simulated(grouped()).groups[1:]} == {2}
    monkeypatch.setattr(power, "_MOST_SECONDS_OF_DIMENSION", 0.03)
    seen = simulated(grouped())
    assert (seen.left_out, [one.dimension for one in seen.groups]) == (("faith",), ["", "age"])


def test_a_group_that_cannot_be_tested_has_no_power() -> None:
    found = grouped()
    seen = power_by_simulation(found, change(found), OPTIONS, right=0.7, testable={("age", "c")})
    assert [one.draws for one in seen.groups] == [20, 0, 0, 6]
    assert math.isnan(seen.groups[1].power_10)


def sides(after: float) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    rows = [
        {"id": n, "score": float(n % 4 > 0), "faith": "ab"[n % 2], "later": after if n % 3 == 0 else float(n % 4 > 0)}
        for n in range(60)
    ]
    return [row | {"score": row["score"]} for row in rows], [row | {"score": row["later"]} for row in rows]


def test_a_comparison_tells_it_where_it_is_asked_for(tmp_path: Path) -> None:
    assert compare(*sides(0.0), by="faith", resamples=200).simulated_power is None
    found = compare(*sides(0.0), by="faith", resamples=200, power=True)
    seen = found.simulated_power
    assert seen is not None
    assert [one.group for one in seen.groups] == ["", "a", "b"]
    table, sentences = power_table(found), power_sentences(found)
    assert table is not None
    assert [row[0] for row in table.rows] == ["whole task", "faith a", "faith b"]
    (tmp_path / "c.json").write_text(text := comparison_json([found]))
    Draft202012Validator(comparison_schema()).validate(json.loads(text))
    ((again,), _) = read_comparisons(tmp_path / "c.json")
    assert again.simulated_power == seen
    assert f"{100 * seen.groups[0].power_5:.1f} ± {100 * seen.groups[0].error_5:.1f}" in table.rows[0]
    assert f"shown in {round(100 * seen.groups[0].power_5)} of 100 comparisons" in sentences[0]
    assert sentences[1].startswith("That one of 2 groups of faith loses 5 points more than the whole is shown in")


@pytest.mark.parametrize(
    ("after", "why"), [(0.5, "scores other than 0 and 1 do not flip"), (None, "no answer changed")]
)
def test_what_has_no_flips_says_so(after: float | None, why: str) -> None:
    before, later = sides(0.0 if after is None else after)
    found = compare(before, before if after is None else later, resamples=200, power=True)
    assert found.simulated_power is not None
    assert (found.simulated_power.reason.startswith(why), found.simulated_power.groups) == (True, ())
    assert power_table(found) is None
    assert power_sentences(found)[0].startswith(f"Power was not simulated: {why}")


def test_whether_power_is_asked_for_is_true_or_false() -> None:
    with pytest.raises(ConfigError, match="power"):
        compare(*sides(0.0), power="yes")  # type: ignore[arg-type]
