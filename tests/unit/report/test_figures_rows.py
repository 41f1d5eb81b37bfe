"""What figures show of groups, doses, pairs and steps: the order, what is undefined, what is folded, what is said."""

import json
import math
import subprocess
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

from chaintune.records import Answers, Estimate, Figure, ResultRow, Verdict
from chaintune.records.scales import PERCENT, changes_in
from chaintune.report.figures.accuracy import accuracy_figures
from chaintune.report.figures.charts import framed, rounded, top_legend
from chaintune.report.figures.doses import Measure, Point, draw_doses
from chaintune.report.figures.forest import RING, Forest, Kind, Line
from chaintune.report.figures.group_results import GroupResult, GroupResults
from chaintune.report.figures.groups import MOST_ROWS, bias_figure, forgetting_figure
from chaintune.report.figures.learning import learning_figures
from chaintune.report.figures.mitigated import mitigation_figures
from chaintune.report.figures.power import power_figure, typical
from chaintune.report.figures.sharpness import SHARPNESS, predictor_figures
from chaintune.report.labels import in_lines, listed, one_line, shortened, slug, unique
from chaintune.report.results import Results

UNDEFINED = Estimate.undefined("too few examples: 0, at least 1 is needed")


def estimate(value: float, *, p: float = 0.5, clusters: int = 20) -> Estimate:
    return Estimate(value, value - 0.1, value + 0.1, p, p, n=2 * clusters, n_clusters=clusters)


def member(
    group: str,
    value: float,
    *,
    verdict: Verdict = "inconclusive",
    p: float = 0.5,
    clusters: int = 20,
    best: Estimate = UNDEFINED,
) -> GroupResult:
    return GroupResult(
        group, estimate(value, clusters=clusters), estimate(value, p=p, clusters=clusters), verdict, 0.3, 0.4, best
    )


def undefined(group: str, forgetting: Estimate) -> GroupResult:
    return GroupResult(group, forgetting, UNDEFINED, "inconclusive", math.nan, math.nan, UNDEFINED)


def place(*members: GroupResult) -> GroupResults:
    whole = ResultRow("x", "m", "s>c", "", 2, "s", "s", "forgetting", "", "", "0", estimate(0.05), "forgot")
    return GroupResults(whole, "faith", "", "", "the whole", 0.95, members)


