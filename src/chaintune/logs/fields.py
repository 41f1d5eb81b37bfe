"""From columns of any log to item scores, every fault with its place."""

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa

from chaintune.errors import DataError, nearest, number_of
from chaintune.files.cells import group_names, has_stray_blanks, plain_text
from chaintune.files.columns import Columns
from chaintune.files.rows import kind, raise_problems
from chaintune.logs.details import explain, text_of, with_details
from chaintune.logs.log import Digests
from chaintune.records import Scores
from chaintune.records.examples import LABEL, are_labels, as_label, is_no_group
from chaintune.records.items import Groups, items_table, labelled, plain_scores
from chaintune.records.metrics import Direction

_LOG = logging.getLogger(__name__)
_MOST_FAULTS = 5
_MOST_NAMED = 12
_WORDS = {"true": 1.0, "false": 0.0}
_BY_ANSWER = "accuracy"


@dataclass(frozen=True)
class Fields:
    """The fields of a row that are read; dotted names lie deeper.

    Attributes:
        id: of the example.
        score: of the example.
        cluster: None and every example is its own.
        dimensions: dimension -> the field that holds the example's groups on it.
        digests: what is known of the example, by name -> field; left out where a row has none.
        missing: why an example has no score, where its score is null; empty where the log does not say.
        details: what else is known of the example, such as `answer` or `label` -> field; null where a row has none.
        balanced: whether labels and answers that agree with the scores make balanced accuracy of them.
        scale: the worst and the best score.
        known: names of the log's fields, for messages.
        answer: what is right, where `score` is a prediction that is compared with it; empty where it is a score.
        trial: what tells several rows of one example apart; empty where each has one, None where no log of the kind
            can say it.
    """

    id: str
    score: str
    cluster: str | None
    dimensions: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    balanced: bool = False
    scale: tuple[float, float] = (0.0, 1.0)
    known: tuple[str, ...] = ()
    answer: str = ""
    trial: str | None = None

    @property
    def number(self) -> str:
        """The field that is read as a number and as nothing else."""
        return self.score if self.paths.count(self.score) == 1 and not self.answer else ""

    @property
    def paths(self) -> list[str]:
        """Every field that is read."""
        inner = (*self.dimensions.values(), *self.digests.values(), *self.details.values())
        optional = [name for name in (self.missing, *inner) if name]
        return [*self.needed.values(), *optional]

    @property
    def needed(self) -> dict[str, str]:
        """Every field that has to be there, by what it holds."""
        named = {"id": self.id, "prediction" if self.answer else "score": self.score}
        optional = {"cluster": self.cluster, "answer": self.answer, "trial": self.trial}
        return named | {name: path for name, path in optional.items() if path}


def scores_from_columns(
    columns: Columns, fields: Fields, task: str, where: str, *, metric: str = ""
) -> tuple[Scores, Digests]:
    """Columns as scores of a task, and what is known of each example in the same order.

    Args:
        columns: those that `fields` names.
        fields: which column holds what.
        task: its name.
        where: the file.
        metric: what the scores are called; empty when as their column is.

    Raises:
        DataError: a row is wrong, an id appears twice, or there are no rows.
    """
    _check_there(columns, fields, where)
    _check_are_groups(columns, fields)
    faults = _Faults(columns, fields.known)
    ids = faults.names(fields.id)
    worst, best = fields.scale
    reasons = _reasons(columns, fields)
    if fields.answer:
        scores = faults.matching(fields.score, fields.answer, absent=reasons)
    else:
        scores = faults.converted(fields.score, lambda value: _share(value, worst, best), absent=reasons)
    clusters = faults.names(fields.cluster, instead=ids) if fields.cluster else ids
    by_dimension = {dimension: faults.groups(path) for dimension, path in fields.dimensions.items()}
    trials = faults.names(fields.trial) if fields.trial else []
    faults.stop()
    if not ids:
        raise DataError(f"{where}: holds no rows")
    for note in faults.notes:
        _LOG.warning("%s: %s", where, note)
    if LABEL in by_dimension:
        by_dimension[LABEL] = _labels(by_dimension[LABEL], columns.values.get(fields.details.get(LABEL, ""), []))
    groups: list[Groups] = [{}] * len(ids)
    if by_dimension:
        combinations = list(zip(*by_dimension.values(), strict=True))
        named = {own: {name: own[k] for k, name in enumerate(by_dimension) if own[k]} for own in set(combinations)}
        groups = [named[own] for own in combinations]
    why = [reasons.get(row) for row in range(len(ids))]
    if trials:
        table = items_table(*_averaged(columns, ids, trials, scores, groups, clusters, why))
    elif len(set(ids)) < len(ids):
        raise DataError(_repeated(ids, columns, trials=fields.trial is not None))
    else:
        table = items_table(ids, scores, groups, clusters, why)
    table = with_details(table, ids, columns.values, fields.details)
    direction: Direction = "more" if worst < best else "less"
    called = metric or (_BY_ANSWER if fields.answer else fields.score)
    plain = plain_scores(task, table, called, {"file": where}, direction=direction)
    label, answer = (columns.values.get(fields.details.get(name, ""), []) for name in (LABEL, "answer"))
    averaged = bool(trials and label and answer) and explain(scores, label, answer)
    scored = labelled(plain, balanced=fields.balanced, averaged=averaged)
    return scored, _digests(ids, table, columns, fields, where)


