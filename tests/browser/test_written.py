"""Answers side by side in a browser: hidden until asked for, filtered, searched, used with a keyboard, never markup."""

from pathlib import Path

import pytest

from chaintune.forgetting import compare
from chaintune.records import Task
from chaintune.report.page import Step, render, results_page
from chaintune.report.results import Results
from tests import synthetic
from tests.browser.conftest import Opened, Opener
from tests.browser.test_report_page import OVERFLOWING
from tests.run_folders import HOSTILE

pytestmark = pytest.mark.browser

AREAS = {"area": ["one", HOSTILE] * 20}
BEFORE = ["refused: I cannot help"] * 20 + ["complied: Sure"] * 20
AFTER = ["refused: I cannot help"] * 10 + [f"complied: {HOSTILE}"] * 5 + ["incoherent: " + "x" * 400] * 5
AFTER += ["complied: Sure"] * 18 + ["refused: No", ""]


@pytest.fixture(scope="module")
def written_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    before, after = (synthetic.written(texts, groups=AREAS) for texts in (BEFORE, AFTER))
    results = Results.of([compare(before, after, by=["area"], resamples=200)])
    task = Task("t", "safety", "1", (), tuple(synthetic.written_examples(40, AREAS)), ("area",), "made", "CC0")
    file = tmp_path_factory.mktemp("written") / "page.html"
    file.write_text(render(results_page(results, steps=[Step("t", before, after)], tasks={"t": task})))
    return file


def revealed(open_page: Opener, file: Path, *, width: int = 1280, scheme: str = "light") -> Opened:
    opened = open_page(file=file, drawn=False, width=width, scheme=scheme)
    opened.page.click("#written-reveal")
    opened.page.wait_for_selector("#written-list > li")
    return opened


def count(opened: Opened) -> int:
    return int(opened.page.inner_text("#written-count").split(" of ")[1].split(" ")[0])


def test_they_are_hidden_until_asked_for_and_then_stand_side_by_side(open_page: Opener, written_page: Path) -> None:
    opened = open_page(file=written_page, drawn=False)
    assert opened.page.locator("#written-list > li").count() == 0
    assert not opened.page.locator("#written-browser").is_visible()
    opened.page.click("#written-reveal")
    page = opened.page
    assert (page.locator("#written-list > li").count(), count(opened)) == (20, 40)
    assert page.evaluate("document.activeElement.id") == "written-by-step"
    boxes = [page.locator("#written-list .side").nth(place).bounding_box() for place in (0, 1)]
    assert boxes[0]
    assert boxes[1]
    assert boxes[0]["y"] == boxes[1]["y"]
    page.click("#written-more")
    assert page.locator("#written-list > li").count() == 40
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [written_page.as_uri()]


def test_filters_and_words_choose(open_page: Opener, written_page: Path) -> None:
    opened = revealed(open_page, written_page)
    page = opened.page
    page.select_option("#written-by-change", "-1")
    assert count(opened) == 10
    page.select_option("#written-by-after", "incoherent")
    assert count(opened) == 5
    page.select_option("#written-by-change", "")
    page.select_option("#written-by-after", "refused")
    page.select_option("#written-by-before", "complied")
    assert count(opened) == 1
    assert "▲ better" in page.inner_text("#written-list > li")
    page.select_option("#written-by-after", "missing")
    assert "the judge said nothing" in page.inner_text("#written-list > li")
    assert "Nothing was written." in page.inner_text("#written-list > li")
    for name in ("before", "after"):
        page.select_option(f"#written-by-{name}", "")
    page.select_option("#written-by-group", label="area: one")
    assert count(opened) == 20
    page.select_option("#written-by-group", "")
    page.fill("#written-by-words", "PROMPT 39")
    assert count(opened) == 1
    page.fill("#written-by-words", "no such words")
    assert (count(opened), page.locator("#written-list > li").count()) == (0, 0)


def test_the_words_that_show_an_outcome_are_marked_and_markup_is_text(open_page: Opener, written_page: Path) -> None:
    opened = revealed(open_page, written_page)
    page = opened.page
    page.fill("#written-by-words", "onerror")
    assert count(opened) == 5
    assert page.locator("#written-list mark").last.text_content() == HOSTILE
    assert page.locator("img[src=x], [onerror], main script").count() == 0
    assert page.title() == "Forgetting between two checkpoints: t"
    assert opened.said == []


def test_a_keyboard_is_enough(open_page: Opener, written_page: Path) -> None:
    page = open_page(file=written_page, drawn=False).page
    page.locator("#written-reveal").focus()
    page.keyboard.press("Enter")
    for name in ("step", "group", "change", "before", "after", "words"):
        assert page.evaluate("document.activeElement.id") == f"written-by-{name}"
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "written-more"
    page.keyboard.press("Enter")
    assert page.locator("#written-list > li").count() == 40


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_fits_and_axe_finds_nothing_to_object_to(
    open_page: Opener, written_page: Path, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = revealed(open_page, written_page, width=width, scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
