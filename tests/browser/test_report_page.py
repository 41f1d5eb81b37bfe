"""The report in a browser: drawn, quiet, usable with a keyboard, and safe against what data sets hold."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaintune.forgetting import compare
from chaintune.report.cells import Table
from chaintune.report.figures.every import result_figures
from chaintune.report.page import Step, render, results_page
from chaintune.report.results import Results
from tests import synthetic
from tests.browser.conftest import Opened, Opener
from tests.run_folders import HOSTILE

pytestmark = pytest.mark.browser

FORTY = "people who live in the region named by {}"
CONTROLS = "a[href], button, select, summary, [tabindex='0']"
# Visible ones only: what lies in a closed section or is hidden cannot be reached, and need not.
VISIBLE_CONTROLS = f"""
  [...document.querySelectorAll("{CONTROLS}")].filter((one) => one.checkVisibility({{visibilityProperty: true}}))
"""
NAMED = "one => one.outerHTML.slice(0, 120)"
MARKS = """
  [...document.querySelectorAll("[data-figure]")].map((box) => [
    box.dataset.figure, box.querySelectorAll("svg g[class*='role-mark'] > *").length,
  ])
"""
OVERFLOWING = """
  [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > window.innerWidth + 1)
    .filter((one) => !one.closest(".scroll, pre, svg g"))
    .map((one) => one.outerHTML.slice(0, 120))
"""
# Words of charts that leave their chart, or lie on each other.
MISPLACED_WORDS = """
  [...document.querySelectorAll("[data-figure] svg")].flatMap((svg) => {
    const frame = svg.getBoundingClientRect();
    const seen = [...svg.querySelectorAll("text")].filter((one) => one.getAttribute("opacity") !== "0");
    const words = seen.map((one) => [one.textContent, one.getBoundingClientRect()]);
    const shown = words.filter(([text, box]) => text.trim() && box.width);
    const out = shown.filter(([, box]) => box.left < frame.left - 2 || box.right > frame.right + 2);
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 5;
    const hit = shown.flatMap(([text, a], at) =>
      shown.slice(at + 1).filter(([, b]) => meet(a, b)).map(([other]) => `${text} on ${other}`));
    return [...out.map(([text]) => `${text} leaves`), ...hit];
  })