def data(spec: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    """The rows of the data set that has a column."""
    return next(rows for rows in spec["datasets"].values() if rows and column in rows[0])


def test_groups_are_sorted_and_what_cannot_be_judged_is_last() -> None:
    lonely = GroupResult(
        "lonely",
        Estimate(0.9, n=3, reason="too few clusters"),
        UNDEFINED,
        "inconclusive",
        math.nan,
        math.nan,
        UNDEFINED,
    )
    gone = undefined("gone", UNDEFINED)
    figure = forgetting_figure(place(gone, member("b", 0.1), lonely, member("a", 0.2), member("c", -0.1)))
    assert figure is not None
    assert [row["name"] for row in data(figure.spec, "beside")] == ["a", "b", "c", "lonely", "gone"]
    assert figure.table["group (faith)"].to_list() == ["a", "b", "c", "lonely", "gone"]


def test_best_estimates_are_strokes_and_give_the_order() -> None:
    best = {"a": 0.02, "b": 0.09}
    members = [member(name, value, best=estimate(best[name])) for name, value in (("a", 0.3), ("b", 0.2))]
    figure = forgetting_figure(place(*members, member("c", 0.25)))
    assert figure is not None
    rows = {row["name"]: row for row in data(figure.spec, "beside")}
    assert list(rows) == ["c", "b", "a"]
    assert [rows[name].get("best") for name in "abc"] == [2.0, 9.0, None]
    assert "A stroke is the best estimate" in figure.caption
    assert figure.table["best estimate (points)"].to_list() == [None, 9.0, 2.0]
    plain = forgetting_figure(place(member("a", 0.3)))
    assert plain is not None
    assert "stroke" not in plain.caption


def test_what_is_undefined_has_a_row_and_a_reason_and_no_number() -> None:
    gone = undefined("gone", UNDEFINED)
    figure = forgetting_figure(place(member("a", 0.2), gone))
    assert figure is not None
    row = data(figure.spec, "beside")[-1]
    assert row["name"] == "gone"
    assert (row["value"], row["low"], row["high"]) == (None, None, None)
    assert row["is"] == f"undefined: {UNDEFINED.reason}"
    last = figure.table.row(-1, named=True)
    assert last["forgetting (points)"] is None
    assert last["reason"] == UNDEFINED.reason
    assert "gone: undefined" in figure.alt


def test_no_figure_where_no_bias_is_known_and_nothing_could_be_detected() -> None:
    nothing = undefined("a", estimate(0.2))
    assert bias_figure(place(nothing)) is None
    assert power_figure(place(nothing)) is None


def test_many_groups_are_folded_to_findings_and_the_best_measured() -> None:
    noisy = [member(f"noisy {at:02d}", 0.9, clusters=6) for at in range(30)]
    sure = [member(f"sure {at:02d}", 0.01, clusters=90) for at in range(15)]
    found = member("found", 0.02, p=0.001, clusters=6)
    figure = bias_figure(place(*noisy, *sure, found))
    assert figure is not None
    shown = {row["name"] for row in data(figure.spec, "beside")}
    assert len(shown) == MOST_ROWS
    assert {"found", *(f"sure {at:02d}" for at in range(15))} <= shown
    assert f"{46 - MOST_ROWS} more are in the table" in figure.caption
    assert figure.table.height == 46


def test_filled_signs_only_where_the_adjusted_p_says_so() -> None:
    figure = bias_figure(place(member("a", 0.2, p=0.001), member("b", -0.3, p=0.01), member("c", 0.4, p=0.06)))
    assert figure is not None
    kinds = {row["name"]: row["kind"] for row in data(figure.spec, "beside")}
    assert kinds == {"a": "lost more, shown", "b": "lost less, shown", "c": "no difference shown"}
    assert figure.caption.startswith("b (faith) lost less than the whole, by 30.0 points")


def test_a_verdict_is_counted_in_words() -> None:
    members = [member("a", 0.3, verdict="forgot"), member("b", 0.0, verdict="kept"), member("c", 0.1)]
    figure = forgetting_figure(place(*members))
    assert figure is not None
    assert "Verdicts on the 3 groups of faith: forgot 1 (a), kept 1 (b), inconclusive 1." in figure.caption


def test_groups_with_a_biased_forgetting_only_are_named_and_stand_in_its_figure_alone() -> None:
    few = Estimate.undefined("too few clusters of a label", n=40, n_clusters=20)
    only = [GroupResult(name, few, estimate(0.1), "inconclusive", math.nan, 0.2, UNDEFINED) for name in ("c", "d")]
    both = place(*only, member("a", 0.3, verdict="forgot"), undefined("gone", UNDEFINED))
    figure, beside = forgetting_figure(both), bias_figure(both)
    assert figure is not None
    assert beside is not None
    assert [row["name"] for row in data(figure.spec, "beside")] == ["a", "gone"]
    assert figure.table["group (faith)"].to_list() == ["a", "gone"]
    assert "Verdicts on the 2 groups of faith: forgot 1 (a), inconclusive 1. 2 groups have a biased" in figure.caption
    assert figure.caption.endswith("needs: c and d.")
    assert {row["name"] for row in data(beside.spec, "beside")} == {"a", "c", "d", "gone"}
    power = power_figure(both)
    assert power is not None
    assert "None in 1 of 2 groups of faith. 2 groups have a biased forgetting only" in power.caption
    assert typical(both) == (1, 0.3)
    assert forgetting_figure(place(*only)) is None


def test_power_says_in_how_many_groups_nothing_could_show() -> None:
    blind = undefined("blind", estimate(0.1))
    figure = power_figure(place(member("a", 0.1), blind))
    assert figure is not None
    assert figure.caption.startswith(
        "Minimum detectable forgetting (80 % power) in the other group of faith: 30 points; of"
    )
    assert figure.caption.endswith("None in 1 of 2 groups of faith.")
    assert figure.table.row(-1, named=True)["reason"] == "these data are too few to show any"
    assert figure.table["detectable forgetting (points)"].to_list() == [30.0, None]


def test_power_of_one_group_is_told_in_the_singular() -> None:
    figure = power_figure(place(member("a", 0.1)))
    assert figure is not None
    assert figure.caption.startswith("Minimum detectable forgetting (80 % power) in the group of faith: 30 points; of")
    assert "best measured" not in figure.caption
    biased = replace(undefined("a", estimate(0.1)), detectable_biased=0.2)
    figure = power_figure(place(biased))
    assert figure is not None
    assert figure.caption == "In the one group is no forgetting detectable (80 % power)."


def test_power_is_shown_where_least_could_show() -> None:
    blind = place(member("a", 0.1), undefined("b", estimate(0.1)))
    assert typical(blind) > typical(place(member("a", 0.1), member("b", 0.1)))
    assert typical(blind) == (1, 0.3)


def test_a_kind_has_its_colour_whatever_else_occurs() -> None:
    kinds = (Kind("up", 0, "circle"), Kind("down", 4, RING))
    lines = [Line("a", estimate(0.1), "down")]
    spec = Forest("points", changes_in("share"), kinds).draw(lines).to_dict()
    colour = next(layer["encoding"]["color"] for layer in spec["layer"] if "color" in layer["encoding"])
    assert colour["scale"]["domain"].index("down") == 4
    assert colour["legend"]["values"] == ["down"]


def row(chain: str, task: str, value: float, **facts: Any) -> ResultRow:
    own = {"base": "m", "variant": "", "reference": "", "dimension": "", "group": "", "seed": "0"} | facts
    stage = 0 if chain == "base" else chain.count(">") + 1
    found = Estimate.undefined("no item") if math.isnan(value) else estimate(value)
    steps = tuple(chain.split(">")) if stage else ()
    return ResultRow(
        study="x", chain=chain, stage=stage, task=task, metric="accuracy", estimate=found, steps=steps, **own
    )


def test_a_chain_stands_beside_its_reverse() -> None:
    chains = ["base", "a", "a>b", "a>b>c", "b", "b>a", "c", "c>b", "c>b>a"]
    titles = [figure.title for figure in accuracy_figures([row(chain, "a", 0.5) for chain in chains])]
    assert titles == ["Accuracy along a>b>c and c>b>a", "Accuracy along b>a"]


def test_accuracy_keeps_to_shares_and_its_reasons() -> None:
    rows = [row("base", "a", 0.98), row("a", "a", math.nan), row("base", "b", 0.02), row("a", "b", 0.3)]
    (figure,) = accuracy_figures(rows)
    scale = next(layer["encoding"]["y"]["scale"] for layer in figure.spec["layer"] if "scale" in layer["encoding"]["y"])
    assert scale["domain"] == [0, 100]
    assert "a at a undefined: no item" in figure.alt
    assert figure.table.filter(pl.col("reason") != "")["accuracy (%)"].to_list() == [None]


def test_accuracy_far_from_zero_fills_its_axis() -> None:
    (figure,) = accuracy_figures([row("base", "a", 0.6), row("a", "a", 0.7)])
    compiled = vl_convert.vegalite_to_vega(figure.spec)
    (scale,) = [scale for scale in compiled["scales"] if scale["name"] == "y"]
    assert (scale["domain"], scale["zero"]) == ([47, 83], False)


def test_accuracy_shows_what_guessing_scores_where_it_is_known() -> None:
    rows = [row(chain, task, 0.8) for chain in ("base", "a", "a>b") for task in ("a", "b", "c")]
    chance = {"a": 0.25, "b": 1 / 3, "c": math.nan}
    (figure,) = accuracy_figures([replace(one, answers=Answers(chance=chance[one.task])) for one in rows])
    for text in (figure.alt, figure.caption):
        assert text.endswith("Chance, a short stroke: a 25% and b 33%.")
    (strokes,) = [layer for layer in figure.spec["layer"] if layer["encoding"]["y"].get("field") == "chance"]
    assert strokes["encoding"]["x"] == figure.spec["layer"][-1]["encoding"]["x"]
    drawn = {one["task"]: one["chance"] for one in data(figure.spec, "chance")}
    assert drawn == {"a": 25, "b": 33.333, "c": None}
    (scale,) = [scale for scale in vl_convert.vegalite_to_vega(figure.spec)["scales"] if scale["name"] == "y"]
    assert scale["domain"] == [22, 93]  # the lowest chance is within
    (figure,) = accuracy_figures(rows)
    assert "hance" not in figure.alt + figure.caption
    assert len(figure.spec["layer"]) == 3


def test_doses_that_differ_in_kind_stand_beside_each_other() -> None:
    points = [
        Point(f"s@{dose}", kind, dose, estimate(0.5), estimate(0.1), {}, False)
        for kind in ("x", "y")
        for dose in (0.1, 0.2)
    ]
    curves = {kind: [one for one in points if one.kind == kind] for kind in ("x", "y")}
    measure = Measure("recovery", PERCENT, "recovery (% of the loss)", 0.8, (-0.5, 1.5))
    rows = data(draw_doses(curves, ["x", "y"], measure).to_dict(), "dose")
    assert [one["x"] for one in rows[:2]] == [10, 20]
    assert all(one["x"] > one["dose"] for one in rows[2:])


def mitigated(recovery: Estimate, *, doses: Sequence[float] = (0.1, 0.2)) -> list[ResultRow]:
    """Rows of a replay in some doses, each with its recovery, points regained and price."""
    rows = []
    for dose in doses:
        found = {"recovery": recovery, "regained": estimate(dose), "dose": Estimate(dose), "price": estimate(0.01)}
        for metric, one in found.items():
            task, chain = "b" if metric == "price" else "a", f"a>b>a@{dose:.0%}"
            about = ("x", "m", chain, "", 3, "a>b", task, metric, "", "", "0")
            rows.append(ResultRow(*about, one, mitigation="replay", steps=tuple(chain.split(">"))))
    return [*rows, row("a>b", "a", 0.4)]


def drawn(recovery: Estimate, doses: Sequence[float] = (0.1, 0.2)) -> dict[str, Figure]:
    return {one.name: one for one in mitigation_figures(Results("t", mitigated(recovery, doses=doses), 0.95))}


def test_without_a_loss_points_are_drawn_and_no_target() -> None:
    found = drawn(Estimate.undefined("the loss is not shown"))
    assert list(found) == ["regained-a-after-a-b", "dose-a-after-a-b", "price-a-after-a-b-paid-in-b"]
    for figure in found.values():
        words = json.dumps(figure.spec)
        assert "regained" in words
        assert "target" not in words
        assert "recovery (%" not in words
        assert "goal" not in words
        assert figure.table["reason"].to_list() == ["the loss is not shown"] * 2
        assert figure.table["regained (points)"].to_list() == [10.0, 20.0]
    assert "2 mitigations of a after a>b bring back is unknown: the loss is not shown." in (
        found["regained-a-after-a-b"].caption
    )
    assert found["dose-a-after-a-b"].caption == (
        "Points regained with replay: +10.0 points (+0.0 to +20.0) at a dose of 10 %, +20.0 points (+10.0 to +30.0) at "
        "a dose of 20 %."
    )
    assert "nothing is recommended" in found["price-a-after-a-b-paid-in-b"].caption


def test_a_kind_of_mitigation_looks_the_same_whichever_others_a_chart_shows() -> None:
    measure = Measure("recovery", PERCENT, "recovery (% of the loss)", 0.8, (-0.5, 1.5))
    point = Point("s@10%", "y", 0.1, estimate(0.5), estimate(0.1), {}, chosen=False)
    spec = draw_doses({"y": [point]}, ["x", "y"], measure).to_dict()
    colour = next(layer["encoding"]["color"] for layer in spec["layer"] if "color" in layer.get("encoding", {}))
    assert colour["scale"]["domain"] == ["x", "y"]
    assert colour["legend"]["values"] == ["y"]


def test_with_a_loss_shares_of_it_are_drawn() -> None:
    found = drawn(estimate(0.5))
    assert list(found) == ["recovery-a-after-a-b", "dose-a-after-a-b", "price-a-after-a-b-paid-in-b"]
    assert all("target 80%" in json.dumps(figure.spec) for figure in found.values())
    assert "In the shaded corner" in found["price-a-after-a-b-paid-in-b"].caption


PAIRS = {
    "base": "m", "chain": "a>b", "variant": "", "task": "a", "n": 4, "reason": "",
    "forgetting_low": None, "forgetting_high": None,
}  # fmt: skip


def pairs(*numbers: tuple[float | None, float | None]) -> pl.DataFrame:
    rows = [PAIRS | {"seed": str(at), "radius": x, "forgetting": y} for at, (x, y) in enumerate(numbers)]
    return pl.DataFrame(rows, schema_overrides={"radius": pl.Float64, "forgetting": pl.Float64})


def correlation(found: Estimate) -> list[ResultRow]:
    metric = "curvature_forgetting_correlation"
    return [ResultRow("x", "m", "", "", 0, "", "a", metric, "", "", "all", found)]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            Estimate(0.8, 0.3, 0.95, n=6),
            "Sharper checkpoints were followed by more forgetting of a: rank",
        ),
        (Estimate(-0.8, -0.95, -0.3, n=6), "Sharper checkpoints were followed by less forgetting of a"),
        (Estimate(0.5, -0.2, 0.9, n=6), "No relation between curvature and forgetting of a is shown"),
        (Estimate.undefined("3 pairs"), "The rank correlation with forgetting of a is undefined: 3 pairs."),
    ],
)
def test_curvature_says_what_its_interval_allows(found: Estimate, said: str) -> None:
    (figure,) = predictor_figures(pairs((1, 0.1), (2, 0.2)), correlation(found), SHARPNESS)
    assert figure.caption.startswith(said)


