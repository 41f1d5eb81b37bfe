"""Texts that are written already, judged again: what `chaintune rescore` does. No model writes anything."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaintune.arguments import NAMES, PATH, taking
from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.records import Example, Measurement, ScorerRef, Scores, Task, canonical_digest, scores_of
from chaintune.scoring.backends import AS_USUAL, Serving
from chaintune.scoring.reading import metrics_of, scores_key
from chaintune.scoring.scorers import SCORERS, Scorer
from chaintune.scoring.scorers.function import check_runs
from chaintune.scoring.scorers.metric import configured
from chaintune.scoring.texts import UNNAMED, WrittenTexts, texts_in
from chaintune.tasks import load, registry
from chaintune.tasks.loading import with_source

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from chaintune.execution.server_requests import ServerWork
    from chaintune.runs.session import Watcher
    from chaintune.store.store import Store

_LOG = logging.getLogger(__name__)


@taking(scorer=(str, Mapping), by=NAMES, columns=Mapping, out=PATH)
def rescore(
    texts: "Path | str | Scores | Sequence[Mapping[str, Any]] | pl.DataFrame | pd.DataFrame",
    scorer: str | Mapping[str, Mapping[str, Any]] | None = None,
    *,
    tasks: Task | str | Sequence[Task | str] = (),
    columns: Mapping[str, str] | None = None,
    by: str | Sequence[str] = (),
    out: Path | str | None = None,
    store: "Store | Path | str | None" = None,
    precision: str = "auto",
    trust_remote_code: bool = False,
) -> list[Scores]:
    """The scores of texts that were written before, one for each task, which `compare` takes.

    Args:
        texts: a score file of chaintune or a folder of such, which keep what was answered; or a table that any program
            made, a file or in memory, with a row an answer: `id`, `text`, and where there are any `prompt`, `sample`
            (which of several answers), `reference` (what is right), `expects`, `groups`, `cluster`, `pair`, `task`.
        scorer: its name, or its name with its settings, as in a study file: `{"regex": {"pattern": "^I can't"}}`; or a
            function of yours, `FILE.py:function`; None takes the one that the task names.
        tasks: tasks, or names of known ones, that supply by id what the texts do not hold: prompts, right answers.
        columns: of a table: what it is -> the column that holds it; not of `groups`, which `by` names.
        by: columns of a table that hold groups.
        out: writes the scores there too, a `.parquet` file for one task or a folder; None writes nothing.
        store: where finished work lies, of scorers that ask a model; None is the default store.
        precision: `auto`, `bf16` or `fp32`, of language models that judge.
        trust_remote_code: run a scorer that is a function, and Python code that comes with a model.

    Raises:
        ConfigError: an option, a scorer or a setting is invalid.
        DataError: the texts cannot be read, or the scorer needs what is not known of them.
    """
    named = [tasks] if isinstance(tasks, Task | str) else list(tasks)
    loaded = [load(task) if isinstance(task, str) else task for task in named]
    ref = None if scorer is None else _reference(scorer, trusted=trust_remote_code)
    names = [by] if isinstance(by, str) else list(by)
    scores, _ = rescored(
        texts,
        ref,
        tasks=loaded,
        columns=columns,
        by=names,
        store=store,
        precision=precision,
        trust_remote_code=trust_remote_code,
    )
    if out is not None:
        from chaintune.scoring.score_files import write_scores

        write_scores({one.task: one for one in scores}, Path(out))
    return scores


def rescored(
    source: Any,
    ref: ScorerRef | None,
    *,
    tasks: Sequence[Task] = (),
    columns: Mapping[str, str] | None = None,
    by: Sequence[str] = (),
    store: "Store | Path | str | None",
    watch: "Watcher | None" = None,
    precision: str = "auto",
    trust_remote_code: bool = False,
    serving: Serving = AS_USUAL,
    allow: "Callable[[Sequence[ServerWork]], None] | None" = None,
) -> tuple[list[Scores], list[str]]:
    """The scores of texts, and the files that hold none; where tasks are named, texts of others are left out.

    Raises:
        ConfigError: an option, a scorer or a setting is invalid; no task is one of the texts'.
        DataError: the texts cannot be read, or the scorer needs what is not known of them.
    """
    if ref is not None:
        check_runs(ref := with_source(ref))
        configured(ref)
    written, without = texts_in(source, columns=columns, by=by)
    known = {task.name: task for task in tasks}
    if len(known) == 1 and [one.task for one in written] == [UNNAMED]:
        written = [replace(written[0], task=next(iter(known)))]
    there = [one.task for one in written]
    chosen = [one for one in written if one.task in known] if known else written
    if not chosen:
        first = next(iter(known))
        raise ConfigError(f"task '{first}': there are no texts of it; {nearest(first, there)}")
    _check_one_each(chosen, source)
    chosen = [one.known_from(known[one.task]) if one.task in known else one for one in chosen]
    judged = {one.task: _judged_task(one, known.get(one.task), ref) for one in chosen}
    _caution_prompts(chosen, judged)
    texts = {one.task: one.measurement() for one in chosen}
    if asking := [task for task in judged.values() if configured(task.scorers[0])[0].model is not None]:
        from chaintune.runs.rescoring import judge_texts  # loads torch, which scorers of words do not need
        from chaintune.runs.session import RunOptions
        from chaintune.store.address import open_store

        own = {task.name: texts[task.name] for task in asking}
        options = RunOptions(watch=watch, serving=serving, allow=allow)
        how: dict[str, Any] = {"precision": precision, "trust_remote_code": trust_remote_code}
        texts |= judge_texts(own, asking, open_store(store), options, **how)
    return [_scored(one, judged[one.task], texts[one.task]) for one in chosen], without


def _check_one_each(written: Sequence[WrittenTexts], source: Any) -> None:
    """Refuse several files of one task, say of a study's folder: there is one result for each task."""
    for task, times in Counter(one.task for one in written).items():
        files = [Path(one.where).name for one in written if one.task == task]
        if times > 1:
            raise ConfigError(
                f"{source}: {times} files hold texts of task '{task}', such as {files[0]} and {files[1]}; rescore "
                "judges one of each task, so name one of them"
            )


