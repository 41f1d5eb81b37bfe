"""Whether two logs of one task may be compared, and why not."""

from chaintune.interop.log import Log

_NAMED = 3


def objections(before: Log, after: Log) -> list[str]:
    """Why two logs should not be compared; nothing when nothing speaks against it.

    What is known of one side only says nothing. Models and tokenizers may differ; the questions may not.

    Args:
        before: the log of the earlier checkpoint.
        after: the log of the later one.
    """
    found = [f"{side}, {doubt}" for side, log in (("before", before), ("after", after)) for doubt in log.doubts]
    for name, known in before.facts.items():
        other = after.facts.get(name, known)
        if other != known:
            found.append(f"{name} is {known} before and {other} after")
    for name, digests in before.digests.items():
        others = after.digests.get(name, {})
        differing = [key for key, digest in digests.items() if others.get(key, digest) != digest]
        if differing:
            some = ", ".join(f"'{key}'" for key in differing[:_NAMED]) + (", ..." if len(differing) > _NAMED else "")
            shared = sum(key in others for key in digests)
            found.append(f"the {name} differs in {len(differing)} of {shared} examples ({some})")
    if before.content and after.content and before.content != after.content and _same_ids(before, after):
        found.append("the examples have the same ids but not the same content")
    return found


def _same_ids(before: Log, after: Log) -> bool:
    return before.scores.example_ids == after.scores.example_ids