def test_curvature_leaves_out_and_counts_what_is_undefined() -> None:
    (figure,) = predictor_figures(pairs((1, 0.1), (None, 0.2), (3, None)), [], SHARPNESS)
    assert "2 of 3 pairs are undefined and in the table only." in figure.caption
    assert len(data(figure.spec, "x")) == 1
    assert figure.table.height == 3
    assert list(predictor_figures(pairs((None, 0.1)), [], SHARPNESS)) == []


@pytest.mark.parametrize(("radii", "scale"), [((1, 2), "linear"), ((1, 50), "log"), ((-1, 50), "linear")])
def test_curvature_has_a_log_axis_where_the_radii_need_it(radii: Sequence[float], scale: str) -> None:
    (figure,) = predictor_figures(pairs(*((radius, 0.1) for radius in radii)), [], SHARPNESS)
    assert figure.spec["layer"][1]["encoding"]["x"]["scale"]["type"] == scale


def test_learning_curves_tell_the_mean_over_seeds() -> None:
    steps = [
        {"base": "m", "chain": "a", "variant": "", "seed": seed, "step": step, "loss": first / step}
        for seed, first in (("0", 2.0), ("1", 4.0))
        for step in (1, 2)
    ]
    (figure,) = learning_figures(pl.DataFrame(steps))
    assert (
        figure.caption == "First and last loss, of answers in nats a token, of pairs (DPO) a pair: a from 3.00 to 1.50."
    )
    assert figure.table.height == 2


