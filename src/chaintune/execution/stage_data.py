"""What a stage trains on, as examples: doses drawn, groups weighed, the protected task's examples chosen."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chaintune.execution.compute import StageInputs
from chaintune.forgetting import compare
from chaintune.plan.nodes import MEASUREMENT_FILE, DataMix, OwnAnswers, Portion, StageNode
from chaintune.records import Example, Measurement, Scores
from chaintune.records.preference import REFERENCE
from chaintune.scoring.reading import read_scores
from chaintune.tasks.sizes import dose_size
from chaintune.tuning.mitigations.joint import together
from chaintune.tuning.mitigations.replay import group_weights, places_of, take_dose
from chaintune.tuning.mitigations.self_replay import own_answers

_LOG = logging.getLogger(__name__)
# Weights need the groups' values alone; the intervals that come with them may be rough.
_RESAMPLES = 100


@dataclass(frozen=True, slots=True)
class StageData:
    """The examples of one stage.

    Attributes:
        examples: trained on throughout.
        replayed: what stands in place of as many of them.
        protected: what a regulariser looks at.
        notes: how they were chosen, for the checkpoint's manifest.
    """

    examples: Sequence[Example]
    replayed: Sequence[Example] = ()
    protected: Sequence[Example] = ()
    notes: dict[str, Any] = field(default_factory=dict)


def stage_data_of(node: StageNode, inputs: StageInputs) -> StageData:
    """The examples of a stage."""
    operation = node.operation
    assert isinstance(operation, DataMix)  # noqa: S101 - merges are made elsewhere
    notes: dict[str, Any] = {}
    drawn = [
        _with_reference(_drawn(portion, node.seed, inputs, notes), portion, inputs) for portion in operation.portions
    ]
    examples = together(drawn) if operation.mixing == "shuffled" else drawn[0]
    replayed = drawn[1] if operation.mixing == "swapped" else ()
    if replayed:
        notes["swapped_in_examples"] = len(replayed)
    return StageData(examples, replayed, _protected(operation, node.seed, inputs, notes), notes)


def _drawn(portion: Portion, seed: int, inputs: StageInputs, notes: dict[str, Any]) -> Sequence[Example]:
    every: Sequence[Example] = inputs.tasks[portion.task].train
    train = every
    if portion.own:
        wanted = dose_size(portion.dose, len(every), task=portion.task)
        train = _answered(portion.task, portion.own, inputs, notes, wanted=wanted)
    if portion.dose == 1:
        return train
    weights, ranked = None, None
    if portion.weighed_by:
        task = inputs.tasks[portion.task]
        paths = (inputs.scores[key] / MEASUREMENT_FILE for key in portion.weighed_by)
        before, after = (read_scores(path, task, split="train") for path in paths)
        if portion.by:
            lost = _lost_by(before, after, portion.by)
            weights = group_weights(lost)
            notes |= {"forgetting_on_train": lost, "replay_weights": weights}
        else:
            ranked = places_of(portion.who, _worth(before), _worth(after), seed=seed)
    how: dict[str, Any] = {"task": portion.task, "seed": seed, "by": portion.by, "weights": weights, "of": len(every)}
    taken = take_dose(train, portion.dose, **how, ranked=ranked)
    if portion.by:
        notes["replayed_of_each_group"] = _counts(taken, portion.by)
    return taken


def _worth(scores: Scores) -> dict[str, float]:
    """What each example's answer is worth under a checkpoint, more is better; without a score it counts as the worst.

    Of choices by how many nats the right one is likelier than the best other: right or wrong would rank few apart.
    """
    table = scores.table
    names = scores.example_ids
    if {"choice_logprobs", "gold"} <= set(scores.details):
        rows = zip(table.column("choice_logprobs").to_pylist(), table.column("gold").to_pylist(), strict=True)
        return dict(zip(names, [_lead(*row) for row in rows], strict=True))
    sign = 1.0 if scores.metric.direction == "more" else -1.0
    values = table.column("score").to_pylist()
    return {name: -math.inf if value is None else sign * value for name, value in zip(names, values, strict=True)}


def _lead(log_probabilities: Sequence[float], gold: int) -> float:
    others = [value for place, value in enumerate(log_probabilities) if place != gold]
    return log_probabilities[gold] - max(others)


def _answered(
    task: str, own: OwnAnswers, inputs: StageInputs, notes: dict[str, Any], *, wanted: int
) -> Sequence[Example]:
    """A task's training examples with the answers that an earlier checkpoint gave, where these are taken.

    Fewer than are wanted are told, and taught as they are.
    """
    examples = inputs.tasks[task].train
    measurement = Measurement.read(inputs.scores[own.measurement] / MEASUREMENT_FILE)
    answered = own_answers(examples, measurement, keep=own.keep, scorer=own.scorer)
    notes["own_answers"] = {"asked": len(examples), "taken": len(answered), "wanted": wanted}
    if len(answered) < wanted:
        _LOG.warning(
            "task '%s': %d own answers are wanted, and of %d prompts %d have one that is taken; the stage has these",
            task,
            wanted,
            len(examples),
            len(answered),
        )
    return answered


def _with_reference(examples: Sequence[Example], portion: Portion, inputs: StageInputs) -> Sequence[Example]:
    """The examples with the log-probabilities that the model before the stage gives their answers, where measured."""
    if not portion.reference:
        return examples
    table = Measurement.read(inputs.scores[portion.reference] / MEASUREMENT_FILE).table
    columns = ("example_id", "chosen_log_probability", "rejected_log_probability")
    rows = zip(*(table.column(name).to_pylist() for name in columns), strict=True)
    known = {name: list(both) for name, *both in rows}
    return [replace(one, extra={**one.extra, REFERENCE: known[one.id]}) for one in examples]


def _lost_by(before: Scores, after: Scores, by: str) -> dict[str, float]:
    """Best estimate of the forgetting of each group of a dimension, from all its groups together.

    Where there is none, as of few groups, it is the group's own forgetting, or the whole's and its difference from it.
    Of labels that too few clusters have nothing is known, and that counts as no loss.
    """
    comparison = compare(before, after, by=[by], resamples=_RESAMPLES)
    whole = comparison.overall.forgetting.value
    lost = {
        row.group: (row.pooled_forgetting.value, row.forgetting.value, whole + row.biased_forgetting.value)
        for row in comparison.groups
    }
    return {group: next((value for value in values if not math.isnan(value)), 0.0) for group, values in lost.items()}


def _counts(examples: Sequence[Example], by: str) -> dict[str, int]:
    groups = [group for example in examples for group in example.groups.get(by, ())]
    return {group: groups.count(group) for group in sorted(set(groups))}


def _protected(operation: DataMix, seed: int, inputs: StageInputs, notes: dict[str, Any]) -> Sequence[Example]:
    if not operation.protected:
        return ()
    every: Sequence[Example] = inputs.tasks[operation.protected].train
    own, count = operation.protected_own, min(operation.protected_examples, len(every))
    train = _answered(operation.protected, own, inputs, notes, wanted=count) if own else every
    return take_dose(train, count / len(every), task=operation.protected, seed=seed, of=len(every))
