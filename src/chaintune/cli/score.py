"""`chaintune score`: scores of one checkpoint, in files that `chaintune compare` reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.options import AsJson, RunFlags
from chaintune.cli.output import echo
from chaintune.errors import ConfigError, number_of
from chaintune.scoring.backends import DEFAULT

if TYPE_CHECKING:
    from chaintune.records import Estimate, Scores, Task
    from chaintune.runs.scoring import Scored

# Suffixes that are no folder's name.
_OTHER_FORMATS = (".csv", ".json", ".jsonl", ".tsv", ".txt", ".xlsx", ".pq", ".feather", ".arrow")

Names = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="A task; repeat the option for more. 'chaintune tasks' lists them. With --tasks, a task of that file.",
        show_default=False,
    ),
]


TaskFile = Annotated[
    str | None,
    typer.Option(
        "--tasks",
        "--suite",
        metavar="FILE|SUITE",
        help="Take the tasks of a file (the 'tasks:' part of a study file, or a study file), or of a suite that "
        "'chaintune suite list' names.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class ScoreFlags(RunFlags):
    """Options of how models are scored, shared by every command that scores without training."""

    suite: TaskFile = None
    test: Annotated[
        list[str] | None,
        typer.Option(
            "--test",
            metavar="[TASK=]SIZE",
            help="Number of test examples: 200, '40 per category', or for one task, bbq='40 per category'. "
            "[default: all]",
            show_default=False,
        ),
    ] = None
    sample_seed: Annotated[int, typer.Option(min=0, help="Seed for sampling the examples.")] = 0
    chat: Annotated[
        Literal["auto", "on", "off", "both"],
        typer.Option(
            "--chat",
            help="Ask in the model's chat template (on), as plain text (off), or both ways, with their agreement. auto "
            "renders conversations and prompts that the model answers in words, and never choices.",
        ),
    ] = "auto"
    precision: Annotated[Literal["auto", "fp32", "bf16"], typer.Option(help="Precision of the weights.")] = "auto"
    backend: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What runs models in files: transformers, or a backend that an installed package adds. A served model "
            "names its own, BACKEND:REFERENCE.",
        ),
    ] = DEFAULT
    devices: Annotated[
        int,
        typer.Option(
            "--devices",
            min=1,
            metavar="N",
            help="Score with N processes, one per GPU, or each with a share of the cores: the same scores, faster. A "
            "model that does not fit one GPU is sharded over them.",
        ),
    ] = 1
    serve: Annotated[
        str | None,
        typer.Option(
            "--serve",
            metavar="COMMAND",
            help="Start a server for each model in files, such as 'vllm serve {model} --port {port}', let it write the "
            "texts, and stop it; needs --trust-remote-code. Also '{command: ..., measures: [choice]}', as in a study "
            "file.",
            show_default=False,
        ),
    ] = None
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set a key of a task as in a study file, e.g. tasks.mine.path=items.jsonl.",
            show_default=False,
        ),
    ] = None

    def tasks(self, names: Sequence[str] | None, *, train: Sequence[str] = ()) -> "list[Task]":
        """The tasks of these names or of a file, by the options; with `--chat both` the other way too."""
        from chaintune.study.task_spec import tasks_from_options

        sizes, overrides = self.test or (), self.overrides or ()
        return tasks_from_options(
            names or (),
            suite=self.suite or "",
            sizes=sizes,
            train=train,
            seed=self.sample_seed,
            overrides=overrides,
            chat=self.chat,
            trust_remote_code=self.trust_remote_code,
        )

    def score(
        self,
        models: Mapping[str, str],
        tasks: "Sequence[Task]",
        *,
        kl: bool | None = False,
        server_logs: Path | None = None,
    ) -> "Scored":
        """Scores of models on tasks, and how far the second of two is from the first."""
        from chaintune.runs.scoring import scored_models
        from chaintune.store.address import open_store

        self.check()
        return scored_models(
            models,
            tasks,
            open_store(self.store),
            self.options(),
            precision=self.precision,
            backend=self.backend,
            devices=self.devices,
            trust_remote_code=self.trust_remote_code,
            allow_unused=self.allow_unused or (),
            serve=self.serve,
            server_logs=server_logs,
            kl=kl,
        )


@dataclass(frozen=True)
class AnswerFlags:
    """Options of the texts that a model writes."""

    answers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Also write the answers to this file, as chat rows that a task's path may name.",
            show_default=False,
        ),
    ] = None
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="OUTCOME",
            help="With --answers: write only answers with this outcome, such as refused; repeat the option for more.",
            show_default=False,
        ),
    ] = None
    train: Annotated[
        list[str] | None,
        typer.Option(
            "--train",
            metavar="[TASK=]SIZE",
            help="Ask this many training examples instead of test examples.",
            show_default=False,
        ),
    ] = None

    def check(self, tasks: "Sequence[Task]") -> None:
        """Refuse, before anything is scored, answers that could not be written.

        Raises:
            ConfigError: there are some.
        """
        from chaintune.scoring.chat_rows import check_outcomes

        if self.answers is None:
            if self.keep:
                raise ConfigError("--keep selects the answers that --answers writes; name a file with --answers")
            return
        if self.answers.suffix != ".jsonl":
            raise ConfigError(f"--answers {self.answers}: answers are written as JSONL; name a .jsonl file")
        if len(tasks) != 1:
            raise ConfigError(f"--answers {self.answers}: one file holds the answers of one task, not of {len(tasks)}")
        check_outcomes(tasks, self.keep or ())

    def write(self, task: "Task", scores: "Scores", *, err: bool = False) -> None:
        """Write the answers that are kept, where they are asked for, and say how many there are.

        Raises:
            DataError: there are none.
            StoreError: they cannot be written.
        """
        from chaintune.cli.comparison import write_text
        from chaintune.scoring.chat_rows import chat_rows

        if self.answers is None:
            return
        kept = chat_rows(task, scores, self.keep or ())
        write_text(self.answers, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept.rows))
        counts = ", ".join(f"{name or 'without an outcome'} {count}" for name, count in kept.outcomes.items())
        blank = f"; {kept.blank} without a text left out" if kept.blank else ""
        echo(f"wrote {number_of(len(kept.rows), 'answer')} to {self.answers} (of all: {counts}{blank})", err=err)


@expand_dataclasses
def score(
    model: Annotated[str, typer.Argument(help="Hub id, folder, .gguf file, MODEL+ADAPTER, alias, or openai:URL#NAME.")],
    score_flags: ScoreFlags,
    answer_flags: AnswerFlags,
    out: Annotated[
        Path | None,
        typer.Option(help="A .parquet file for one task, or a folder for one file per task.", show_default=False),
    ] = None,
    task: Names = None,
    by: Annotated[
        list[str] | None, typer.Option("--by", metavar="DIM", help="Also report each group of this dimension.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Score one checkpoint on tasks and write score files, which 'chaintune compare' reads. Nothing is trained.

    Scores in the store are not computed again, even after an interruption. If memory runs out, the batch is reduced.

    For example:

    chaintune score smollm2-135m --task bbq --test "40 per category" --out before.parquet

    chaintune score base+my-adapter --task bbq --task csqa --test bbq="40 per category" --test csqa=200 --out after

    chaintune score my-model --task mine --set tasks.mine.path=items.jsonl --out mine.parquet

    chaintune score my-model --tasks mine.yaml --out scores

    chaintune score large-model --task bbq --devices 4 --out large.parquet

    chaintune score chat-model --task bbq --chat both --out scores

    chaintune score chat-model --task mine --train 200 --answers refusals.jsonl --keep refused
    """
    from chaintune.auditing import check_dimensions
    from chaintune.forgetting.agreement import agreement
    from chaintune.forgetting.options import Inference
    from chaintune.report.agreement import agreement_tables
    from chaintune.report.scored import scored_rows, scored_tables
    from chaintune.scoring.score_files import score_paths, write_scores

    if out is None and answer_flags.answers is None:
        raise ConfigError("nothing would be written; name a file or a folder for the scores with --out")
    if out is not None:
        refuse_other_formats(out)
        score_paths(task or (), out)  # refuses an invalid path before anything is scored
    tasks = score_flags.tasks(task, train=answer_flags.train or ())
    if out is not None:
        score_paths([one.name for one in tasks], out)
    answer_flags.check(tasks)
    check_dimensions(by or (), tasks)
    called = Path(model).name
    scores = score_flags.score({called: model}, tasks).scores[called]
    rows = {name: scored_rows(one, by or ()) for name, one in scores.items()}
    alike = {
        one.other_way_of: agreement(scores[one.other_way_of], scores[one.name], Inference())
        for one in tasks
        if one.other_way_of
    }
    paths = {} if out is None else write_scores(scores, out)
    if as_json:
        echo(json.dumps(_plain(rows, scores, alike, paths), indent=2))
        answer_flags.write(tasks[0], scores[tasks[0].name], err=True)
        return 0
    from chaintune.cli.display import print_tables

    print_tables([*scored_tables(rows), *agreement_tables({task: {called: own} for task, own in alike.items()})])
    for name, one in scores.items():
        tell_left_out(name, one)
    for path in dict.fromkeys(paths.values()):
        echo(f"wrote {path}")
    answer_flags.write(tasks[0], scores[tasks[0].name])
    return 0