def test_altair_is_loaded_where_something_is_drawn() -> None:
    code = "import sys, chaintune.report.shown; sys.exit(bool({'altair', 'vl_convert', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_numbers_are_as_long_as_they_need_be() -> None:
    assert [rounded(value) for value in (12.34567, 0.0123456, -0.0, math.nan, math.inf, 3, "x")] == [
        12.346, 0.0123, 0.0, None, None, 3, "x",
    ]  # fmt: skip


def test_curvature_has_a_figure_for_each_unit() -> None:
    both = pl.concat([pairs((1, 0.1), (2, 0.2)), pairs((1, 4.0), (3, 6.5)).with_columns(task=pl.lit("t"))])
    about = replace(correlation(Estimate(0.5))[0], metric="forgetting", task="t", unit="characters")
    shares, lengths = predictor_figures(both, [about], SHARPNESS)
    assert "forgetting (points)" in shares.table.columns
    assert lengths.name == "curvature-and-forgetting-in-characters"
    assert lengths.table["forgetting (characters)"].to_list() == [4.0, 6.5]


def test_a_frame_holds_the_numbers_and_a_whole_mark_at_its_ends() -> None:
    assert framed([0, 10], [0, 20], least=-100, most=100) == (-1, 21)
    assert framed([-500, math.nan], [900], least=-100, most=100) == (-110, 110)


