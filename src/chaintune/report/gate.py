"""What a policy says: a sentence, a table, and JUnit XML for dashboards."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from xml.etree import ElementTree as Xml

from chaintune.records import Estimate, Gate, Judgement
from chaintune.records.amounts import is_share
from chaintune.records.scales import PERCENT, changes_in, rounded_up, units_in_words
from chaintune.report.cells import Table

# What XML 1.0 cannot hold, not even escaped.
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_HEADER = ("task", "group", "measure", "budget", "value", "more", "why")


def gate_sentence(gate: Gate) -> str:
    """The answer in a sentence, and what it rests on."""
    blocking = [judgement for judgement in gate.judgements if judgement.tier == "block"]
    if not blocking:
        exceeded = sum(judgement.answer == "fail" for judgement in gate.judgements)
        others = f"of {len(gate.judgements)} that do not block, {exceeded or 'none'} exceeded"
        return f"{gate.answer.upper()}: no budget is blocking; {others}."
    counts = {
        name: sum(judgement.answer == name for judgement in blocking) for name in ("fail", "inconclusive", "missing")
    }
    answers = {"fail": "exceeded", "inconclusive": "not decided by these data", "missing": "about something missing"}
    parts = [f"{count} {answers[name]}" for name, count in counts.items() if count]
    of = f"of {len(blocking)} blocking budgets " if len(blocking) != 1 else "of one blocking budget "
    answer = f"{gate.answer.upper()}: {of}{', '.join(parts) if parts else 'all are kept'}."
    return " ".join([answer, *_too_small(blocking)])


def _too_small(judgements: Sequence[Judgement]) -> Iterator[str]:
    """Of budgets that mostly would not be kept if nothing were lost: what they need, a sentence for each."""
    by_budget: dict[tuple[str, ...], list[Judgement]] = {}
    for one in judgements:
        if one.examples_needed is not None and one.least_budget > one.budget:
            by_budget.setdefault((one.task, one.dimension, one.statistic, _budget(one)), []).append(one)
    for (task, dimension, statistic, _), of in by_budget.items():
        one = max(of, key=lambda each: each.least_budget)
        there = [each.examples or 0 for each in of]
        sizes = f"{min(there):,}" + (f" to {max(there):,}" if min(there) < max(there) else "")
        needed = f"about {rounded_up(max(each.examples_needed or 0 for each in of)):,} examples"
        what = f"{statistic.replace('_', ' ').capitalize()} of {task}{f' by {dimension}' if dimension else ''}"
        limit, enough = _in_words(one), _in_words(replace(one, budget=_up(one)))
        if dimension:
            yield (
                f"{what}, at most {limit}: to pass when nothing is lost, these budgets need {needed} a group (here "
                f"{sizes}); raise them to {enough}, or ask the whole task."
            )
        else:
            yield (
                f"{what}, at most {limit}: to pass when nothing is lost, this budget needs {needed} (here {sizes}); or "
                f"raise it to {enough}."
            )


def _up(judgement: Judgement) -> float:
    """The least budget, rounded up to a whole percent where it is a share."""
    if judgement.relative or is_share(judgement.unit):
        return math.ceil(100 * judgement.least_budget - 1e-9) / 100
    return judgement.least_budget


def gate_table(gate: Gate) -> Table:
    """One row a judgement, those that need attention first."""
    order = {"fail": 0, "missing": 1, "inconclusive": 2, "pass": 3}
    rows = sorted(gate.judgements, key=lambda judgement: (order[judgement.answer], judgement.tier != "block"))
    pairs = {(row.start, row.end) for row in rows}
    several = any(end for _, end in pairs)
    divided = f" A budget counts as exceeded at the error rate divided by {len(pairs)} pairs of checkpoints."
    return Table(
        f"Budgets of {gate.policy}",
        f"In {units_in_words(row.unit for row in rows)}. Pass: the whole interval lies within the budget; fail: wholly "
        "beyond it. A relative budget is a share of the score before, and the number is what is left after subtracting "
        "it. More: about how many more examples, in clusters like these, would decide with 80 % power."
        + (divided if len(pairs) > 1 else ""),
        ("answer", "tier", *(("from", "to") if several else ()), *_HEADER),
        tuple(_cells(judgement, several) for judgement in rows),
    )


def junit_xml(gate: Gate) -> str:
    """JUnit XML: a test case a judgement; a blocking one fails, or errs when it is not decided, others are skipped."""
    suite = Xml.Element("testsuite", name=_xml(gate.policy), tests=str(len(gate.judgements)))
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for judgement in gate.judgements:
        case = Xml.SubElement(suite, "testcase", classname=_xml(judgement.task), name=_xml(_title(judgement)))
        outcome = _outcome(judgement)
        if outcome:
            counts[outcome] += 1
            message = f"{judgement.tier}, {judgement.answer}: {_value(judgement)}; {judgement.reason}"
            Xml.SubElement(case, outcome, message=_xml(message))
    for name, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(counts[name]))
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _outcome(judgement: Judgement) -> str:
    if judgement.answer == "pass":
        return ""
    if judgement.tier != "block":
        return "skipped"
    return "failure" if judgement.answer == "fail" else "error"


def _title(judgement: Judgement) -> str:
    whom = f" of {judgement.dimension}={judgement.group}" if judgement.group else ""
    over = f" over {judgement.dimension}" if judgement.dimension and not judgement.group else ""
    between = f", {judgement.start} to {judgement.end}" if judgement.end else ""
    return f"{judgement.statistic.replace('_', ' ')}{whom}{over} at most {_budget(judgement)}{between}"


def _cells(judgement: Judgement, several: bool) -> tuple[str, ...]:
    group = f"{judgement.dimension}: {judgement.group}" if judgement.group else judgement.dimension
    more = f"{judgement.more_examples:,}" if judgement.more_examples is not None else ""
    return (
        judgement.answer.upper(),
        judgement.tier,
        *((judgement.start, judgement.end) if several else ()),
        judgement.task,
        group,
        judgement.statistic.replace("_", " "),
        _budget(judgement),
        _value(judgement),
        more,
        judgement.reason,
    )


def _budget(judgement: Judgement) -> str:
    if judgement.relative:
        return f"{PERCENT.exact(judgement.budget)} of before"
    return changes_in(judgement.unit).exact(judgement.budget, named=False)


def _in_words(judgement: Judgement) -> str:
    """The budget with its unit."""
    return _budget(judgement) if judgement.relative else changes_in(judgement.unit).exact(judgement.budget)


def _value(judgement: Judgement) -> str:
    estimate = Estimate(judgement.value, judgement.low, judgement.high)
    return changes_in(judgement.unit).short(estimate, named=True)


def _xml(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
