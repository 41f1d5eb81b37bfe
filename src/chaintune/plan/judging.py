"""Which texts scorers with a model judge: a node for each measurement of a task by each such scorer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaintune.plan.nodes import JudgementNode, ScoreNode, Split
from chaintune.records import ScorerRef, canonical_digest

JUDGEMENT_FORMAT = 1


@dataclass(frozen=True, slots=True)
class TaskJudge:
    """A scorer of a task that asks a model.

    Attributes:
        scorer: as the task names it.
        measure: name of what it measures.
        base, base_key: the model's name among the bases, and its content's key.
        precision: of its weights; empty where they are not here.
        judge: digest of everything that determines a verdict beside the question.
        questions: digest of what the model gets to see of a split's examples beside the texts.
        tokens: that it reads and writes for a split at most; 0 if not counted.
    """

    scorer: ScorerRef
    measure: str
    base: str
    base_key: str
    precision: str
    judge: str
    questions: Mapping[Split, str]
    tokens: Mapping[Split, int]

    def node(self, texts: ScoreNode) -> JudgementNode:
        """The job that judges the texts of a measurement."""
        key = canonical_digest(
            {
                "format": JUDGEMENT_FORMAT,
                "kind": "judgement",
                "measurement": texts.key,
                "judge": self.judge,
                "questions": self.questions[texts.split],
                "measure": self.measure,
            }
        )
        return JudgementNode(
            key=key,
            base=self.base,
            base_key=self.base_key,
            chain=texts.chain,
            seed=texts.seed,
            precision=self.precision,
            variant=texts.variant,
            checkpoint_key=self.base_key,
            task=texts.task,
            split=texts.split,
            measure=self.measure,
            tokens=self.tokens[texts.split],
            called=texts.called,
            scorer=self.scorer,
            measurement_key=texts.key,
            judge=self.judge,
            judged_key=texts.checkpoint_key,
            judged_base=texts.base,
        )


# Of each task that has some.
Judges = Mapping[str, Sequence[TaskJudge]]


def last(judgements: Sequence[JudgementNode]) -> list[JudgementNode]:
    """The judgements, those of one model behind each other, so that each model is loaded once."""
    models = {key: place for place, key in enumerate(dict.fromkeys(node.base_key for node in judgements))}
    return sorted(judgements, key=lambda node: models[node.base_key])
