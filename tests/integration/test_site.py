"""The documentation as a site: it builds with no warning and no network, and holds every page, command and name."""

import re
from html import unescape
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import ConfigError
from tests.programs import Start

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Whatever asked for a page of another machine would fail here.
NO_NETWORK = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "all")}


@pytest.fixture(scope="module")
def site(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = start(str(DOCS / "build.py"), str(folder), folder=ROOT, environment=NO_NETWORK)
    assert build.wait() == 0, build.out + build.err
    assert "No issues found" in build.out + build.err
    return folder


def test_every_file_that_a_page_shows_or_offers_is_there() -> None:
    offered = {  # Zensical looks after links to pages
        (page.parent / target).resolve()
        for page in DOCS.rglob("*.md")
        for target in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
        if not target.endswith(".md")
    }
    assert len(offered) >= 4
    assert [path for path in offered if not path.is_file()] == []


def text_of(page: Path) -> str:
    """What a page shows, its markup left out."""
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_page_is_there_and_in_the_navigation(site: Path) -> None:
    written = [*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")]
    pages = sorted(path.relative_to(DOCS).with_suffix(".html") for path in written)
    assert len(pages) > 25
    home = (site / "index.html").read_text(encoding="utf-8")
    tabs = {link.split("/")[0]: link for link in re.findall(r'<a href="(?:\./)?([^"]+)" class="md-tabs__link"', home)}
    for page in pages:
        # Each tab opens its folder's first page, and that one names the others.
        beside = (site / tabs.get(str(page.parent), "index.html")).read_text(encoding="utf-8")
        assert (site / page).is_file()
        assert f'href="./{page.name}"' in beside or str(page) in tabs.values(), page


def test_the_folders_come_in_the_order_in_which_one_reads_them(site: Path) -> None:
    tabs = re.findall(
        r'class="md-tabs__link">\s*(.*?)\s*</a>', (site / "index.html").read_text(encoding="utf-8"), re.DOTALL
    )
    assert tabs == ["chaintune", "Tutorial", "How-to", "Reference", "Explanation", "Decisions"]


def test_no_page_asks_another_machine_for_anything(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    loads = re.compile(r"<(?:script|img|iframe|link|source)\b[^>]*?\b(?:src|href)=\"?(?:https?:)?//[^\s\">]+")
    assert [found for page in pages for found in loads.findall(page.read_text(encoding="utf-8"))] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", styles)


def test_the_reference_has_the_help_of_every_command(site: Path) -> None:
    from typer.main import get_command

    from chaintune.cli.app import app

    shown = text_of(site / "reference" / "command-line.html")
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert len(commands) >= 9
    for name, command in commands.items():
        assert f"Usage: chaintune {name}" in shown
        for parameter in command.params:
            assert max(parameter.opts, key=len) in shown or parameter.param_type_name == "argument", parameter


def test_the_reference_has_every_public_name(site: Path) -> None:
    import chaintune

    shown = text_of(site / "reference" / "python.html")
    for name in chaintune.__all__:
        assert f"chaintune.{name}" in shown, name
    assert "chaintune.tuning.mitigations.ewc.EWC" in text_of(site / "reference" / "mitigations.html")


def test_the_reference_has_every_key_of_a_study_file(site: Path) -> None:
    from chaintune.study.json_schema import study_schema

    schema, page = study_schema(), (site / "reference" / "study-file.html").read_text(encoding="utf-8")
    for part in (schema, *schema["$defs"].values()):
        for key in part["properties"]:
            assert f"<td><code>{key}</code></td>" in page, key
    assert page.count("<tr>") > 150


def test_each_of_several_fields_has_its_own_entry(site: Path) -> None:
    shown = text_of(site / "reference" / "records.html")
    assert re.search(r"before\s*\(Estimate\)\s*–\s*mean item score under each checkpoint", shown)
    assert re.search(r"after\s*\(Estimate\)\s*–\s*mean item score under each checkpoint", shown)


def test_the_tutorial_shows_what_the_demo_printed(site: Path) -> None:
    shown = text_of(site / "tutorial" / "quickstart.html")
    printed = (DOCS / "tutorial" / "quickstart.txt").read_text(encoding="utf-8").strip("\n")
    assert "quickstart.txt:" not in shown
    assert printed.split("\n\n")[0] in shown
    assert printed.split("\n\n")[-1] in shown
    assert (ROOT / "studies" / "quickstart.yaml").read_text(encoding="utf-8").strip() in shown


def own(name: str) -> Any:
    """A module that lies beside the pages."""
    spec = util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_part_that_the_demo_did_not_print_stops_the_build() -> None:
    with pytest.raises(ConfigError, match="shows no 'Scors' of the demo; it shows: Scores, "):
        own("build").with_demo("```text\nquickstart.txt: Scors\n```", "page.md")
    untouched = "quickstart.txt: Scores, in a sentence"
    assert own("build").with_demo(untouched, "page.md") == untouched


def test_fields_that_share_their_words_are_taken_apart() -> None:
    text = "Two.\n\n    Attributes:\n        low, high: ends,\n            both\n        n: how many\n"
    assert own("docstrings").one_by_one(text) == (
        "Two.\n\n    Attributes:\n        low: ends,\n            both\n        high: ends,\n            both\n"
        "        n: how many\n"
    )
