"""Whether two logs of one task may be compared, and why not."""

from collections.abc import Iterator

import pyarrow.compute as pc

from chaintune.logs.log import Log

_NAMED = 3


def objections(before: Log, after: Log) -> list[str]:
    """The reasons why two logs should not be compared; empty when there are none.

    Facts of one side only are ignored. Models and tokenizers may differ; the questions may not.

    Args:
        before: the log of the earlier checkpoint.
        after: the log of the later one.
    """
    reasons = [f"{side}, {doubt}" for side, log in (("before", before), ("after", after)) for doubt in log.doubts]
    for name, known in before.facts.items():
        other = after.facts.get(name, known)
        if other != known:
            reasons.append(f"{name} is {known} before and {other} after")
    for name in before.digests:
        if name in after.digests:
            reasons += _differing(before, after, name)
    if before.content and after.content and before.content != after.content and _same_ids(before, after):
        reasons.append("the examples have the same ids but not the same content")
    return reasons


def _differing(before: Log, after: Log, name: str) -> Iterator[str]:
    """A sentence if the digests of that name differ for some examples."""
    ids, other_ids = (log.scores.table.column("example_id").combine_chunks() for log in (before, after))
    one, other = before.digests[name], after.digests[name]
    if not ids.equals(other_ids):
        other = other.take(pc.index_in(ids, value_set=other_ids))
    compared = pc.not_equal(one, other)
    shared = len(compared) - compared.null_count
    differing = ids.filter(pc.fill_null(compared, False))
    if len(differing):
        some = ", ".join(f"'{key}'" for key in differing[:_NAMED].to_pylist())
        some += ", ..." if len(differing) > _NAMED else ""
        yield f"the {name} differs in {len(differing)} of {shared} examples ({some})"


def _same_ids(before: Log, after: Log) -> bool:
    return before.scores.example_ids == after.scores.example_ids
