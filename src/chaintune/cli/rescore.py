"""`chaintune rescore`: texts that are written already, judged again."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaintune.cli.compare import column_names
from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.options import AsJson, RemoteCode, ServerFlags, StoreRoot
from chaintune.cli.output import echo
from chaintune.cli.score import TaskFile, refuse_other_formats, tell_left_out
from chaintune.errors import ConfigError

if TYPE_CHECKING:
    from chaintune.records import ScorerRef, Task

_TASK_KEYS = "tasks."


@expand_dataclasses
def rescore(
    texts: Annotated[
        Path,
        typer.Argument(
            metavar="TEXTS",
            help="A score file with texts, a folder of score files, or a table (CSV, JSONL, Parquet) of id, prompt and "
            "text.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="A .parquet file for one task, or a folder for one file per task.")],
    server_flags: ServerFlags,
    scorer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The scorer, such as refusal, or your own FILE.py:function. [default: as the task of --tasks says]",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the scorer, e.g. pattern='^I cannot', or a key of a task, e.g. tasks.mine.path=FILE.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="TASK",
            help="Judge only this task, and take from it what the texts lack: prompts, right answers.",
            show_default=False,
        ),
    ] = None,
    suite: TaskFile = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--columns",
            metavar="NAME=COLUMN",
            help="Column names of a table that differ: id=qid,text=answer; or repeat the option.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", metavar="DIM", help="Column of groups in a table, kept in the scores.", show_default=False
        ),
    ] = None,
    store: StoreRoot = None,
    trust_remote_code: RemoteCode = False,
    as_json: AsJson = False,
) -> int:
    """Judge written texts again with another scorer, or texts that another program wrote. No model writes anything.

    It writes score files like those of 'chaintune score', which 'chaintune compare' reads. chaintune's score files keep
    the texts of tasks with 'measure: generation'. A table has one row per answer, with the columns id and text, and
    optionally prompt, sample, reference, expects, cluster, pair and task. --columns maps other column names; --by names
    columns of groups. A scorer of your own receives all other columns too.

    For example:

    chaintune rescore audit/before --suite chat-safety --scorer refusal --out before

    chaintune rescore answers.jsonl --scorer regex --set pattern='(?i)sorry' --by topic --out before.parquet

    chaintune rescore texts.jsonl --scorer judge --set model=OTHER-MODEL --set template=harmfulness --out harm

    chaintune rescore vllm.csv --columns id=qid,text=output --task gsm8k --scorer number --out sums.parquet
    """
    from chaintune.cli.display import RunDisplay, print_tables
    from chaintune.report.scored import scored_json, scored_rows, scored_tables
    from chaintune.rescoring import rescored
    from chaintune.scoring.score_files import write_scores

    refuse_other_formats(out)
    of_tasks = [text for text in settings or () if text.startswith(_TASK_KEYS)]
    own = [text for text in settings or () if not text.startswith(_TASK_KEYS)]
    ref = _reference(scorer, own, trusted=trust_remote_code)
    tasks = _tasks(task or (), suite, of_tasks, trust_remote_code)
    scores, without = rescored(
        texts,
        ref,
        tasks=tasks,
        columns=column_names(columns or ()),
        by=by or (),
        store=store,
        watch=RunDisplay,
        trust_remote_code=trust_remote_code,
        serving=server_flags.serving,
        allow=server_flags.allowance,
    )
    for file in without:
        echo(f"{file}: holds no texts and is left out", err=True)
    by_task = {one.task: one for one in scores}
    rows = {name: scored_rows(one, by or ()) for name, one in by_task.items()}
    paths = write_scores(by_task, out)
    if as_json:
        plain = {name: list(map(scored_json, own)) for name, own in rows.items()}
        scored = [{"task": name, "file": str(paths[name]), "scores": own} for name, own in plain.items()]
        echo(json.dumps(scored, indent=2))
        return 0
    print_tables(scored_tables(rows))
    for name, one in by_task.items():
        tell_left_out(name, one)
    for path in dict.fromkeys(paths.values()):
        echo(f"wrote {path}")
    return 0


def _reference(scorer: str | None, settings: Sequence[str], *, trusted: bool) -> "ScorerRef | None":
    from chaintune.config.source import apply_override, plain_mapping
    from chaintune.records import ScorerRef
    from chaintune.scoring.scorers.metric import scorer_of
    from chaintune.tasks.loading import with_source

    if scorer is None:
        if settings:
            raise ConfigError(f"--set {settings[0]}: a setting of which scorer? name one with --scorer")
        return None
    source = plain_mapping({}, "options")
    known = scorer_of(with_source(ScorerRef(scorer))).settings.model_fields
    for text in settings:
        key, _, value = text.partition("=")
        if key in known and _is_text(known[key].annotation) and value[:1] not in ("'", '"'):
            source.data[key] = value  # a pattern such as [Ss]orry is text, whatever YAML takes it for
        else:
            apply_override(source, text)
    source.stop_if_wrong()
    return ScorerRef(scorer, source.data, trusted=trusted)


def _is_text(annotation: object) -> bool:
    return annotation is str or annotation == (str | None)


def _tasks(names: Sequence[str], suite: str | None, overrides: Sequence[str], trust_remote_code: bool) -> "list[Task]":
    """The tasks that supply what the texts lack, with every example that they have."""
    from chaintune.study.task_spec import tasks_from_options

    if not names and not suite:
        if overrides:
            raise ConfigError(f"--set {overrides[0]}: a key of which task? name it with --task too")
        return []
    return tasks_from_options(
        names, suite=suite or "", sizes=["all"], overrides=overrides, trust_remote_code=trust_remote_code
    )
