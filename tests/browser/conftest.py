"""A run's page in a real browser: Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chaintune.report.folder import PAGE, write_report
from tests import run_folders

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Milliseconds; a machine may be busy with other tests.
PATIENCE = 120_000

Opener = Callable[..., "Opened"]


@dataclass
class Opened:
    """A page, with what it said on the console and asked the network for."""

    page: "Page"
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def reveal(self) -> None:
        self.page.click("#reveal")
        self.page.wait_for_selector("#list > li")


def note(opened: Opened, kind: str, text: str) -> None:
    """Keep what was said, but for Vega-Lite's remarks on defaults that a spec overrides."""
    if not (kind == "warning" and text.startswith("WARN ")):
        opened.said.append(f"{kind}: {text}")


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a made-up study whose texts and names try to be markup."""
    tasks = (run_folders.task("s"), run_folders.task("c"))
    folder = run_folders.run_folder(tmp_path_factory.mktemp("run") / "out", tasks)
    write_report(folder, {one.name: one for one in tasks})
    return folder / PAGE


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.fail("no Chromium here: apt-get install chromium, or name one as CHROMIUM")
    # Chromium's sandbox refuses root, which containers run as.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: "Browser", page_file: Path) -> Iterator[Opener]:
    """Opens the page from disk, and waits until its figures are drawn."""
    contexts = []

    def opened(
        *, width: int = 1280, scheme: Any = "light", script: bool = True, file: Path = page_file, drawn: bool = True
    ) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        found = Opened(context.new_page())
        found.page.on("console", lambda message: note(found, message.type, message.text))
        found.page.on("pageerror", lambda error: found.said.append(f"error: {error}"))
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.goto(file.as_uri())
        if script and drawn:
            found.page.wait_for_selector("html[data-drawn=yes]", timeout=PATIENCE)
        return found

    yield opened
    for context in contexts:
        context.close()
