"""A study's page in Markdown, and the level of its intervals on every way to a reader."""

from dataclasses import replace

import pytest

from chaintune.records import Estimate, Recommendation, ResultRow
from chaintune.report.card import model_card
from chaintune.report.markdown import markdown
from chaintune.report.results import Results

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


@pytest.mark.parametrize(("level", "gap"), [(0.95, "now shown"), (0.99, "none shown")])
def test_gaps_are_judged_at_the_level_of_the_study(level: float, gap: str) -> None:
    rows = judged()
    assert gap in markdown(Results("t", rows, level))
    choice = Recommendation("b", "", "s", "s>c", "replay", ("s>c>s@5%",), "s>c>s@5%", 0.05, 0.8, 0.02, "reaches it")
    card = model_card(rows, choice, written="s>c>s@5%", before="one", after="two", recipe={}, level=level)
    assert gap in card
    assert f"level: {level}" in card
