"""The labels of a chain's steps, read back.

`bbq` is a stage on a task, `bbq@5%` one on a dose of it, `csqa with ewc 100` one with a mitigation in it, `bbq+csqa`
one on two tasks at once; `50% back to bbq` is a blend and teaches nothing.
"""

import re
from collections.abc import Sequence

_NAME = "[A-Za-z0-9][A-Za-z0-9_-]*"
_STAGE = re.compile(rf"(?P<task>{_NAME})(?P<dose>@.*)?(?P<held> with .*)?")
_JOINT = re.compile(rf"{_NAME}(\+{_NAME})+")


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


def tasks_at(step: str) -> list[str]:
    """Tasks that a step teaches whole: one, several at once, or none."""
    return step.split("+") if _JOINT.fullmatch(step) else [name for name in (learned(step),) if name]


def tasks_of(chain: Sequence[str]) -> list[str]:
    """Tasks that a chain teaches whole, alone or with others, in order, each once."""
    return list(dict.fromkeys(task for step in chain for task in tasks_at(step)))
