"""Tasks of a study file and of a command's options: checked before anything is read, then loaded."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaintune import tasks
from chaintune.config.source import KeyPath, Source, apply_override, as_plain, plain_mapping
from chaintune.config.validation import check, check_distinct
from chaintune.errors import ConfigError, nearest
from chaintune.files.reading import user_path
from chaintune.records import ScorerRef, Task
from chaintune.records.generation import GENERATION, function_of
from chaintune.scoring.measures import MEASURES
from chaintune.scoring.scorers import SCORERS
from chaintune.study.schema import TaskSpec, check_tasks
from chaintune.study.suite import read_suite
from chaintune.tasks.chat import RunMode, asked, is_template_name, read_template
from chaintune.tasks.registry import names as known_tasks
from chaintune.tasks.sizes import NONE
from chaintune.tasks.sources import KNOWN, refusals, source_kind

PATHS = ("path", "test_path", "include_path", "chat_template", "labels")
ELSEWHERE = "a 'hub' data set or an 'lm_eval' task"


def check_data(spec: TaskSpec, name: str, source: Source) -> None:
    """Note the options that do not go together, each under its own key."""
    at: KeyPath = ("tasks", name)
    options, known = spec.data(), known_tasks()
    _check_measure(spec, at, source)
    _check_scorers(spec, at, source)
    if source_kind(name, options) == KNOWN and name not in known and not spec.use:
        meant = nearest(name, known)
        source.report(at, f"no task is known as '{name}' and no 'path' is given; {meant}; or name {ELSEWHERE}")
        return
    for key, reason in refusals(name, spec.role, options, taught=spec.is_taught):
        source.report((*at, key), reason)


def _check_measure(spec: TaskSpec, at: KeyPath, source: Source) -> None:
    """Note measures that do not exist, and item metrics that none of them, or of all where none is named, has."""
    unknown = [name for name in spec.measure if name not in MEASURES.names]
    for name in unknown:
        source.report((*at, "measure"), f"no measure is known as '{name}'; {nearest(name, MEASURES.names)}")
    if unknown:
        return
    known = [metric.name for name in spec.measure or MEASURES.names for metric in MEASURES.get(name).metrics]
    known += [function_of(ref.name)[1] or ref.name for ref in spec.scorer] or SCORERS.names
    for name in spec.metric:
        if name not in ("auto", *known):
            source.report((*at, "metric"), f"no metric is known as '{name}'; {nearest(name, known)}")
    check_distinct(spec.measure, (*at, "measure"), source)
    check_distinct(spec.metric, (*at, "metric"), source)


def _check_scorers(spec: TaskSpec, at: KeyPath, source: Source) -> None:
    """Note scorers that do not exist or are named twice, settings that they do not have, and scorers of no texts."""
    for index, ref in enumerate(spec.scorer):
        several = (*at, "scorer", 0) in source.places
        place: KeyPath = (*at, "scorer", index) if several else (*at, "scorer")
        if ref.name in [one.name for one in spec.scorer[:index]]:
            source.report(place, f"scorer '{ref.name}' is named twice; give what differs a task of its own")
        if function_of(ref.name)[1]:
            continue  # its file is read with the task's data
        try:
            settings = SCORERS.get(ref.name).settings
        except ConfigError as error:
            source.report(place, f"{error}; or FILE.py:function for one of your own")
            continue
        check(settings, dict(ref.settings), (*place, ref.name), source)
    if spec.scorer and spec.measure and GENERATION not in spec.measure:
        source.report((*at, "scorer"), "judges texts that are written; add 'generation' to the task's measures")


def with_paths(spec: TaskSpec, name: str, source: Source) -> TaskSpec:
    """The task with its paths in full: one of a file starts at its folder, one of an override at the current folder."""
    written = {key: path for key in PATHS if (path := getattr(spec, key)) is not None}
    folders = {key: folder_of(("tasks", name, key), source) for key in written}
    if spec.chat_template and is_template_name(spec.chat_template, folders["chat_template"]):
        del written["chat_template"]
    full: dict[str, Any] = {key: str((folders[key] / user_path(path)).absolute()) for key, path in written.items()}
    folder = folder_of(("tasks", name, "scorer"), source)
    if spec.scorer:
        full["scorer"] = [_in_full(ref, folder) for ref in spec.scorer]
    return spec.model_copy(update=full)


def _in_full(ref: ScorerRef, folder: Path) -> ScorerRef:
    file, function = function_of(ref.name)
    model = ref.settings.get("model")
    if isinstance(model, str) and os.path.exists(path := folder / user_path(model)):  # noqa: PTH110 - of any name
        ref = replace(ref, settings={**ref.settings, "model": str(path.absolute())})
    return replace(ref, name=f"{(folder / user_path(file)).absolute()}:{function}") if function else ref


def folder_of(at: KeyPath, source: Source) -> Path:
    """The folder at which a path starts that stands at a key."""
    return Path() if isinstance(source.places.get(at), str) else source.folder


def load_spec(
    name: str,
    spec: TaskSpec,
    *,
    chat: RunMode = "auto",
    trust_remote_code: bool = False,
    allow_overlap: bool = False,
    ask_train: bool = False,
) -> Task:
    """The task that a study file describes; of one that is asked both ways the examples as their data holds them.

    Args:
        name: of the task.
        spec: as it stands in the file.
        chat: how it is asked where the file says nothing of this task.
        trust_remote_code: run Python code that the file names.
        allow_overlap: take data of the user's own whose train and test splits share examples.
        ask_train: the training examples are those that are asked.

    Raises:
        ConfigError: it names Python code, which is not to be run.
        DataError: its data cannot be loaded.
    """
    if spec.include_path and not trust_remote_code:
        raise ConfigError(
            f"task '{name}': include_path names task files, {spec.include_path}, and these may run any Python code; "
            "where you trust them, --trust-remote-code lets run, score, audit and mitigate read them; nothing else does"
        )
    mode = spec.chat or (None if chat == "auto" else chat)
    one_way: dict[str, Any] = {"chat": mode, "system": spec.system, "chat_template": spec.chat_template}
    asking = ({} if mode == "both" else one_way) | ({"ask_train": True} if ask_train else {})
    return tasks.load(
        name,
        role=spec.role,
        train=spec.train,
        test=spec.test,
        seed=spec.seed,
        only=spec.only,
        test_share=spec.test_share,
        measure=spec.measure,
        metric=spec.metric,
        labelling=spec.labelling,
        special_tokens=spec.special_tokens,
        margin=spec.margin,
        labels=spec.labels,
        scorers=[replace(ref, trusted=trust_remote_code) for ref in spec.scorer],
        generation=spec.generation(),
        allow_overlap=allow_overlap,
        **asking,
        **spec.data(),
    )


def both_ways(loaded: Mapping[str, Task], specs: Mapping[str, TaskSpec], chat: RunMode = "auto") -> dict[str, Task]:
    """The tasks by name, and the other way of each that is asked both ways right behind it.

    Args:
        loaded: name -> task, as `load_spec` gives it.
        specs: name -> as it stands in the file.
        chat: how a task is asked where the file says nothing of it.

    Raises:
        ConfigError: the other way has the name of another task.
    """
    ways: dict[str, Task] = {}
    for name, task in loaded.items():
        spec = specs[name]
        if (spec.chat or chat) != "both":
            ways[name] = task
            continue
        template = read_template(spec.chat_template, f"task '{name}'") if spec.chat_template else ""
        for way in asked(task, "both", system=spec.system, template=template):
            if way.other_way_of and way.name in loaded:
                raise ConfigError(f"task '{name}' asked the other way is named '{way.name}', as another task is")
            ways[way.name] = way
    return ways


def tasks_from_options(
    names: Sequence[str],
    *,
    suite: str = "",
    sizes: Sequence[str] = (),
    train: Sequence[str] = (),
    seed: int = 0,
    overrides: Sequence[str] = (),
    chat: RunMode = "auto",
    trust_remote_code: bool = False,
) -> list[Task]:
    """The tasks of these names, to be scored on; those that are asked both ways with the other way behind them.

    Args:
        names: of known tasks, `lm_eval:NAME`, or new ones whose data `overrides` describe; with a suite, of some of its
            tasks, and none for all that it tests.
        suite: a shipped suite, or a file with the `tasks` of a study file.
        sizes: `SIZE` for every task or `TASK=SIZE` for one, such as `200` or `bbq=40 per category`; later ones win.
        train: sizes of the train splits in the same way, where their examples are to be scored and not the tested ones.
        seed: of the split and of the samples, where a suite says none.
        overrides: `tasks.NAME.KEY=VALUE`, the keys of a task in a study file.
        chat: how tasks are asked, where neither the suite nor the overrides say it.
        trust_remote_code: run Python code that they name.

    Raises:
        ConfigError: an invalid value; the message names each, with its option or its line.
        DataError: a task's data cannot be loaded.
    """
    if not names and not suite:
        raise ConfigError("no task is named; name tasks by --task, or a file of tasks or a suite by --tasks")
    source = read_suite(suite) if suite else plain_mapping({"tasks": {name: {} for name in names}}, "options")
    allow_overlap = source.data.pop("allow_overlap", False) is True
    written = source.data["tasks"]
    for name in names:
        if name not in written:
            raise ConfigError(f"--task {name}: {source.name} has no such task; {nearest(name, written)}")
    for text in sizes:
        _set_size(text, "test", names or _tested(written), source)
    for text in train:
        _set_size(text, "train", names or list(written), source)
    for text in overrides:
        apply_override(source, text)
    if not isinstance(source.data["tasks"], dict):
        raise ConfigError(f"--set tasks={source.data['tasks']}: expected tasks.NAME.KEY=VALUE")
    names = names or ([*source.data["tasks"]] if train else _tested(source.data["tasks"]))
    _check_keys(names, source)
    source.data["tasks"] = {name: source.data["tasks"][name] for name in dict.fromkeys(names)}
    for name, task in source.data["tasks"].items():
        if isinstance(task, dict):
            task.setdefault("seed", seed)
            if source_kind(name, task) != KNOWN:
                task.setdefault("role", "safety")  # nothing is taught, so the role decides nothing
    specs = check_tasks(source)
    if suite:
        specs = {name: spec and with_paths(spec, name, source) for name, spec in specs.items()}
    for name, spec in specs.items():
        if spec is not None:
            check_data(spec, name, source)
            if not (spec.is_taught if train else spec.is_tested):
                split = "train" if train else "test"
                source.report(("tasks", name, split), "'none' leaves nothing to score; give it a size")
    source.stop_if_wrong()
    if len(known := {name: specs[name] or TaskSpec() for name in names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"task '{twice}' is named twice; name each task once")
    how: dict[str, Any] = {"chat": chat, "trust_remote_code": trust_remote_code, "allow_overlap": allow_overlap}
    loaded = {name: load_spec(name, own, ask_train=bool(train), **how) for name, own in known.items()}
    return list(both_ways(loaded, known, chat).values())


def suite_settings(suite: str) -> dict[str, Any]:
    """The keys of a study file that a suite or a file of tasks has, checked, with the paths of its tasks in full.

    Raises:
        ConfigError: an invalid value; the message names each, with its line.
    """
    source = read_suite(suite)
    specs = {name: spec for name, spec in check_tasks(source).items() if spec is not None}
    for name, spec in specs.items():
        check_data(spec, name, source)
    source.stop_if_wrong()
    full = {name: with_paths(spec, name, source) for name, spec in specs.items()}
    own = {name: as_plain(spec.model_dump(exclude_unset=True, exclude_none=True)) for name, spec in full.items()}
    return source.data | {"tasks": own}


def _tested(written: Mapping[str, Any]) -> list[str]:
    return [name for name, task in written.items() if not isinstance(task, Mapping) or task.get("test") != NONE]


def _set_size(text: str, split: str, names: Sequence[str], source: Source) -> None:
    """Set the size of the task that an option names, or of each of these."""
    written = source.data["tasks"]
    task, equals, size = (part.strip() for part in text.rpartition("="))
    if equals and task not in written:
        raise ConfigError(f"--{split} {text}: '{task}' is none of the tasks; {nearest(task, written)}")
    for name in [task] if equals else names:
        at: KeyPath = ("tasks", name, split)
        if isinstance(written[name], dict):
            written[name][split] = size
            source.places[at] = f"--{split} {text}"


def _check_keys(names: Sequence[str], source: Source) -> None:
    """Refuse keys of a study file that are no task's, and options of tasks that are not scored on."""
    for key in source.data.keys() - {"tasks"}:
        source.report((key,), "only keys of tasks can be set here, as tasks.NAME.KEY=VALUE")
    for path, place in list(source.places.items()):
        if path[1:] and path[1] not in names and isinstance(place, str):
            meant = nearest(str(path[1]), names)
            source.report(("tasks", path[1]), f"'{path[1]}' is none of the tasks that are scored; {meant}")