def refuse_other_formats(out: Path) -> None:
    """Refuse a file for scores that is no Parquet."""
    if out.suffix.lower() in _OTHER_FORMATS:
        raise ConfigError(f"--out {out}: scores are written as Parquet; name a .parquet file, or a folder")


def tell_left_out(task: str, scores: "Scores") -> None:
    """Print how many examples of a task have no score."""
    if scores.n_missing:
        kind, end = f"of {len(scores)} examples", "left out"
        left = number_of(scores.n_missing, f"{kind} has no score and is {end}", f"{kind} have no score and are {end}")
        echo(f"{task}: {left}")


def _plain(
    rows: Mapping[str, Sequence[Any]],
    scores: "Mapping[str, Scores]",
    alike: "Mapping[str, Estimate]",
    paths: Mapping[str, Path],
) -> list[dict[str, Any]]:
    from chaintune.records.amounts import plain
    from chaintune.report.scored import scored_json

    return [
        {
            "task": task,
            **({"file": str(paths[task])} if paths else {}),
            "chat": "on" if scores[task].provenance.get("chat") == "on" else "off",
            "accuracy": list(map(scored_json, groups)),
            **({"chat_agreement": plain(alike[task])} if task in alike else {}),
        }
        for task, groups in rows.items()
    ]