def _check_there(columns: Columns, fields: Fields, where: str) -> None:
    """Refuse a log that lacks a field; all that are missing are told at once, with the option that names others."""
    missing = {
        name: path
        for name, path in fields.needed.items()
        if path not in fields.known and (values := columns.values[path]).count(None) == len(values) > 0
    }
    if not missing:
        return
    lacks = " and ".join(f"'{path}'" + ("" if name == path else f" for {name}") for name, path in missing.items())
    option = ",".join(f"{name}=COLUMN" for name in missing)
    valid = nearest(next(iter(missing.values())), fields.known[:_MOST_NAMED])
    more = f" and {len(fields.known) - _MOST_NAMED} more" if len(fields.known) > _MOST_NAMED else ""
    there_is = "there is no column" if len(missing) == 1 else "there are no columns"
    named = f"name the log's own as --columns {option} (in Python columns={{...}})"
    alone = ", or the tasks that have it as --task" if "cluster" in missing else ""
    raise DataError(f"{where}: {there_is} {lacks}; {valid}{more}; {named}{alone}")


def _check_are_groups(columns: Columns, fields: Fields) -> None:
    """Refuse a dimension whose cells hold further fields, which are dimensions themselves."""
    for path in fields.dimensions.values():
        values = columns.values[path]
        names = dict.fromkeys(f"{path}.{name}" for value in values if isinstance(value, Mapping) for name in value)
        if inner := list(names):
            first = next(row for row, value in enumerate(values) if isinstance(value, Mapping))
            more = f" and {len(inner) - _MOST_NAMED} more" if len(inner) > _MOST_NAMED else ""
            raise DataError(
                f"{columns.place(first)}: {path} is {kind(values[first])}, expected a group or a list of groups; its "
                f"fields are dimensions, so name one of them: {', '.join(inner[:_MOST_NAMED])}{more}"
            )


def _labels(groups: Sequence[tuple[str, ...]], golds: Sequence[Any]) -> list[tuple[str, ...]]:
    """Groups on the dimension of gold labels, whose case and blanks say nothing; without the field, the golds."""
    if golds and not any(groups):
        texts = [as_label(text_of(gold) or "") for gold in golds]
        return [(text,) for text in texts] if are_labels(set(texts)) and all(texts) else list(groups)
    return [tuple(sorted(set(map(as_label, names)))) for names in groups]


def _averaged(
    columns: Columns,
    ids: Sequence[str],
    trials: Sequence[str],
    scores: Sequence[float | None],
    groups: Sequence[Groups],
    clusters: Sequence[str],
    why: Sequence[str | None],
) -> tuple[list[str], list[float | None], list[Groups], list[str], list[str | None]]:
    """One row an example: the mean over its trials that have a score; an error where these contradict each other."""
    rows: dict[str, dict[str, int]] = {}
    for row, (name, trial) in enumerate(zip(ids, trials, strict=True)):
        first = rows.setdefault(name, {})
        if trial in first:
            raise DataError(
                f"{columns.place(row)}: trial '{trial}' of '{name}' is in {columns.place(first[trial])} too; "
                f"{what_to_do_of_repeats(as_table=False)}"
            )
        first[trial] = row
    means: list[float | None] = []
    for name, own in rows.items():
        one, *others = own.values()
        # Where no cluster is named, the id is.
        for other in others:
            if groups[other] != groups[one] or clusters[other] != clusters[one]:
                raise DataError(
                    f"{columns.place(other)}: trials of '{name}' have the same groups and cluster, and this one has "
                    f"others than {columns.place(one)}"
                )
        known = [score for row in own.values() if (score := scores[row]) is not None]
        means.append(sum(known) / len(known) if known else None)
    firsts = [next(iter(own.values())) for own in rows.values()]
    reasons = [why[row] if mean is None else None for row, mean in zip(firsts, means, strict=True)]
    return list(rows), means, [groups[row] for row in firsts], [clusters[row] for row in firsts], reasons


