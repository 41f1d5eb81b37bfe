"""One self-contained HTML page from results: opened from disk, kept, sent, printed."""

from chaintune.report.page.content import Page
from chaintune.report.page.items import Step, step_name
from chaintune.report.page.render import render
from chaintune.report.page.results import results_page

__all__ = ["Page", "Step", "render", "results_page", "step_name"]
