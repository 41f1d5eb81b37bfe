"""Results as they show themselves: printed, in a notebook's cell, as one figure, as a report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, nearest, number_of, visible
from chaintune.files.atomic import write_bytes
from chaintune.files.disk import os_errors_as_store_error
from chaintune.forgetting.orders import PredictedOrders
from chaintune.records import Audit, Comparison, Figure, Scores, Series
from chaintune.report.cells import Table
from chaintune.report.folder import PAGE, read_results, tasks_of, write_report
from chaintune.report.gate import gate_sentence
from chaintune.report.layout import table_lines, text_lines
from chaintune.report.markdown import markdown
from chaintune.report.orders import order_tables, order_words
from chaintune.report.page import Step, render, results_page, step_name
from chaintune.report.printed import printout
from chaintune.report.results import Results
from chaintune.report.scored import scored_rows, scored_tables
from chaintune.results import Mitigations, StudyResults

_MOST_TEXTS, _MOST_TABLES, _WIDTH = 6, 4, 110
_MORE = "to_polars() has every number, figures() the figures, report(FOLDER) writes the whole report"
_FORMATS = (".svg", ".png")
# Whoever asks for one of these wants a file, where any other name would be that of a folder.
_OTHER_KINDS = (*_FORMATS, ".pdf", ".htm", ".txt", ".docx", ".json")


@dataclass(frozen=True, slots=True, eq=False)
class DrawnFigure(Figure):
    """A figure that a notebook draws, and that can be saved."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}; a notebook draws it, save writes it as {' or '.join(_FORMATS)})"

    def _repr_svg_(self) -> str:
        from chaintune.report.figures.saving import svg  # starts a JavaScript engine

        return svg(self)

    def save(self, path: Path | str) -> Path:
        """Write the figure, and return where.

        Args:
            path: a file that ends in `.svg` or `.png`.

        Raises:
            ConfigError: it ends in something else.
            StoreError: it cannot be written.
        """
        from chaintune.report.figures.saving import png

        place = Path(path)
        if place.suffix not in _FORMATS:
            raise ConfigError(f"{place}: figures are saved as {' or '.join(_FORMATS)}; name such a file")
        drawing = self._repr_svg_()
        with os_errors_as_store_error(place, "the figure cannot be written"):
            write_bytes(place, drawing.encode() if place.suffix == ".svg" else png(drawing))
        return place


@dataclass(frozen=True)
class Presented:
    """Results as they show themselves.

    Attributes:
        title: heading.
        texts: paragraphs.
        tables: the first ones.
        results: that figures and a report are made of; None where there are none.
        steps: scores of both sides, for the items on the page.
    """

    title: str
    texts: Sequence[str]
    tables: Sequence[Table]
    results: Results | None = None
    steps: Sequence[Step] = ()

    def text(self) -> str:
        """In words and aligned columns, with what else there is."""
        left = len(self.texts) - _MOST_TEXTS
        more = [f"{left} more paragraphs are in the report."] if left > 0 else []
        tables = ["\n".join([table.title, *table_lines(table, _WIDTH)]) for table in self.tables]
        texts = ["\n".join(text_lines(text, _WIDTH)) for text in (*self.texts[:_MOST_TEXTS], *more)]
        parts = [self.title, *texts, *tables, f"({_MORE})" if self.results else ""]
        return visible("\n\n".join(filter(None, parts)))

    def html(self) -> str:
        """The same as HTML; every text is escaped."""
        heading = f"<p><b>{_safe(self.title)}</b></p>" if self.title else ""
        texts = "".join(map(_paragraph, self.texts[:_MOST_TEXTS]))
        return f"<div>{heading}{texts}{''.join(map(_html, self.tables))}</div>"

    def figures(self) -> Mapping[str, DrawnFigure]:
        """Name -> figure, in reading order."""
        from chaintune.report.figures.every import result_figures  # loads Altair

        figures = result_figures(self.results) if self.results else []
        return {one.name: DrawnFigure(**{name: getattr(one, name) for name in _FIELDS}) for one in figures}

    def figure(self, name: str) -> DrawnFigure:
        """The figure of a name, or of a part of it that no other has.

        Raises:
            ConfigError: there is none, or several.
        """
        known = self.figures()
        meant = [name] if name in known else [one for one in known if name and name in one]
        if len(meant) != 1:
            several = f"several have it in their name: {', '.join(meant)}"
            said = several if meant else nearest(name, known) if known else "there are none"
            raise ConfigError(f"figure '{name}': {said}")
        return known[meant[0]]

    def write(self, path: Path) -> Path:
        """Write the report into a folder, or its page or text alone as a file; where the page is.

        Raises:
            ConfigError: a file of another kind.
            StoreError: it cannot be written.
        """
        if path.suffix in _OTHER_KINDS:
            raise ConfigError(f"{path}: a report is a folder, or a file that ends in .html or .md; name such a one")
        assert self.results is not None  # noqa: S101 - only what is `Shown` asks
        if path.suffix == ".md":
            text = markdown(self.results)
        else:
            tasks = tasks_of(self.results.folder) if self.results.folder else {}
            if path.suffix != ".html":
                write_report(path, tasks, results=self.results, steps=self.steps)
                return path / PAGE
            figures = list(self.figures().values())
            text = render(results_page(self.results, figures=figures, steps=self.steps, tasks=tasks))
        with os_errors_as_store_error(path, "the report cannot be written"):
            write_bytes(path, text.encode())
        return path


