"""A study's page in Markdown, and the level of its intervals on every way to a reader."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaintune.records import Estimate, Recommendation, ResultRow
from chaintune.report.card import checkpoint_card, model_card
from chaintune.report.markdown import markdown
from chaintune.report.results import Results
from chaintune.report.tables import result_tables
from chaintune.results import StudyCheckpoint

NUMBER = Estimate(0.05, 0.01, 0.09, 0.01, n=440)
LOST = ResultRow("s", "b", "s>c", "", 2, "s", "<b>*x*", "forgetting", "", "", "0", NUMBER, "forgot")


def test_names_from_data_are_no_markup_in_the_prose() -> None:
    page = markdown(Results("t", [LOST], 0.95))
    assert r"s>c forgot \<b>\*x\*: +5.0 points" in page
    assert "<b>" not in page.replace(r"\<b>", "")


def judged() -> list[ResultRow]:
    """Of a mitigation after which a gap between groups has p = 0.02, and had p = 0.2 before."""
    about = replace(LOST, task="s", chain="s>c>s@5%", dimension="faith", verdict="")
    return [
        replace(about, metric="recovery", dimension="", reference="s>c", mitigation="replay"),
        replace(about, metric="regained_disparity", reference="s>c", estimate=Estimate(0.1, p_value=0.3)),
        replace(about, metric="disparity", chain="s>c", estimate=Estimate(0.1, p_value=0.2)),
        replace(about, metric="disparity", estimate=Estimate(0.2, p_value=0.02)),
        replace(about, metric="accuracy", dimension="", reference="", estimate=Estimate(0.6, 0.5, 0.7, n=40)),
    ]


def test_margins_of_mitigated_checkpoints_and_of_groups_that_are_not_shown_stand_in_no_table() -> None:
    margins = replace(LOST, task="s", item_metric="scaled_margin", deciding=False, verdict="")
    group = replace(margins, dimension="faith", group="a")
    open_ = replace(NUMBER, p_adjusted=0.01, low_adjusted=-0.1, high_adjusted=0.2)  # nothing is shown of this one
    rows = [*judged(), margins, group, replace(group, metric="biased_forgetting", estimate=open_)]
    rows += [replace(margins, chain="s>c>s@5%")]
    (table,) = (one for one in result_tables(Results("t", rows, 0.95)) if one.title == "Scaled margins")
    assert [row[:3] for row in table.rows] == [("s>c", "s", "")]


def test_a_card_has_the_numbers_of_its_own_checkpoint_alone() -> None:
    """Not those of other recipes, nor of the seeds together."""
    choice = Recommendation("b", "two", "s", "s>c", "replay", ("s>c>s@5%",), "s>c>s@5%", 0.05, 0.8, 0.02, "reaches it")
    rows = [replace(row, variant=name) for name in ("one", "two") for row in judged()]
    rows = [replace(row, estimate=Estimate(0.9, 0.8, 1.0)) if row.variant == "one" else row for row in rows]
    card = model_card(rows, choice, written="s>c>s@5%", before="one", after="two", recipe={}, level=0.95)
    assert [line.strip() for line in card.splitlines() if "value:" in line] == ["value: 0.6"]

    about = {"s": {"role": "safety"}}
    accuracy = replace(LOST, task="s", metric="accuracy", reference="", verdict="", estimate=Estimate(0.6, 0.5, 0.7))
    seeds = [
        replace(row, task="s", seed=seed, estimate=replace(row.estimate, value=value))
        for seed, value in (("0", 0.11), ("1", 0.22), ("all", 0.33))
        for row in (LOST, accuracy)
    ]
    base = replace(accuracy, chain="base", steps=(), estimate=Estimate(0.44, 0.4, 0.5))
    card = checkpoint_card(
        Results("t", [base, *seeds], 0.95, provenance={"tasks": about}),
        StudyCheckpoint("b", "s>c", "", "1", "", Path()), name="x", base="", adapter=False,
    )  # fmt: skip
    assert "+22.0" in card
    assert "22.0%" in card
    assert not [text for text in ("11.0", "33.0", "0.11", "0.33", "2 seeds") if text in card]


@pytest.mark.parametrize(("level", "gap"), [(0.95, "now shown"), (0.99, "none shown")])
def test_gaps_are_judged_at_the_level_of_the_study(level: float, gap: str) -> None:
    rows = judged()
    assert gap in markdown(Results("t", rows, level))
    choice = Recommendation("b", "", "s", "s>c", "replay", ("s>c>s@5%",), "s>c>s@5%", 0.05, 0.8, 0.02, "reaches it")
    card = model_card(rows, choice, written="s>c>s@5%", before="one", after="two", recipe={}, level=level)
    assert gap in card
    assert f"level: {level}" in card
    other = replace(rows[-1], variant="another recipe", estimate=Estimate(0.1, n=40))
    about: dict[str, Any] = {"written": "s>c>s@5%", "before": "one", "after": "two", "recipe": {}, "level": level}
    assert "value: 0.1\n" not in model_card([*rows, other], choice, **about), "nor what another recipe scored"


def test_gaps_are_corrected_over_the_lines_of_their_table() -> None:
    def doses(number: int, p_value: float) -> list[ResultRow]:
        """One dose after another of which a gap has p, the first of them a small one."""
        rows = [row for row in judged() if row.chain == "s>c"]
        for dose in range(number):
            own = [replace(row, chain=f"s>c>s@{dose}%") for row in judged() if row.chain != "s>c"]
            small = Estimate(0.2, p_value=p_value if dose == 0 else 0.6)
            rows += [replace(row, estimate=small) if row.metric == "disparity" else row for row in own]
        return rows

    def gaps(number: int, p_value: float) -> tuple[tuple[str, ...], ...]:
        (table,) = (
            one
            for one in result_tables(Results("t", doses(number, p_value), 0.95))
            if one.title.startswith("Did the gap")
        )
        assert "corrected over the lines of this table (Holm)" in table.note
        return table.rows

    assert [row[-1] for row in gaps(1, 0.011)] == ["now shown"]
    assert [row[-1] for row in gaps(8, 0.011)] == ["none shown"] * 8
    assert [row[-1] for row in gaps(8, 0.001)] == ["now shown", *["none shown"] * 7]
    # The spread without a mitigation is one test, however many lines show it.
    assert {row[3] for row in gaps(8, 0.011)} == {".200"}
    assert gaps(8, 0.011)[0][5] == ".088"