def test_marks_at_the_ends_are_whole_and_those_beyond_are_arrows_with_their_value() -> None:
    kinds = (Kind("up", 0, "circle"),)
    ends = [
        Line(name, replace(estimate(value), low=value, high=value), "up") for name, value in (("a", 1.0), ("b", -1.0))
    ]
    low, high = Forest("points", changes_in("share"), kinds)._ends(ends)
    assert (low, high) == (-110, 110)
    far = [Line("a", estimate(3.4), "up"), Line("b", estimate(-2.0), "up"), Line("c", estimate(0.3), "up")]
    spec = Forest("share", PERCENT, kinds, least=-0.5, most=1.5).draw(far).to_dict()
    values = [value for rows in spec["datasets"].values() for value in rows]
    arrows = {value["label"]: value["arrow"] for value in values if "arrow" in value}
    assert arrows == {"a": "340% \u2192", "b": "\u2190 -200%"}


def test_a_legend_has_the_columns_that_a_telephone_has_room_for() -> None:
    assert top_legend(["a", "b"]).to_dict()["columns"] == 2
    assert top_legend(["forgetting", "biased forgetting"]).to_dict()["columns"] == 1


@given(st.lists(st.text(max_size=60), min_size=1, max_size=20), st.integers(8, 30))
def test_labels_are_short_visible_and_no_two_alike(names: list[str], most: int) -> None:
    labels = shortened(names, most)
    assert set(labels) == set(names)
    assert len(set(labels.values())) == len(labels)
    assert all(0 < len(label) <= most for label in labels.values())
    assert not {unicodedata.category(sign) for label in labels.values() for sign in label} & {"Cc", "Cs", "Zl", "Zp"}