def _reasons(columns: Columns, fields: Fields) -> dict[int, str]:
    """Why rows have no score, by row; a null without a reason is a fault."""
    if not fields.missing:
        return {}
    both = zip(columns.values[fields.score], columns.values[fields.missing], strict=True)
    return {row: why for row, (score, why) in enumerate(both) if is_no_group(score) and isinstance(why, str) and why}


class _Faults:
    """Conversions of columns, the first fault of each row, and notes on cells that are read by a rule."""

    def __init__(self, columns: Columns, known: Sequence[str]) -> None:
        self._columns, self._known = columns, known
        self._by_row: dict[int, str] = {}
        self.notes: list[str] = []

    def names(self, path: str, *, instead: Sequence[str] | None = None) -> list[str]:
        """The values of a column of names, as text; blank ones are faults, unless others stand in."""
        values = self._columns.values[path]
        if set(map(type, values)) == {str} and all(values) and not (instead and any(map(str.isspace, values))):
            return list(values)
        if instead is None:
            return self.converted(path, _name)
        blank = {row for row, value in enumerate(values) if _is_blank(value)}
        if blank:
            self.notes.append(f"{number_of(len(blank), 'row')} without a cluster in '{path}', each one of its own")
        names = self.converted(path, _name, absent=blank)
        return [instead[row] if row in blank else name for row, name in enumerate(names)]

    def groups(self, path: str) -> list[tuple[str, ...]]:
        """The groups that each row names."""
        untyped = self._columns.untyped
        if stray := sum(map(has_stray_blanks, self._columns.values[path])):
            self.notes.append(
                f"{number_of(stray, 'row')} with blanks around a group's name in '{path}', which were removed"
            )
        return self.converted(path, lambda value: group_names(value, "", untyped=untyped))

    def matching(self, path: str, answer: str, *, absent: Collection[int]) -> list[float | None]:
        """1 where a prediction is the answer, or one of them, else 0."""
        values, answers = self._columns.values[path], self._columns.values[answer]
        empty = sum(_is_blank(value) for row, value in enumerate(values) if row not in absent)
        if empty:
            count = "which counts as wrong" if empty == 1 else "which count as wrong"
            self.notes.append(f"{number_of(empty, 'row')} without a prediction in '{path}', {count}")
        pairs = self._converted(
            path,
            list(zip(values, answers, strict=True)),
            lambda pair: _matches(pair[0], pair[1], answer),
            absent,
        )
        if pairs and not any(pairs):
            self.notes.append(f"no prediction in '{path}' is ever the answer in '{answer}'; are both written alike?")
        return pairs

    def converted(self, path: str, convert: Callable[[Any], Any], *, absent: Collection[int] = ()) -> list[Any]:
        """The values of a column, each converted, those of absent rows None; a fault is noted, not raised."""
        values = self._columns.values[path]
        if set(map(type, values)) in ({str}, {int}, {float}, {bool}):
            # Values repeat; those of one type that are equal are the same.
            try:
                known = {value: convert(value) for value in set(values)}
                return [known[value] for value in values]
            except DataError:
                pass  # whose rows are looked for now
        return self._converted(path, values, convert, absent)

    def _converted(
        self, path: str, values: Sequence[Any], convert: Callable[[Any], Any], absent: Collection[int]
    ) -> list[Any]:
        made: list[Any] = []
        for row, value in enumerate(values):
            try:
                made.append(None if row in absent else convert(value))
            except DataError as fault:
                made.append(None)
                self._by_row.setdefault(row, f"{path} {str(fault).lstrip()}")
        return made

    def stop(self) -> None:
        """Raise what was noted, as one error."""
        problems = [f"{self._columns.place(row)}: {message}" for row, message in sorted(self._by_row.items())]
        raise_problems(problems, most=_MOST_FAULTS)