def _reference(scorer: str | Mapping[str, Mapping[str, Any]], *, trusted: bool) -> ScorerRef:
    if isinstance(scorer, str):
        return ScorerRef(scorer, trusted=trusted)
    if len(scorer) != 1:
        raise ConfigError(f"scorer {scorer!r}: expected a name, or one name with its settings")
    ((name, settings),) = scorer.items()
    return ScorerRef(name, dict(settings or {}), trusted=trusted)


def _judged_task(written: WrittenTexts, task: Task | None, ref: ScorerRef | None) -> Task:
    """The task whose test examples the texts answer, with the scorer, which can judge them."""
    ref = ref or next(iter(task.scorers if task else ()), None)
    if ref is None:
        raise ConfigError(
            f"{written.where}: no scorer is named; name one (--scorer NAME); valid: {', '.join(SCORERS.names)}"
        )
    scorer, settings = configured(ref)
    reasons = ((one.id, scorer.refuses(one, settings) or _no_prompt(scorer, settings, one)) for one in written.examples)
    refused = [(name, reason) for name, reason in reasons if reason]
    if refused and task is None:
        known = f"--task {written.task}" if written.task in registry.names() else "--tasks FILE"
        raise DataError(
            f"{written.where}: scorer '{ref.name}' cannot judge {number_of(len(refused), 'text')}, such as that of "
            f"'{refused[0][0]}', which {refused[0][1]}; {known} supplies what a task knows of it, by its id"
        )
    scorer.check(written.examples, settings, written.task)
    return _task_of(written, task, ref)


def _no_prompt(scorer: Scorer, settings: Any, example: Example) -> str:
    """Why an example without a prompt cannot be judged by a model that is shown the prompt; empty where it can."""
    if example.prompt or scorer.asks is None:
        return ""
    asked = {scorer.asks.question(replace(example, prompt=prompt), "-", settings) for prompt in ("one", "another")}
    return "has no prompt" if len(asked) > 1 else ""


def _caution_prompts(written: Sequence[WrittenTexts], judged: Mapping[str, Task]) -> None:
    """Say once that texts are judged without their prompts, by a scorer that reads them too."""
    blind = [one for one in written if _reads_prompt(judged[one.task]) and not all(x.prompt for x in one.examples)]
    if blind:
        count = sum(not example.prompt for one in blind for example in one.examples)
        scorer = judged[blind[0].task].scorers[0].name
        _LOG.warning(
            "scorer '%s' reads the prompt too, and %s of %s have none, so some verdicts may differ from those of an "
            "audit; --task NAME or --tasks FILE (in Python: tasks=) supplies the prompts by their ids",
            scorer,
            number_of(count, "example"),
            ", ".join(f"'{one.task}'" for one in blind),
        )


def _reads_prompt(task: Task) -> bool:
    scorer, settings = configured(task.scorers[0])
    return scorer.reads_prompt(settings)


def _scored(written: WrittenTexts, task: Task, measurement: Measurement) -> Scores:
    """The scores of texts from what is judged: the texts, or what a model said of them."""
    metric = metrics_of(task)[0]
    prompts = [[example.id, *example.asked_content()] for example in written.examples]
    key = canonical_digest([written.about.get("checkpoint", ""), measurement.table.to_pydict(), prompts])
    about = {"scores_key": scores_key(key, task.test, metric)}
    return scores_of(written.task, measurement, task.test, metric, about)


def _task_of(written: WrittenTexts, task: Task | None, ref: ScorerRef) -> Task:
    """The task whose test examples the texts answer."""
    dimensions = tuple(sorted({dimension for example in written.examples for dimension in example.groups}))
    plain = task or Task(written.task, "safety", "", (), (), dimensions, written.where, "")
    return replace(plain, train=(), test=written.examples, measures=("generation",), metrics=(), scorers=(ref,))