_FIELDS = tuple(Figure.__dataclass_fields__)


def presented(value: Any) -> Presented:
    """How results present themselves.

    Args:
        value: of a study, an audit, a series, a comparison, a mitigation, predicted orders, or scores.
    """
    if isinstance(value, Scores):
        rows = scored_rows(value, value.dimensions[:1])
        return Presented(f"{len(value)} examples of {value.task}", [], scored_tables({value.task: rows}))
    if isinstance(value, PredictedOrders):
        return Presented("", [order_words(value)], order_tables(value))
    if isinstance(value, Mitigations):
        choice = f"{value.choice.dose_curve} of {value.choice.task}: {value.choice.reason}."
        return _of_results(read_results(value.results.folder, value.results.rows), first=choice)
    if isinstance(value, StudyResults):
        failed = value.outcome.of("failed")
        first = f"{number_of(len(failed), 'job')} failed: '{failed[0].node.title}', {failed[0].cause}" if failed else ""
        return _of_results(read_results(value.folder, value.rows), first=first)
    if isinstance(value, Comparison):
        return _of_results(Results.of([value]))
    return _of_results(Results.of(value.comparisons, value.gate), steps=list(compared_steps(value)))


def compared_steps(value: Audit | Series) -> Iterator[Step]:
    """Both sides of each comparison, for the items that flipped; none where the scores are not at hand."""
    if isinstance(value, Audit):
        yield from (Step(task, one, value.after[task]) for task, one in value.before.items())
        return
    for one in value.comparisons if value.scores else ():
        sides = (value.scores[side][one.task] for side in (one.start, one.end))
        yield Step(step_name(one.task, one.start, one.end), *sides)


def _of_results(results: Results, *, first: str = "", steps: Sequence[Step] = ()) -> Presented:
    gate = [gate_sentence(results.gate)] if results.gate else []
    parts = [printout(part) for part in results.parts]
    texts = [text for part in parts for text in (*part.closing, *part.texts)]
    tables = [table for part in parts for table in part.tables]
    return Presented(results.title, [*filter(None, [first]), *gate, *texts], tables[:_MOST_TABLES], results, steps)


def _paragraph(text: str) -> str:
    return "<p>" + "<br>".join(map(_safe, text.split("\n"))) + "</p>"


def _html(table: Table) -> str:
    head = "".join(f"<th>{_safe(name)}</th>" for name in table.header)
    body = "".join(f"<tr>{''.join(f'<td>{_safe(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    note = f"<p><small>{_safe(table.note)}</small></p>" if table.note else ""
    return f"<p>{_safe(table.title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _safe(text: str) -> str:
    return escape(visible(text))
