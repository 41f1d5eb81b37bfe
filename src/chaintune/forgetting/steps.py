"""The labels of a chain's steps, read back.

`bbq` is a stage on a task, `bbq@5%` one on a dose of it, `csqa with ewc 100` one with a mitigation in it, `bbq+csqa`
one on two tasks at once; `50% back to bbq` is a blend and teaches nothing.
"""

import re
from collections.abc import Sequence

_STAGE = re.compile(r"(?P<task>[A-Za-z0-9][A-Za-z0-9_-]*)(?P<dose>@.*)?(?P<held> with .*)?")


def is_plain(step: str) -> bool:
    """Whether a step is an ordinary stage on the whole of a task."""
    return task_of(step) == step


def is_replay(step: str) -> bool:
    """Whether a step is a stage on a dose of a task's data, as `bbq@5%` is."""
    found = _STAGE.fullmatch(step)
    return found is not None and found["dose"] is not None and found["held"] is None


def task_of(step: str) -> str:
    """The one task that a step teaches or replays; empty where it teaches none or several."""
    found = _STAGE.fullmatch(step)
    return found["task"] if found else ""


def learned(step: str) -> str:
    """The task that a step teaches whole; empty where it teaches none, several, or a dose of one."""
    return "" if is_replay(step) else task_of(step)


def is_learned_at(step: str, task: str) -> bool:
    """Whether a step teaches the whole of a task, alone or with others."""
    return task == learned(step) or task in step.split("+")


def tasks_of(chain: Sequence[str]) -> list[str]:
    """Tasks that a chain teaches whole, alone or with others, in order, each once."""
    names = [name for step in chain for name in (step.split("+") if "+" in step else [learned(step)])]
    return list(dict.fromkeys(filter(None, names)))
