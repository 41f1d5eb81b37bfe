"""Tasks from the options of a command: names, sizes, and keys of a study file."""

from collections.abc import Sequence

from chaintune.config.source import KeyPath, Source, apply_override, plain_mapping
from chaintune.errors import ConfigError, nearest
from chaintune.records import Task
from chaintune.study.schema import TaskSpec, check_tasks
from chaintune.study.task_spec import check_data, load_spec
from chaintune.tasks.sources import source_kind


def tasks_from_options(
    names: Sequence[str], *, sizes: Sequence[str] = (), seed: int = 0, overrides: Sequence[str] = ()
) -> list[Task]:
    """The tasks of these names, to be scored on.

    Args:
        names: of known tasks, `lm_eval:NAME`, or new ones whose data `overrides` describe.
        sizes: `SIZE` for every task or `TASK=SIZE` for one, such as `200` or `bbq=40 per category`; later ones win.
        seed: of the split and of the samples.
        overrides: `tasks.NAME.KEY=VALUE`, the keys of a task in a study file.

    Raises:
        ConfigError: an invalid value; the message names each, with its option.
        DataError: a task's data cannot be loaded.
    """
    source = plain_mapping({"tasks": {name: {"seed": seed} for name in names}}, "options")
    for text in sizes:
        _set_size(text, names, source)
    for text in overrides:
        apply_override(source, text)
    if not isinstance(source.data["tasks"], dict):
        raise ConfigError(f"--set tasks={source.data['tasks']}: expected tasks.NAME.KEY=VALUE")
    _check_keys(names, source)
    for name, written in source.data["tasks"].items():
        if isinstance(written, dict) and source_kind(name, written) != "known":
            written.setdefault("role", "safety")  # nothing is taught, so the role decides nothing
    specs = check_tasks(source)
    for name, spec in specs.items():
        if spec is not None:
            check_data(spec, name, source)
    source.stop_if_wrong()
    return [load_spec(name, specs[name] or TaskSpec()) for name in names]


def _set_size(text: str, names: Sequence[str], source: Source) -> None:
    task, equals, size = (part.strip() for part in text.rpartition("="))
    if equals and task not in names:
        raise ConfigError(f"--test {text}: '{task}' is none of the tasks; {nearest(task, names)}")
    for name in [task] if equals else names:
        at: KeyPath = ("tasks", name, "test")
        source.data["tasks"][name]["test"] = size
        source.places[at] = f"--test {text}"


def _check_keys(names: Sequence[str], source: Source) -> None:
    """Refuse keys of a study file that are no task's, and tasks that are not scored on."""
    for key in source.data.keys() - {"tasks"}:
        source.report((key,), "only keys of tasks can be set here, as tasks.NAME.KEY=VALUE")
    for name in source.data["tasks"].keys() - set(names):
        source.report(("tasks", name), f"'{name}' is none of the tasks that are scored; {nearest(name, names)}")
