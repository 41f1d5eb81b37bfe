"""Self-replay: answers that the checkpoint before the loss gave itself, taught again after it.

Use when: the data of the earlier task is not at hand and the checkpoint from before the loss is. It answers prompts
once, those of the task, or of any other task where not even its prompts are there, and a dose of its answers is taught
as `replay` teaches one of the data. What it had wrong it is taught again; `keep` takes only answers that count as
something.

On your own Trainer: train on `take_dose(own_answers(examples, measurement), ...)`; `measure_checkpoint` makes the
measurement.

Source:
    Huang et al. 2024, Mitigating catastrophic forgetting with self-synthesized rehearsal, arXiv:2403.01244; their
    refinement of the answers by the later model is left out. Robins 1995 names it pseudorehearsal.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from chaintune.config.validation import Real, as_list, as_shown
from chaintune.errors import DataError, number_of
from chaintune.records import Choices, Example, Measurement, Message, Reference, ScorerRef
from chaintune.records.examples import Text
from chaintune.tuning.mitigations.mitigation import Mitigation
from chaintune.tuning.mitigations.specs import AnswersSpec, DoseSpec, Fraction, Several, as_text


class SelfReplaySpec(AnswersSpec, DoseSpec):
    """Own answers in a stage of their own, after the loss; at dose 0 there is no such stage.

    Attributes:
        temperature: at which texts are drawn; at 0 each token is the likeliest.
    """

    dose: Annotated[list[Fraction], Several, as_list] = Field(default_factory=lambda: [0.01, 0.02, 0.05, 0.1, 0.25])

    temperature: Annotated[Real, Field(ge=0, le=1_000), as_shown] = 0.0

    @property
    def drawn_at(self) -> float:
        """The temperature at which texts are drawn; at 0 each token is the likeliest."""
        return self.temperature

    @property
    def suffix(self) -> str:
        """Whose prompts, which answers, and which of them make the dose."""
        drawn = f" at {as_text(self.temperature)}" if self.temperature else ""
        return f"{self.answers_suffix}{drawn}{self.dose_suffix}"

    @property
    def needs_old_data(self) -> bool:
        """Prompts of the task are data of the task; those of another are not."""
        return self.prompts is None

    def is_nothing(self, value: Any) -> bool:
        """At dose 0."""
        return bool(value == 0)

    def label(self, _name: str, value: Any) -> str:
        """The dose: `own bbq@5% kept refused`."""
        return f"own {self.task}@{value * 100:.6g}%{self.suffix}"


def own_answers(
    examples: Sequence[Example], measurement: Measurement, *, keep: Sequence[str] = (), scorer: ScorerRef | None = None
) -> tuple[Example, ...]:
    """The examples whose answer a checkpoint gave, with that answer as what is right.

    Of several samples of a prompt the first that can be taken is. A text that was cut off, or is blank, cannot.

    Args:
        examples: that were asked.
        measurement: of the checkpoint, by choices or of texts.
        keep: outcomes of the answers that are taken; none takes all.
        scorer: that tells them; asks no model.

    Raises:
        DataError: no answer can be taken.
    """
    by_id = {example.id: example for example in examples}
    rows = [row for row in measurement.table.to_pylist() if row["example_id"] in by_id and row["sample"] >= 0]
    if "log_probabilities" in measurement.table.schema.names:
        chosen = [(by_id[row["example_id"]], row["log_probabilities"]) for row in rows]
        return tuple(_with_choice(example, values) for example, values in chosen)
    ended = [row for row in rows if row["finish_reason"] != "length" and row["text"].strip()]
    outcomes = _outcomes([by_id[row["example_id"]] for row in ended], [row["text"] for row in ended], scorer)
    taken: dict[str, Example] = {}
    for row, outcome in zip(ended, outcomes, strict=True):
        if not keep or outcome in keep:
            taken.setdefault(row["example_id"], _with_text(by_id[row["example_id"]], row["text"], row.get("prompt")))
    if not taken:
        kept = f", and none of the others counts as {' or '.join(keep)}" if keep and ended else ""
        raise DataError(
            f"own answers: of {number_of(len(rows), 'answer')} of the checkpoint before the loss "
            f"{len(rows) - len(ended)} did not end within max_new_tokens or are blank{kept}; raise max_new_tokens, "
            "name other prompts, or leave 'keep' out"
        )
    return tuple(taken.values())


def _with_choice(example: Example, log_probabilities: Sequence[float]) -> Example:
    """The example with the choice that was found likeliest as the right one; of equal ones the first."""
    assert isinstance(example.target, Choices)  # noqa: S101 - it was measured by its choices
    best = max(range(len(log_probabilities)), key=lambda place: log_probabilities[place])
    return replace(example, target=replace(example.target, gold=best))


def _with_text(example: Example, text: str, asked: str | None = None) -> Example:
    """The example with a text as its answer; earlier answers of a conversation are read, and not taught."""
    prompt: Text = example.prompt
    if isinstance(prompt, str):
        return replace(example, target=Reference(text.rstrip()))
    turns = (*prompt, Message("user", asked)) if asked else prompt
    return replace(
        example, prompt=tuple(replace(turn, is_taught=False) for turn in turns), target=Reference(text.strip())
    )


def _outcomes(examples: Sequence[Example], texts: Sequence[str], scorer: ScorerRef | None) -> list[str]:
    from chaintune.scoring.scorers.metric import configured  # here, as most stages ask no scorer

    if scorer is None:
        return [""] * len(texts)
    judge, settings = configured(scorer)
    return [verdict.outcome for verdict in judge.verdicts(examples, texts, settings)]


MITIGATION = Mitigation(spec=SelfReplaySpec, place="after the loss", own_trainer="own_answers")
