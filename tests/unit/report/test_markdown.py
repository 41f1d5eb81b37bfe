"""A study's page in Markdown."""

from chaintune.records import Estimate, ResultRow
from chaintune.report.markdown import markdown

NUMBER = Estimate(0.05, 0.01, 0.09, 0.01, n=440)
LOST = ResultRow("s", "b", "s>c", "", 2, "s", "<b>*x*", "forgetting", "", "", "0", NUMBER, "forgot")


def test_names_from_data_are_no_markup_in_the_prose() -> None:
    page = markdown([LOST], title="t")
    assert r"s>c forgot \<b>\*x\*: +5.0 points" in page
    assert "<b>" not in page.replace(r"\<b>", "")
