"""The names of tasks: built in, or offered by an installed package."""

from chaintune.errors import DataError, nearest
from chaintune.registry import Registry
from chaintune.tasks.definition import TaskDefinition

TASKS = Registry(
    "task",
    "chaintune.tasks",
    TaskDefinition,
    {
        "arc_challenge": "chaintune.tasks.arc:CHALLENGE",
        "arc_easy": "chaintune.tasks.arc:EASY",
        "bbq": "chaintune.tasks.bbq:TASK",
        "bold": "chaintune.tasks.bold:TASK",
        "crows_pairs": "chaintune.tasks.crows_pairs:TASK",
        "csqa": "chaintune.tasks.csqa:TASK",
        "csqa2": "chaintune.tasks.csqa2:TASK",
        "do_not_answer": "chaintune.tasks.do_not_answer:TASK",
        "dolly": "chaintune.tasks.dolly:TASK",
        "gsm8k": "chaintune.tasks.gsm8k:TASK",
        "hh_rlhf": "chaintune.tasks.hh_rlhf:TASK",
        "openbookqa": "chaintune.tasks.openbookqa:TASK",
        "safer_dialogues": "chaintune.tasks.safer_dialogues:TASK",
        "stereoset": "chaintune.tasks.stereoset:TASK",
        "toxigen": "chaintune.tasks.toxigen:TASK",
        "toxigen_prompts": "chaintune.tasks.toxigen_prompts:TASK",
        "ultrafeedback": "chaintune.tasks.ultrafeedback:TASK",
        "xstest": "chaintune.tasks.xstest:TASK",
    },
)


def names() -> tuple[str, ...]:
    """Every task that can be loaded by name, sorted."""
    return tuple(sorted(TASKS.names))


def definition(name: str) -> TaskDefinition:
    """The definition of a task.

    Raises:
        ConfigError: a package offers something else under this name.
        DataError: no task has this name.
    """
    if name not in TASKS.names:
        raise DataError(
            f"task '{name}' is not known; {nearest(name, names())}; a file of your own is a task by "
            "tasks.NAME.path=FILE in a study file or after --set of score and audit, in Python by "
            "chaintune.tasks.load(name, path=...)"
        )
    return TASKS.get(name)


def is_offensive(name: str) -> bool:
    """Whether a task is known to be full of slurs or hate; False also where that is not stated."""
    return name in TASKS.names and definition(name).offensive
