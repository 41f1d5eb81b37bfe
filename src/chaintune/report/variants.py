"""What the variants of a study are, and how each compares with the first: tables and sentences."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chaintune.records import Estimate, ResultRow
from chaintune.records.amounts import USUAL_MARGIN, margin_in
from chaintune.records.checkpoint import short_number, term_of, variant_label
from chaintune.records.results import VARIANT_METRICS
from chaintune.records.scales import changes_in, units_in_words
from chaintune.report.cells import Table, change, checkpoint_columns, joint_name, p_cell

_FORGETTING, _BIASED, _GAIN = VARIANT_METRICS
_WHAT = {_FORGETTING: "forgetting", _BIASED: "biased forgetting", _GAIN: "gain"}
_MOST_SENTENCES = 8

Relation = Literal["equal", "more", "less", "open"]


@dataclass(frozen=True, slots=True)
class Against:
    """One variant after one chain, against the first variant of the study.

    Attributes:
        lost: difference of forgetting of each task, the other variant minus the first.
        biased: difference of biased forgetting of groups.
        gained: difference of the score of each task that the last stage taught.
    """

    lost: tuple[ResultRow, ...]
    biased: tuple[ResultRow, ...]
    gained: tuple[ResultRow, ...]

    @property
    def row(self) -> ResultRow:
        """One of the rows, which name both variants and the chain."""
        return (self.lost + self.gained)[0]

    def differences(self, level: float) -> list[ResultRow]:
        """What was gained, then each task's forgetting with what is notable of its groups."""
        return [*self.gained, *(row for lost in self.lost for row in (lost, *self.notable(lost.task, level)))]

    def notable(self, task: str, level: float) -> list[ResultRow]:
        """Of each dimension of a task the groups whose difference is shown; else the one that comes nearest to it."""
        own = [row for row in self.biased if row.task == task and joint_name(row)]
        kept = []
        for dimension in dict.fromkeys(row.dimension for row in own):
            known = [row for row in own if row.dimension == dimension and not math.isnan(row.estimate.p_value)]
            known.sort(key=lambda row: (row.estimate.p_judged, row.estimate.p_value, row.group))
            kept += [row for row in known if row.estimate.is_shown(level)] or known[:1]
        return kept


def against_first(rows: Sequence[ResultRow]) -> list[Against]:
    """Each variant but the first after each chain, chains in their order."""
    places: dict[tuple[str, str, str], list[ResultRow]] = {}
    for row in rows:
        if row.metric in VARIANT_METRICS:
            places.setdefault((row.base, row.chain, row.variant), []).append(row)
    every = [
        Against(
            tuple(row for row in own if row.metric == _FORGETTING and row.is_whole),
            tuple(row for row in own if row.metric == _BIASED),
            tuple(row for row in own if row.metric == _GAIN),
        )
        for own in places.values()
    ]
    return [one for one in every if one.lost or one.gained]


def than_first(row: ResultRow, level: float) -> Relation:
    """What a difference between two variants comes to.

    `equal` where the whole interval lies within the margin: of a gain in any case, of anything else unless a difference
    is shown. Else `more` or `less` where that is shown, else `open`.
    """
    margin, shown = margin_in(row.unit, USUAL_MARGIN, row.margin), row.estimate.is_shown(level)
    if row.estimate.low > -margin and row.estimate.high < margin and (row.metric == _GAIN or not shown):
        return "equal"
    return "open" if not shown else "more" if row.estimate.value > 0 else "less"


def variants_table(provenance: Mapping[str, Any]) -> list[Table]:
    """What each variant of a study is, and once what all of them share; none where there is one."""
    variants: Mapping[str, Mapping[str, str]] = provenance.get("variants", {})
    knobs = list(dict.fromkeys(knob for own in variants.values() for knob in own))
    rows = tuple((name, *(short_number(own.get(knob, "")) for knob in knobs)) for name, own in variants.items())
    note = f"All share: {variant_label(provenance.get('recipe', {}).items())}."
    return [Table("Variants", note, ("variant", *map(term_of, knobs)), rows)] if rows else []


def against_first_table(rows: Sequence[ResultRow], level: float) -> Table | None:
    """Differences of gain, forgetting and biased forgetting of each variant to the first; None without a second one."""
    every = against_first(rows)
    if not every:
        return None
    names, cells_of = checkpoint_columns([one.row for one in every], "chain")
    differences = [row for one in every for row in one.differences(level)]
    lines = tuple(
        (
            *cells_of(row),
            row.task,
            _WHAT[row.metric] + (f", {row.dimension}: {joint_name(row)}" if row.dimension else ""),
            change(row, named=True),
            p_cell(row.estimate),
            than_first(row, level),
        )
        for row in differences
    )
    units = units_in_words(row.unit for row in differences)
    left_out = dict.fromkeys(f"{row.task}: {_left_out(row)}" for row in differences if row.verdict_reason)
    note = (
        f"Each variant minus {differences[0].reference_variant}, on the same examples and seeds, in {units}. Gain: "
        "score of the task that the last stage taught. Of each dimension the groups stand here of which a difference "
        "is shown, else the one that comes nearest to it. Equal: the whole interval lies within the margin of 2 "
        f"points, or the task's own. {corrections(every)}"
    )
    note += "".join(f" {text}" for text in left_out)
    return Table(
        "Variants against the first", note, (*names, "task", "what", "difference", "p", "than the first"), lines
    )