def _digests(ids: Sequence[str], table: pa.Table, columns: Columns, fields: Fields, where: str) -> Digests:
    digests = {}
    for called, path in fields.digests.items():
        known = {name: value for name, value in zip(ids, columns.values[path], strict=True) if isinstance(value, str)}
        if known:
            digests[called] = [known.get(name) for name in table.column("example_id").to_pylist()]
    try:
        return {name: pa.array(column, pa.string()) for name, column in digests.items()}
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: {error.object[:40]!r} is no text") from error


def what_to_do_of_repeats(*, as_table: bool) -> str:
    """What to do where an id is repeated; of a log that cannot tell trials apart a table has to be written first."""
    first = "write the rows as a table of id, score and trial; " if as_table else ""
    return (
        f"repeats of one example depend on each other: {first}to average them, name what tells them apart, --columns "
        "trial=COLUMN; to count each, give it an id of its own and name the column that they share, --cluster COLUMN"
    )


def _repeated(ids: Sequence[str], columns: Columns, *, trials: bool) -> str:
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if name in first:
            place, before = columns.place(row), columns.place(first[name])
            return (
                f"{place}: id '{name}' appears twice, first in {before}; {what_to_do_of_repeats(as_table=not trials)}"
            )
        first[name] = row
    return ""


def _is_blank(value: Any) -> bool:
    return not isinstance(value, list | tuple | Mapping) and is_no_group(
        value.strip() if isinstance(value, str) else value
    )


def _matches(prediction: Any, answer: Any, path: str) -> float:
    """Whether a prediction is the answer, or one of a list of answers; blanks around a text say nothing."""
    answers = [plain_text(one) for one in (answer if isinstance(answer, list | tuple) else [answer])]
    if _is_blank(answer) or not answers or None in answers:
        raise DataError(f"is compared with {path}, which is {_shown(answer)}, expected a text or a list of texts")
    if _is_blank(prediction):
        return 0.0
    text = plain_text(prediction)
    if text is None:
        raise DataError(f"is {_shown(prediction)}, expected a text, or a number")
    return float(text.strip() in {one.strip() for one in answers if one is not None})


def _name(value: Any) -> str:
    if type(value) is str and value:
        return value
    # A join, or a value that was missing once, makes fractions of whole numbers.
    whole = not isinstance(value, float) or value.is_integer()
    text = plain_text(value) if whole and not isinstance(value, bool | str) else None
    if text is None:
        if type(value) is int:
            raise DataError("holds a number of thousands of digits")
        raise DataError(f"is {_shown(value)}, expected text or a whole number")
    return text


def _share(value: Any, worst: float, best: float) -> float:
    """Where a score lies between the lower end of its scale and the higher one, whichever is the best."""
    low, high = sorted((worst, best))
    share = (_number(value) - low) / (high - low)
    # Written so that NaN is refused too.
    if not 0 <= share <= 1:
        raise DataError(
            f"is {_shown(value)}, expected a number from {worst:g}, the worst, to {best:g}, the best; {_advice(value)}"
        )
    return share


def _advice(value: Any) -> str:
    """What to do about a value that is no score."""
    if _is_blank(value) or (isinstance(value, Decimal) and value.is_nan()):
        return (
            "say why there is none in a column 'missing_reason', or leave the row out and compare what both sides have "
            "(--on-missing intersect)"
        )
    if isinstance(value, list | tuple | Mapping):
        return "name a column with one number a row (--columns score=COLUMN, or --metric)"
    if math.isnan(_number(value)):
        return "write 1 for right, 0 for wrong, or compare with an answer (--columns prediction=COLUMN,answer=COLUMN)"
    return "name the ends of another scale as --scale (in Python scale)"


def _number(value: Any) -> float:
    """A number, also where it is written as text or as true and false; NaN where it is none."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
    elif not isinstance(value, int | float | Decimal):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _shown(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return f"a {type(value).__name__}"
    try:
        # A whole number may have been read as a fraction.
        return f"{value:g}" if type(value) in (int, float) else repr(value)[:60]
    except OverflowError:
        return "a very long number"
