"""What a report says of the stages that other programs trained."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# Of one stage in a `provenance.json`.
EXTERNAL = {**dict.fromkeys(("task", "path", "command"), str), "content": {"*": str}}


def external_stages(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name -> what is known of each stage that another program trained; none where nothing is said of them."""
    stages: Mapping[str, Any] = provenance.get("external", {})
    return stages


def external_lines(about: Mapping[str, Any]) -> Iterator[str]:
    """What is known of such a stage, a line each."""
    yield "trained elsewhere, by a recipe that is not known here"
    if about["task"]:
        yield f"task {about['task']}"
    if about["command"]:
        yield f"command: {about['command']}"
    else:
        yield f"checkpoint {about['path']}"
    for name, digest in about["content"].items():
        yield f"{name}: content {digest[:16]}"


def external_sentence(stages: Iterable[str], steps: Sequence[str]) -> str:
    """A sentence on the steps of a chain that were trained elsewhere; empty where none was."""
    named = [f"'{step}'" for step in steps if step in set(stages)]
    if not named:
        return ""
    which = f"The stage {named[0]} was" if len(named) == 1 else f"The stages {', '.join(named)} were"
    return f"{which} trained elsewhere, by a recipe that is not known here."