def corrections(every: Sequence[Against]) -> str:
    """The sentence on what p-values and intervals are corrected for."""
    whole = any(row.family for one in every for row in (*one.lost, *one.gained))
    of_tasks = "those of whole tasks over the tasks and variants after each chain (Holm), " if whole else ""
    several = len({one.row.variant for one in every}) > 1
    of_groups = f"of groups over those of a dimension{' and the variants (Bonferroni)' if several else ''}"
    return f"p and intervals are corrected: {of_tasks}those {of_groups}."


def against_first_sentences(rows: Sequence[ResultRow], level: float) -> Iterator[str]:
    """A sentence on each task that variants may have forgotten otherwise, those that are shown first."""
    every = against_first(rows)
    lost = [(one, row) for one in every for row in one.lost]
    lost.sort(key=lambda pair: not pair[1].estimate.is_shown(level))
    yield from (_sentence(one, row, level, _learned(row, every)) for one, row in lost[:_MOST_SENTENCES])
    if len(lost) > _MOST_SENTENCES:
        yield f"{len(lost) - _MOST_SENTENCES} more are in the table."
    if every:
        yield corrections(every)


def _learned(row: ResultRow, every: Sequence[Against]) -> ResultRow | None:
    """The difference in what was gained of the task that a row is about, when it was last taught before."""
    gains = [gain for one in every for gain in one.gained if (gain.base, gain.variant) == (row.base, row.variant)]
    before = [gain for gain in gains if gain.task == row.task and gain.steps == row.steps[: len(gain.steps)]]
    return max((gain for gain in before if gain.chain != row.chain), key=lambda gain: len(gain.steps), default=None)


def _sentence(one: Against, row: ResultRow, level: float, learned: ResultRow | None) -> str:
    estimate = row.estimate
    if math.isnan(estimate.value):
        whether = f"Whether {row.variant} forgot more of {row.task} than {row.reference_variant} after {row.chain}"
        return f"{whether} is unknown: {estimate.reason}."
    if estimate.is_shown(level):
        size = changes_in(row.unit).text(-estimate if estimate.value < 0 else estimate, level=level, sign=False)
        how = "more" if estimate.value > 0 else "less"
        text = f"After {row.chain}, {row.variant} forgot {how} of {row.task} than {row.reference_variant}: {size}"
    else:
        size = changes_in(row.unit).text(estimate, level=level)
        text = (
            f"After {row.chain} no difference in forgetting of {row.task} between {row.variant} and "
            f"{row.reference_variant} is shown: {size}"
        )
    before = "" if learned is None else _at_learning(learned, level, lost=estimate)
    left_out = f" {_left_out(row)}" if row.verdict_reason else ""
    gains = "".join(_at_gain(gain, level) for gain in one.gained)
    return f"{text}{gains}.{before}{''.join(_groups(one, row, level))}{left_out}"


def _left_out(row: ResultRow) -> str:
    """How many examples lack a score, and what the interval makes of them."""
    open_ended = math.isnan(row.estimate.low)
    what = (
        f"no interval: {row.estimate.reason}" if open_ended else "intervals have them at their best and at their worst"
    )
    return f"Left out of the estimate: {row.verdict_reason}; {what}."


def _at_learning(row: ResultRow, level: float, *, lost: Estimate) -> str:
    """Whether a variant had learned as much of what it then forgot: less can be lost of less."""
    than = than_first(row, level)
    if than == "equal" or (than == "open" and not lost.is_shown(level)):
        return ""
    size = changes_in(row.unit).text(row.estimate, level=level)
    if than == "open":
        return f" Whether it had learned as much of {row.task} before is open: {size}."
    return f" It had learned {than} of {row.task} before: {size}; what was not learned cannot be forgotten."


def _at_gain(row: ResultRow, level: float) -> str:
    size = changes_in(row.unit).text(row.estimate, level=level)
    how = {
        "equal": f", at equal gain in {row.task}",
        "more": f", and it gained more in {row.task}",
        "less": f", and it gained less in {row.task}",
        "open": f"; whether it gained as much in {row.task} is open",
    }[than_first(row, level)]
    return f"{how}: {size}"


def _groups(one: Against, row: ResultRow, level: float) -> Iterator[str]:
    """Sentences on the groups on which more or less of the forgetting falls, where that is shown."""
    for group in one.notable(row.task, level):
        if group.estimate.is_shown(level):
            how = "more" if group.estimate.value > 0 else "less"
            size = changes_in(group.unit).text(group.estimate, level=level)
            yield f" {how.capitalize()} of it falls on {joint_name(group)} ({group.dimension}): {size}."
