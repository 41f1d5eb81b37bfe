"""A multiple-choice task of lm-evaluation-harness -> examples with its prompts and choices.

Prompts, choices and few-shot samples are those that the harness itself would send to a model. lm-eval is an
extra of its own (`pip install chaintune[lm-eval]`) and is imported only when such a task is read.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.files.rows import Row, build_all
from chaintune.records import Choices, Example, canonical_digest
from chaintune.tasks.columns import ColumnNames, resolve_columns
from chaintune.tasks.definition import Pool, TaskData
from chaintune.tasks.items import dimensions_of, groups_of, name_of
from chaintune.tasks.left_out import DEFECTIVE, note_left_out, without_repeats
from chaintune.tasks.prompts import choice_defect

log = logging.getLogger(__name__)
PREFIX = "lm_eval:"
OWN_COLUMNS = ("id", "cluster", "groups")
# The harness draws few-shot samples with this seed unless another is set.
FEWSHOT_SEED = 1234


def read_lm_eval(task_name: str, options: Mapping[str, Any]) -> TaskData:
    """The data of a task from lm-eval.

    What the harness scores is tested: the test split, or the validation split where there is none. What it
    calls the training split is taught; without one, what is tested is cut by cluster.

    Args:
        task_name: here, which names that of lm-eval behind the prefix unless the option `lm_eval` does.
        options: of those of `DataOptions` `lm_eval`, `fewshot` (else what the task says, or 0), `include_path`, and
            `columns`: `id`, `cluster` and `groups` -> fields of a document, such as `doc.category`.

    Raises:
        ConfigError: lm-eval is not installed, or an argument is invalid.
        DataError: there is no such task, it is no multiple-choice task, or its data cannot be loaded.
    """
    name, columns = options.get("lm_eval") or task_name.removeprefix(PREFIX), options.get("columns", {})
    where = f"lm-eval task '{name}'"
    for key in columns:
        if key not in OWN_COLUMNS:
            raise ConfigError(f"columns: '{key}' comes from lm-eval; {nearest(str(key), OWN_COLUMNS)}")
    folder = options.get("include_path")
    task = _loaded(name, None if folder is None else Path(folder), where)
    _check_kind(task, where)
    shots = _shots(task, options.get("fewshot"), where)
    left_out: Counter[str] = Counter()
    tested = _rows(task, task.eval_docs, shots, f"{where}, tested document")
    training = _training_rows(task, shots, where)
    resolved = resolve_columns([*tested, *training], columns, where)
    test = without_repeats(_examples(tested, resolved, left_out), left_out)
    train = without_repeats(_examples(training, resolved, left_out), left_out, tested=test)
    source = _source(task, name, shots) + note_left_out(f"{PREFIX}{name}", left_out, len(tested) + len(training))
    pool = Pool(train, test, source) if training else Pool(test, None, source)
    return TaskData(pool, f"lm_eval-{task.VERSION}", dimensions_of(resolved, [*train, *test], where))


def _loaded(name: str, include_path: Path | None, where: str) -> Any:
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise ConfigError(f"{where}: lm-eval is not installed; run 'pip install chaintune[lm-eval]'") from error
    if include_path is not None and not include_path.is_dir():
        raise ConfigError(f"{where}: include_path {include_path} is not a folder")
    if include_path is not None:
        # Its own tasks are thousands of files that take seconds to scan.
        manager = TaskManager(include_path=str(include_path), include_defaults=False)
        if name in manager.all_subtasks:
            return _built(manager, name, where)
    manager = whole_manager(TaskManager, include_path)
    if name in manager.all_subtasks:
        return _built(manager, name, where)
    if name in manager.all_tasks:
        members = [task for task in manager.all_subtasks if task.startswith(name)] or manager.all_subtasks
        raise DataError(f"{where}: a group of tasks; name one of them, {nearest('', members)}")
    raise DataError(f"{where}: not known; {nearest(name, manager.all_subtasks)}")


@cache
def whole_manager(manager: Any, include_path: Path | None) -> Any:
    """All task files that lm-eval knows, and those of a folder, scanned once for all tasks of a study."""
    return manager(include_path=None if include_path is None else str(include_path))


def _built(manager: Any, name: str, where: str) -> Any:
    """The task with its data, which `datasets` fetches."""
    try:
        return next(iter(manager.load(name)["tasks"].values()))
    except Exception as error:  # a task file may run any code, and datasets raises errors of its own
        reason = str(error).split("\n")[0]
        raise DataError(f"{where}: lm-eval cannot load it ({type(error).__name__}: {reason})") from error


def _check_kind(task: Any, where: str) -> None:
    """Refuse what is no choice between continuations of one prompt."""
    kind = getattr(task, "OUTPUT_TYPE", None)
    if kind != "multiple_choice":
        raise DataError(f"{where}: its output type is '{kind}', and only multiple_choice can be a task here")
    if getattr(task, "multiple_input", 0):
        raise DataError(f"{where}: its choices stand inside the prompt, and only choices that follow it can be scored")
    if getattr(task.config, "process_results", None) is not None:
        log.warning("%s computes a metric of its own; here the choice that it names as target counts as right", where)


def _shots(task: Any, fewshot: int | None, where: str) -> int:
    """The number of few-shot samples; the task is made ready to draw them."""
    shots = int(task.config.num_fewshot or 0) if fewshot is None else fewshot
    if shots < 0:
        raise ConfigError(f"{where}: fewshot {shots} must be 0 or more")
    if shots and shots > (there := len(task.sampler.fewshot_docs())):
        raise DataError(f"{where}: {shots} few-shot samples asked for, there are {there} documents to draw them from")
    task.set_fewshot_seed(FEWSHOT_SEED)
    return shots


def _training_rows(task: Any, shots: int, where: str) -> list[Row]:
    if task.has_training_docs():
        if shots:
            task.sampler = _OtherDocs(task.sampler)
        return _rows(task, task.training_docs(), shots, f"{where}, taught document")
    config = task.config
    tested = config.test_split or config.validation_split
    if shots and (task.fewshot_cfg.split or config.validation_split or tested) == tested:
        log.warning("%s draws its few-shot samples from what is tested; prompts that are taught may hold them", where)
    return []


class _OtherDocs:
    """A few-shot sampler that leaves out the document in question: a training example must not hold its answer."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.doc: Any = None

    def sample(self, n: int, **_: Any) -> Any:
        pool = self.sampler.fewshot_docs()
        if len(pool) > n:
            return self.sampler.sample(n, eval_doc=self.doc)
        if self.doc in pool:
            raise DataError(f"{n} few-shot samples asked for, and one of {n} documents has fewer beside it; use fewer")
        return self.sampler.sample(n)


