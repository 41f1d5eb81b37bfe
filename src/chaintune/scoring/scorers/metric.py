"""The item metric that a scorer is: scores of the texts that a checkpoint wrote, or of what a model said of them."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from chaintune.config.validation import Spec
from chaintune.records import Example, ItemMetric, Measurement, ScorerRef, Task, canonical_digest
from chaintune.records.examples import EXPECTS
from chaintune.records.generation import GENERATION, function_of
from chaintune.records.labels import LABELS, PEOPLE, TextLabels
from chaintune.scoring.scorers import SCORERS, checked_settings
from chaintune.scoring.scorers.function import check_runs, function_scorer
from chaintune.scoring.scorers.scorer import Expected, Scorer, Verdict

# Of an example that says what is expected; balanced over both, where a model that always refuses has the same.
_CHANCE = 0.5


def metric_of(ref: ScorerRef, task: Task) -> ItemMetric:
    """The item metric of a scorer as a task names it.

    Where each example says whether an answer should refuse or comply, and the scorer tells that, a score is 1 where the
    expected was done, and is averaged over both halves alike.

    Args:
        ref: of the scorer.
        task: whose texts are judged.

    Raises:
        ConfigError: no scorer has the name, or a setting is invalid.
    """
    scorer, settings = configured(ref, f"task '{task.name}': ")
    expected = scorer.expected(settings) if expects(task.test or task.train) else None
    labels = [task.labels.digest] if task.labels else []
    return ItemMetric(
        scorer.name,
        scorer.name if scorer.model else GENERATION,
        direction="more" if expected else scorer.direction_of(settings),
        average="balanced" if expected else "mean",
        version=canonical_digest([scorer.digest(settings), expected is not None, *labels]),
        outcomes=scorer.outcomes,
        doubtful=scorer.doubtful,
        about={LABELS: str(len(task.labels.by_text))} if task.labels else {},
        score=partial(_score, scorer, settings, expected, task.labels),
    )


def configured(ref: ScorerRef, where: str = "") -> tuple[Scorer, Spec]:
    """A scorer and its settings.

    Args:
        ref: of the scorer.
        where: the beginning of an error sentence.

    Raises:
        ConfigError: no scorer has the name, or a setting is invalid.
    """
    scorer = scorer_of(ref)
    return scorer, checked_settings(scorer.settings, ref.settings, f"{where}scorer '{scorer.name}'")


def scorer_of(ref: ScorerRef) -> Scorer:
    """The scorer that a reference names, or that a function is.

    Raises:
        ConfigError: there is no such scorer, or the function's file is no Python or does not hold it.
    """
    return function_scorer(ref) if function_of(ref.name)[1] else SCORERS.get(ref.name)


def check_trusted(tasks: Iterable[Task]) -> None:
    """Refuse, before anything runs, functions as scorers of which nobody said that they may run.

    Raises:
        ConfigError: there is one.
    """
    for task in tasks:
        for ref in task.scorers:
            check_runs(ref, f"task '{task.name}': ")


def expects(examples: Sequence[Example]) -> bool:
    """Whether each of some examples says whether an answer should refuse or comply."""
    return bool(examples) and all(example.extra.get(EXPECTS) for example in examples)


def _score(
    scorer: Scorer,
    settings: Spec,
    expected: Expected | None,
    labels: TextLabels | None,
    measurement: Measurement,
    examples: Sequence[Example],
) -> Mapping[str, Any]:
    """The columns of scores, a row a text."""
    table = measurement.table
    texts = table.column("text").to_pylist()
    verdicts = _read(table.to_pylist()) if scorer.model else scorer.verdicts(examples, texts, settings)
    columns = {
        name: [getattr(verdict, name) for verdict in verdicts]
        for name in ("score", "missing_reason", "answer", "outcome", "evidence")
    }
    columns["texts"] = [[text] for text in texts]
    if labels is not None:
        columns[PEOPLE] = pa.array(_people(labels, [example.id for example in examples], texts), pa.float64())
    if expected is None:
        return columns | {"chance": [scorer.chance(example, settings) for example in examples]}
    wanted = [str(example.extra[EXPECTS]) for example in examples]
    done = [expected(verdict, what) for verdict, what in zip(verdicts, wanted, strict=True)]
    return columns | {"score": done, "label": wanted, "chance": [_CHANCE] * len(examples)}


def _people(labels: TextLabels, ids: Sequence[str], texts: Sequence[str]) -> list[float | None]:
    """Of each text the mean label of its example's texts; None where one of them has none."""
    own: dict[str, list[float | None]] = {}
    for name, text in zip(ids, texts, strict=True):
        own.setdefault(name, []).append(labels.of(name, text))
    known = {name: [value for value in values if value is not None] for name, values in own.items()}
    means = {name: sum(values) / len(values) for name, values in known.items() if len(values) == len(own[name])}
    return [means.get(name) for name in ids]


def _read(rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """The verdicts that a model gave, as its measurement holds them."""
    return [
        Verdict(row["score"], row["outcome"] or "", row["evidence"] or "", row["missing_reason"], row.get("answer"))
        for row in rows
    ]