@given(st.lists(st.text(st.sampled_from("ab>@5%, :_"), min_size=1, max_size=70), min_size=1, max_size=12))
def test_labels_in_lines_are_no_two_alike_and_fit(names: list[str]) -> None:
    labels = in_lines(names, 12)
    assert len(set(labels.values())) == len(set(names))
    assert all(len(line) <= 16 for label in labels.values() for line in label.split("\n"))


def test_a_name_is_whole_where_it_has_few_lines_and_else_shows_each_of_its_steps() -> None:
    one, other = "own_safety_questions_of_forty_characters", "own_capability_set_with_forty_characters"
    chain = f"{one}>{other}, adapters of rank 64 and a low rate"
    assert in_lines([one, chain], 22) == {
        one: "own_safety_questions_\nof_forty_characters",
        chain: "own_safety_q…aracters>\nown_capabili…aracters,\nadapters of rank 64\nand a low rate",
    }


def test_names_in_words_and_files() -> None:
    assert slug("forgetting", "BBQ>csqa", "", "age & faith") == "forgetting-bbq-csqa-age-faith"
    assert unique("a", ["a", "a-2"]) == "a-3"
    assert one_line("two\nlines\u202e turned") == "two lines  turned"
    assert listed([]) == "none"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed("abcdefg", 3) == "a, b, c and 4 more"