def _rows(task: Any, docs: Iterable[Mapping[str, Any]], shots: int, where: str) -> list[Row]:
    """The requests of lm-eval for each document, in its order: few-shot samples are drawn one after the other."""
    rows = []
    for number, doc in enumerate(docs, start=1):
        if isinstance(getattr(task, "sampler", None), _OtherDocs):
            task.sampler.doc = doc
        prompt = task.fewshot_context(doc, num_fewshot=shots, gen_prefix=task.doc_to_prefix(doc))
        requests = task.construct_requests(doc=doc, ctx=prompt)
        texts = [request.args[1] for request in requests[: len(task.doc_to_choice(doc))]]
        question = [task.doc_to_text(doc), task.doc_to_choice(doc)]
        answers = {"choices": texts, "gold": task.doc_to_target(doc)}
        rows.append(Row(f"{where} {number}", {"doc": dict(doc), "prompt": prompt, **answers, "question": question}))
    return rows


def _examples(rows: Sequence[Row], columns: ColumnNames, left_out: Counter[str]) -> list[Example]:
    sound = [row for row in rows if not choice_defect(row.values["choices"])]
    if len(rows) > len(sound):
        left_out[DEFECTIVE] += len(rows) - len(sound)
    return build_all(sound, lambda row: _example(row, columns))


def _example(row: Row, columns: ColumnNames) -> Example:
    # Without the few-shot samples, so that a question keeps its name whatever stands in front of it.
    name = name_of(row, columns.id) if columns.id else canonical_digest(row.values["question"])[:16]
    cluster = name_of(row, columns.cluster) if columns.cluster else name
    choices = tuple(row.values["choices"])
    target = Choices(choices, _gold(row, len(choices)))
    return Example(name, row.values["prompt"], target, groups_of(row, columns), cluster)


def _gold(row: Row, count: int) -> int:
    """The index that `doc_to_target` gives, or that of the choice whose text it gives."""
    target, texts = row.values["gold"], row.values["question"][1]
    target = target[0] if isinstance(target, list) and len(target) == 1 else target
    if isinstance(target, str) and target in texts:
        return int(texts.index(target))
    if isinstance(target, str | list | bool) or not 0 <= int(target) < count:
        raise DataError(f"{row.where}: doc_to_target must name one of {count} choices, got {target!r}")
    return int(target)


def _source(task: Any, name: str, shots: int) -> str:
    from importlib.metadata import version

    data = ", ".join(str(part) for part in (task.config.dataset_path, task.config.dataset_name) if part)
    drawn = f", {shots} few-shot samples by seed {FEWSHOT_SEED}" if shots else ""
    return f"lm-eval {version('lm-eval')} task {name} on {data}{drawn}"
