"""What a model answered, as rows of chat data that a task's `path` may name, so that it can be taught."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.records import Example, Scores, Task
from chaintune.records.audit import RENDERED
from chaintune.records.examples import Text
from chaintune.scoring.scorers.metric import configured, scorer_of
from chaintune.scoring.texts import TEXTS


@dataclass(frozen=True)
class ChatRows:
    """Answers as rows of a chat file.

    Attributes:
        rows: of the answers that are kept, each a mapping that JSON can hold.
        outcomes: outcome -> the number of all answers that count as it.
        blank: answers that are kept by their outcome and hold no text that could be taught.
    """

    rows: Sequence[Mapping[str, Any]]
    outcomes: Mapping[str, int]
    blank: int


def check_outcomes(tasks: Sequence[Task], keep: Sequence[str]) -> None:
    """Refuse, before anything is computed, tasks that write no texts, and outcomes that their scorers do not give.

    Raises:
        ConfigError: there is one.
    """
    for task in tasks:
        if not task.scorers:
            raise ConfigError(
                f"task '{task.name}': nothing is answered in words; name a task with 'measure: generation'"
            )
        known = scorer_of(task.scorers[0]).outcomes
        for outcome in keep:
            if known and outcome not in known:
                own = f"task '{task.name}': scorer '{task.scorers[0].name}'"
                raise ConfigError(f"{own} has no outcome '{outcome}'; {nearest(outcome, known)}")


def chat_rows(task: Task, scores: Scores, keep: Sequence[str] = ()) -> ChatRows:
    """What was answered to the test examples of a task.

    Args:
        task: whose examples were asked.
        scores: of the texts that answered them.
        keep: outcomes of the answers that are kept; none keeps all.

    Raises:
        ConfigError: the task's scorer asks a model, so that the outcomes of several samples are not known again.
        DataError: no answer is kept.
    """
    examples = {example.id: example for example in task.test}
    is_turns = scores.provenance.get("chat") == RENDERED
    outcomes: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    blank = 0
    for row in scores.table.to_pylist():
        example, texts = examples[row["example_id"]], row[TEXTS]
        for sample, (text, outcome) in enumerate(
            zip(texts, _outcomes(task, example, texts, row["outcome"]), strict=True)
        ):
            outcomes[outcome] += 1
            if keep and outcome not in keep:
                continue
            if not text.strip():
                blank += 1
                continue
            name = f"{example.id} {sample}" if len(texts) > 1 else example.id
            rows.append(
                {
                    "id": name,
                    **_turns(example.prompt, text.strip(), is_turns=is_turns),
                    **_about(example),
                    "outcome": outcome,
                }
            )
    if not rows:
        counts = ", ".join(f"{count} {name or 'without an outcome'}" for name, count in outcomes.most_common())
        raise DataError(f"task '{task.name}': none of {number_of(len(scores), 'answer')} is kept: {counts}")
    return ChatRows(rows, dict(outcomes.most_common()), blank)


def _outcomes(task: Task, example: Example, texts: Sequence[str], known: str | None) -> list[str]:
    """The outcome of each sample; scores keep that of the first."""
    if len(texts) == 1:
        return [known or ""]
    scorer, settings = configured(task.scorers[0])
    if scorer.model is not None:
        raise ConfigError(
            f"task '{task.name}': of several samples that a model judged no single one is kept; take one sample"
        )
    return [verdict.outcome for verdict in scorer.verdicts([example] * len(texts), texts, settings)]


def _turns(prompt: Text, text: str, *, is_turns: bool) -> dict[str, Any]:
    """Prompt and answer as turns where they were asked as such, else as plain text."""
    if isinstance(prompt, str):
        return {"prompt": prompt, "response": text}
    if not is_turns and len(prompt) == 1:
        return {"prompt": prompt[0].content, "response": text}
    turns = [{"role": turn.role, "content": turn.content} for turn in prompt]
    return {"messages": [*turns, {"role": "assistant", "content": text}]}


def _about(example: Example) -> dict[str, Any]:
    return {"groups": {name: list(own) for name, own in example.groups.items()}, "cluster": example.cluster}