"""


def text(page: Any, selector: str) -> list[str]:
    return list(page.locator(selector).all_text_contents())


def test_it_opens_from_disk_with_a_silent_console_and_no_network(open_page: Opener, page_file: Path) -> None:
    opened = open_page()
    opened.reveal()
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [page_file.as_uri()]


def test_a_change_of_theme_redraws(open_page: Opener) -> None:
    from playwright.sync_api import expect

    page = open_page().page
    label = page.locator(".live svg .role-axis-label text").first
    light = label.get_attribute("fill")
    page.emulate_media(color_scheme="dark")
    expect(label).not_to_have_attribute("fill", light or "", timeout=60_000)
    expect(page.locator("html[data-drawn=yes]")).to_be_attached(timeout=60_000)
    assert [name for name, marks in page.evaluate(MARKS) if not marks] == []


def test_without_a_script_everything_but_the_examples_is_there(open_page: Opener) -> None:
    opened = open_page(script=False)
    page = opened.page
    assert opened.said == []
    pictures = page.locator("figure img")
    assert pictures.count() >= 5
    for place in range(pictures.count()):
        box = pictures.nth(place).bounding_box()
        assert box
        assert box["width"] > 300
        assert box["height"] > 40
    assert page.locator("#warning").is_visible()
    assert not page.locator("#reveal").is_visible()
    assert "takes JavaScript" in page.inner_text("#warning")


def test_what_may_offend_is_hidden_until_asked_for(open_page: Opener) -> None:
    opened = open_page(drawn=False)
    assert not opened.page.locator("#browser").is_visible()
    assert opened.page.locator("#list > li").count() == 0
    opened.reveal()
    assert opened.page.locator("#browser").is_visible()
    assert not opened.page.locator("#warning").is_visible()


def test_scores_in_another_unit_are_no_percentages(open_page: Opener, tmp_path: Path) -> None:
    before, after = (synthetic.lengths(values) for values in ([4.0, 4.0], [4.0, 16.5]))
    results = Results.of([compare(before, after, resamples=200)])
    (tmp_path / "page.html").write_text(render(results_page(results, steps=[Step("t", before, after)])))
    opened = open_page(file=tmp_path / "page.html", drawn=False)
    opened.reveal()
    assert text(opened.page, "#list tbody td") == ["4 characters", "16.5 characters"]
    assert opened.said == []


def count_of(opened: Opened) -> int:
    return int(opened.page.inner_text("#count").split(" of ")[1].split(" ")[0])


def test_filters_change_the_list(open_page: Opener) -> None:
    opened = open_page(drawn=False)
    opened.reveal()
    page, everything = opened.page, count_of(opened)
    page.select_option("#by-direction", "forgot")
    forgot = count_of(opened)
    assert set(text(page, "#list > li .meta strong")) == {"▼ forgot"}
    page.select_option("#by-direction", "learned")
    assert 0 < forgot < everything
    assert count_of(opened) == everything - forgot
    page.select_option("#by-direction", "")
    page.select_option("#by-task", "s")
    of_task = count_of(opened)
    assert 0 < of_task < everything
    page.select_option("#by-group", label="half: one")
    assert 0 < count_of(opened) < of_task
    assert all("half: one" in one for one in text(page, "#list > li .meta:last-child"))
    page.select_option("#by-step", label=next(one for one in text(page, "#by-step option") if one.startswith("c:")))
    assert count_of(opened) == 0
    assert page.locator("#list > li").count() == 0


def test_more_are_shown_on_request(open_page: Opener) -> None:
    opened = open_page(drawn=False)
    opened.reveal()
    assert opened.page.locator("#list > li").count() == 20 < count_of(opened)
    while opened.page.locator("#more").is_visible():
        opened.page.click("#more")
    assert opened.page.locator("#list > li").count() == count_of(opened)


def test_what_is_markup_in_the_data_is_text_on_the_page(open_page: Opener) -> None:
    opened = open_page()
    opened.reveal()
    page = opened.page
    page.select_option("#by-group", label=f"faith: {HOSTILE}")
    prompts = text(page, "#list .prompt")
    assert prompts
    assert all(HOSTILE in prompt for prompt in prompts)
    assert any(HOSTILE.strip() in choice for choice in text(page, "#list th"))
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.locator("img[src=x], [onerror], main script").count() == 0
    assert page.title() == "Forgetting in the study made"
    assert opened.said == []


def test_a_tooltip_shows_markup_as_text(open_page: Opener) -> None:
    opened = open_page()
    page = opened.page
    marks = page.locator("#groups figure .role-mark path[aria-roledescription], #groups figure .role-mark path")
    for place in range(marks.count()):
        marks.nth(place).hover(force=True)
        tip = page.locator("#vg-tooltip-element.visible")
        if tip.count() and "onerror" in tip.inner_text():
            break
    else:
        pytest.fail("no tooltip held the hostile name")
    assert page.locator("#vg-tooltip-element img, #vg-tooltip-element script").count() == 0
    assert page.title() == "Forgetting in the study made"
    assert opened.said == []


def test_no_other_script_can_run(open_page: Opener) -> None:
    page = open_page(drawn=False).page
    page.evaluate("""
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
    """)
    assert page.evaluate("window.ran") is None
    assert page.evaluate("fetch('https://example.org/').then(() => 'fetched', () => 'refused')") == "refused"


def test_the_tab_key_reaches_every_control_in_order(open_page: Opener) -> None:
    opened = open_page()
    opened.reveal()
    page = opened.page
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    wanted = page.evaluate(f"{VISIBLE_CONTROLS}.map({NAMED})")
    reached = []
    for _ in wanted:
        page.keyboard.press("Tab")
        reached.append(page.evaluate(f"({NAMED})(document.activeElement)"))
    assert len(wanted) > 30
    # Focus begins where the button was, and comes round.
    start = wanted.index(reached[0])
    rotated = [*wanted[start:], *wanted[:start]]
    assert [one for one in reached if not one.startswith("<body")][: len(wanted) - 1] == rotated[: len(wanted) - 1]


def test_details_open_with_the_keyboard(open_page: Opener) -> None:
    page = open_page().page
    page.locator("figure summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("figure table").first.is_visible()


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (768, "light"), (390, "light"), (390, "dark")]
)
def test_all_is_drawn_within_the_edges_and_axe_finds_nothing_to_object_to(
    open_page: Opener, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    opened = open_page(scheme=scheme, width=width)
    page, figures = opened.page, opened.page.evaluate(MARKS)
    assert len(figures) >= 5
    assert [name for name, marks in figures if not marks] == []
    opened.reveal()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert any(rule["id"] == "color-contrast" for rule in results.response["passes"])


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of names of 40 characters, 20 groups, and losses from -100 to +100 points."""
    before, after = (
        synthetic.scores(
            [group == gained or (group not in (0, 1) and row % 3 != gained) for row in range(8) for group in range(20)],
            task=FORTY.format("t"),
            groups={"kind": [FORTY.format(chr(97 + group)) for _ in range(8) for group in range(20)]},
            noise=gained,
        )
        for gained in (0, 1)
    )
    results = Results.of([compare(before, after, by=["kind"], resamples=200)])
    page = results_page(results, figures=result_figures(results))
    chain = ">".join([FORTY.replace(" ", "_")] * 3)
    page = replace(page, tables=(*page.tables, Table(f"Who forgot: {chain}", "", ("checkpoint",), ((chain,),))))
    file = tmp_path_factory.mktemp("wide") / "page.html"
    file.write_text(render(page), encoding="utf-8")
    return file


@pytest.mark.parametrize("width", [1280, 390])
def test_long_names_are_whole_and_apart_and_nothing_leaves_the_page(open_page: Opener, wide: Path, width: int) -> None:
    page = open_page(file=wide, width=width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate(MISPLACED_WORDS) == []
    for chart in ("forgetting", "biased-forgetting"):
        words = page.locator(f"[data-figure^={chart}] svg text").all_text_contents()
        labels = {FORTY.format(chr(97 + group)).replace(" ", "") for group in range(20)}
        assert labels <= {text.replace(" ", "") for text in words}
    assert page.locator("[data-figure^=forgetting] svg").get_by_text("…").count() == 0


def test_on_paper_the_still_pictures_stand_for_the_charts(open_page: Opener) -> None:
    page = open_page(scheme="dark").page
    page.emulate_media(media="print")
    assert not page.locator(".live").first.is_visible()
    box = page.locator("figure img").first.bounding_box()
    assert box
    assert box["width"] > 300
    source = page.evaluate("document.querySelector('figure img').currentSrc")
    assert source == page.locator("figure img").first.get_attribute("src")
    assert page.pdf().startswith(b"%PDF")


def test_the_answer_is_on_the_first_screen_of_a_telephone_and_the_contents_one_key_away(open_page: Opener) -> None:
    page = open_page(width=390, drawn=False).page
    box = page.locator(".finding").first.bounding_box()
    assert box
    assert box["y"] < 844
    assert not page.locator("nav a").first.is_visible()
    page.locator("nav summary").press("Enter")
    assert page.locator("nav a").first.is_visible()
