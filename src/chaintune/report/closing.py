"""A study in a few sentences: what was found for the order of its tasks, groups, variants, and what brings back."""

from collections.abc import Sequence

from chaintune.records import ResultRow
from chaintune.records.examples import LABEL
from chaintune.records.results import VARIANT_METRICS
from chaintune.report.cells import joint_name
from chaintune.report.forgetting_words import group_sentences
from chaintune.report.recovery_words import recovery_text
from chaintune.report.results import Results
from chaintune.report.words import order_sentence


def closing(results: Results) -> list[str]:
    """A sentence on each question, of the safety tasks of a study, or of all where it has none.

    Of several comparisons of one kind it is counted how many show something; a single one is told. Where nothing was
    asked, as of groups where there are none, there is no sentence.
    """
    safety = {name for name, about in results.provenance.get("tasks", {}).items() if about["role"] == "safety"}
    shown = [row for row in results.shown if not safety or row.task in safety]
    plain = [row for row in results.plain if not safety or row.task in safety]
    # Where there are others too, a count says which tasks it is of: what stands above it tells of all.
    kind = "task" if len(shown) == len(results.shown) else "safety task"
    found = (
        _order(shown, results, kind),
        _groups(plain, results, kind),
        _variants(shown, results, kind),
        _brought_back(shown, results),
    )
    return list(filter(None, found))


def _order(rows: Sequence[ResultRow], results: Results, kind: str) -> str:
    effects = [row for row in rows if row.metric == "order_effect" and row.is_whole]
    if len(effects) == 1:
        return f"Order: {order_sentence(effects[0], results.level)}"
    better, worse = _sides(effects, results.level)
    text = (
        f"Order: a {kind} is shown to end better where it is tuned last in {better} of {len(effects)} comparisons of "
        f"two orders, and worse in {worse}."
    )
    return text if effects else ""


def _groups(rows: Sequence[ResultRow], results: Results, kind: str) -> str:
    """On the first dimension of each task, which is the one that its sizes name."""
    apart = [row for row in rows if row.metric == "biased_forgetting" and row.dimension != LABEL and joint_name(row)]
    firsts = {task: next(row.dimension for row in apart if row.task == task) for task in {row.task for row in apart}}
    apart = [row for row in apart if row.dimension == firsts[row.task]]
    if len({row.key for row in apart}) == 1:
        sentences = group_sentences(apart, apart[0].dimension, rows, level=results.level)
        return f"Groups: {sentences[0]}"
    more, less = _sides(apart, results.level)
    text = (
        f"Groups: a group is shown to lose more than its whole {kind} in {more} of {len(apart)} comparisons, and less "
        f"in {less}."
    )
    return text if apart else ""


def _variants(rows: Sequence[ResultRow], results: Results, kind: str) -> str:
    differences = [row for row in rows if row.metric == VARIANT_METRICS[0] and row.is_whole]
    more, less = _sides(differences, results.level)
    if not differences:
        return ""
    return (
        f"Variants: more of a {kind} is shown to be forgotten than with {differences[0].reference_variant} in {more} "
        f"of {len(differences)} comparisons, and less in {less}."
    )


def _brought_back(rows: Sequence[ResultRow], results: Results) -> str:
    known = [row for row in rows if row.metric == "recovery" and row.is_whole]
    if len(known) == 1:
        (mitigation,) = {row.mitigation for row in known}
        return f"{mitigation.capitalize()}: {recovery_text(known[0], results.shown, level=results.level)}"
    back = sum(row.estimate.low > 0 for row in known)
    return f"Brought back: a recovery is shown for {back} of {len(known)} mitigated chains." if known else ""


def _sides(rows: Sequence[ResultRow], level: float) -> tuple[int, int]:
    """How many differences are shown to lie above 0, and how many below."""
    values = [row.estimate.value for row in rows if row.estimate.is_shown(level)]
    above = sum(value > 0 for value in values)
    return above, len(values) - above
