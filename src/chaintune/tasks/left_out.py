"""Rows that a reader leaves out of a published data set, counted and logged."""

import logging
from collections import Counter
from collections.abc import Sequence

from chaintune.files.rows import SHOWN_PROBLEMS, grouped
from chaintune.records import Example
from chaintune.tasks.definition import Pool

log = logging.getLogger(__name__)
DEFECTIVE = "choices that read the same or are blank"
REPEATED = "the text of another row"


def note_left_out(task: str, left_out: Counter[str], total: int, notes: Sequence[str] = ()) -> str:
    """Log the rows that were left out; the same as the end of a task's source, empty when there is nothing to say.

    Args:
        task: name for the warning.
        left_out: reason -> rows.
        total: rows as published.
        notes: what else was made of the data.
    """
    sentences = list(notes)
    if left_out.total():
        reasons = ", ".join(f"{count:,} with {reason}" for reason, count in sorted(left_out.items()))
        sentences.append(f"left out {left_out.total():,} of {total:,} rows: {reasons}")
    for note in sentences:
        log.warning("task '%s': %s", task, note)
    return "".join(f"; {note}" for note in sentences)


def note_unusable(problems: Sequence[str], left_out: Counter[str]) -> None:
    """Count rows that cannot be used, by the sentence that says why, with the places of some."""
    sentences = grouped(problems)
    for sentence, count in sentences[:SHOWN_PROBLEMS]:
        left_out[f"a fault ({sentence})"] += count
    if rest := sum(count for _, count in sentences[SHOWN_PROBLEMS:]):
        left_out["another fault"] += rest


def without_repeats(
    examples: Sequence[Example], left_out: Counter[str], *, tested: Sequence[Example] = ()
) -> list[Example]:
    """The first example of each id, without those that are tested: what is tested is not taught."""
    seen = {example.id for example in tested}
    kept = []
    for example in examples:
        if example.id in seen:
            left_out[REPEATED] += 1
            continue
        seen.add(example.id)
        kept.append(example)
    return kept


def distinct_pool(task: str, examples: Sequence[Example], source: str) -> Pool:
    """Examples without a split of their own, each once; the source tells how many were left out."""
    left_out: Counter[str] = Counter()
    kept = without_repeats(examples, left_out)
    return Pool(kept, None, source + note_left_out(task, left_out, len(examples)))
