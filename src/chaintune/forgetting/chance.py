"""Whether scores can show a loss: how their examples were answered, and whether the score before is above chance.

What a model cannot do, it cannot forget; and a checkpoint that says nothing shows nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.outcomes import outcomes_of
from chaintune.forgetting.rows import Subject, accuracy_rows, by_seed, subject_of
from chaintune.forgetting.runs import Runs
from chaintune.records import Answers, Checkpoint, ResultRow, Scores
from chaintune.records.answers import NO_PREFERENCE, NO_RESPONSE, REFUSAL, doubt
from chaintune.records.choice import CHOICE_SCHEMA, all_tied
from chaintune.records.examples import LABEL
from chaintune.records.scales import levels_in
from chaintune.stats.clusters import Floats

Place = tuple[str, str, str]  # seed, dimension and group of a row
# Scores of all examples, those that lack one under some checkpoint among them, one a seed, and their groups.
Every = tuple[Sequence[Scores], Grouping]


def level_rows(
    subject: Subject,
    groups: Grouping,
    tables: Sequence[Scores],
    values: Floats,
    seeds: Sequence[int],
    options: Inference,
    *,
    every: Every | None = None,
) -> list[ResultRow]:
    """Mean score of the whole task and of every group, with how their examples were answered.

    Args:
        subject: of the rows.
        groups: of the examples.
        tables: of the scores, one a seed.
        values: that they were turned into.
        seeds: of the tables.
        options: how sure.
        every: of all examples, of which outcomes are counted; None where no score is missing.

    Shape: values `[S, E]`.
    """
    answers = _by_place(tables, groups, seeds, every)
    rows = accuracy_rows(subject, groups, values, seeds, options)
    return [replace(row, answers=answers[row.seed, row.dimension, row.group]) for row in rows]


def _by_place(
    tables: Sequence[Scores], groups: Grouping, seeds: Sequence[int], every: Every | None
) -> dict[Place, Answers]:
    answers: dict[Place, Answers] = {}
    for seed, positions in by_seed(seeds):
        own = ([every[0][at] for at in positions], every[1]) if every else None
        several = answers_of([tables[at] for at in positions], groups, own)
        answers |= {(seed, *label): own for label, own in zip(groups.labels, several, strict=True)}
    return answers


def checkpoint_levels(
    runs: Runs, conditions: Sequence[Checkpoint], seeds: Sequence[int], task: str, options: Inference
) -> list[ResultRow]:
    """`level_rows` of a task under the conditions of some seeds, one a seed."""
    subject, tables = subject_of(runs, conditions[0], task, seeds), runs.tables(conditions, seeds, task)
    values, every = runs.stacked_each(conditions, seeds, task), _every(runs, conditions, seeds, task)
    return level_rows(subject, runs.groups[task], tables, values, seeds, options, every=every)


def _every(runs: Runs, conditions: Sequence[Checkpoint], seeds: Sequence[int], task: str) -> Every | None:
    """All examples of a task of which some lack a score; None where none does."""
    if task not in runs.every_group:
        return None
    return runs.every_table(conditions, seeds, task), runs.every_group[task]


def judged_between(
    rows: Sequence[ResultRow],
    runs: Runs,
    conditions: tuple[Sequence[Checkpoint], Sequence[Checkpoint]],
    seeds: Sequence[int],
    task: str,
    options: Inference,
) -> list[ResultRow]:
    """`judged_rows` of a task of a study, between the earlier and the later conditions, one a seed each."""
    before = checkpoint_levels(runs, conditions[0], seeds, task, options)
    every = _every(runs, conditions[1], seeds, task)
    after = _by_place(runs.tables(conditions[1], seeds, task), runs.groups[task], seeds, every)
    return judged_rows(rows, before, after, options)


def judged_rows(
    rows: Sequence[ResultRow], before: Sequence[ResultRow], after: Mapping[Place, Answers], options: Inference
) -> list[ResultRow]:
    """The rows of changes; those that cannot show a loss with the reason, and no verdict that would claim one or none.

    Args:
        rows: of changes between two checkpoints; those without a verdict stay as they are.
        before: `level_rows` of the earlier checkpoint, of the same seeds and groups.
        after: how the later one answered.
        options: whose level the scores' intervals have.
    """
    levels = {(row.seed, row.dimension, row.group): row for row in before}
    judged = []
    for row in rows:
        if not row.verdict or math.isnan(row.estimate.low):
            judged.append(row)
            continue
        place = (row.seed, row.dimension, row.group)
        # That all examples of one label are right is no skill where all others get that label too.
        skill = levels[(row.seed, "", "") if row.dimension == LABEL else place]
        sides = {row.reference: levels[place].answers, row.chain or "after": after[place]}
        open_ = silence(sides) or doubt(sides)
        reason = open_ or not_above_chance(skill, row.reference, level=options.level) or row.verdict_reason
        stays = not reason or (row.verdict == "gained" and not open_)
        judged.append(replace(row, verdict_reason=reason, verdict=row.verdict if stays else "inconclusive"))
    return judged


def not_above_chance(before: ResultRow, name: str, *, level: float) -> str:
    """Why a score is not shown to be above chance; empty where it is, or nothing is known of chance.

    Args:
        before: of a mean score.
        name: of the checkpoint.
        level: of its interval.
    """
    estimate, answers = before.estimate, before.answers
    if math.isnan(answers.chance) or estimate.low > answers.chance:
        return ""
    scale = levels_in(before.unit)
    chance = scale.with_unit(scale.numbers(answers.chance)[0])
    text = f"{name} scores {scale.text(estimate, level=level)}, which is not shown to be above chance, {chance}"
    if answers.is_rote:
        text += f"; it {answers.rote_text()}"
    return f"{text}; what a model cannot do, it cannot forget"


def silence(sides: Mapping[str, Answers]) -> str:
    """Why the scores of checkpoints, by their names, say nothing of what the model knows; empty where they do."""
    mute = [f"{name} {answers.silent_text()}" for name, answers in sides.items() if answers.is_silent]
    return f"{'; '.join(mute)}, so the scores do not tell what was known" if mute else ""


def answers_of(tables: Sequence[Scores], groups: Grouping, every: Every | None = None) -> list[Answers]:
    """How the examples of the whole task and of every group were answered, and what guessing would score.

    Args:
        tables: of the same examples in the same order, one a seed.
        groups: of the examples.
        every: of all examples, of which outcomes are counted; None where no score is missing.
    """
    counted = every or (tables, groups)
    outcomes = dict(zip(counted[1].labels, outcomes_of(*counted), strict=True))
    members = sparse.csr_array(groups.design.members.T)  # [K, E]
    named = [_Named.of(one) for one in tables]
    golds, answers = _Counts.of(members, [named[0].golds]), _Counts.of(members, [one.answers for one in named])
    chances = _chances(tables[0], groups, members, golds)
    silent = np.sum([_silent(one) for one in tables], axis=0) @ members.T  # [3, K]
    rows = []
    commonest = zip(groups.design.n.tolist(), golds.commonest(), answers.commonest(), silent.T, strict=True)
    for k, (n, (label, labelled), (answer, answered), counts) in enumerate(commonest):
        ties, empty, refused = map(round, counts.tolist())
        rows.append(
            Answers(
                chance=float(chances[k]) if n else math.nan,
                gold_label=label,
                gold_label_share=labelled / n if label else math.nan,
                answer=answer,
                answer_share=answered / (n * len(tables)) if answer else math.nan,
                answer_gold_share=golds.number(k, answer) / n if answer else math.nan,
                n_answers=n * len(tables),
                ties=ties,
                empty_answers=empty,
                refusals=refused,
                outcomes=outcomes.get(groups.labels[k], ()),
            )
        )
    return rows


@dataclass(frozen=True, eq=False)
class _Named:
    """Right answers and answers, a row an example: labels, else positions of choices; None where they are neither."""

    golds: pa.Array | None
    answers: pa.Array | None

    @classmethod
    def of(cls, scores: Scores) -> "_Named":
        table = scores.table
        if table.column("chance").null_count:
            return cls(None, None)  # no answer is right, or none is a label or a choice
        if scores.has_labels:
            return cls(*(table.column(name).combine_chunks() for name in ("label", "answer")))
        if "prediction" not in table.column_names:
            return cls(None, None)
        places = (pc.add(table.column(name).combine_chunks(), 1) for name in ("gold", "prediction"))
        return cls(*(pc.binary_join_element_wise("choice", pc.cast(own, pa.string()), " ") for own in places))


@dataclass(frozen=True, eq=False)
class _Counts:
    """How often each text occurs in each group, in the order of the texts. Shape: counts `[K, V]`."""

    names: list[str]
    counts: Floats

    @classmethod
    def of(cls, members: sparse.csr_array, texts: Sequence[pa.Array | None]) -> "_Counts":
        """The counts of several rows of texts together; none where one is not known."""
        known = [one for one in texts if one is not None]
        if len(known) < len(texts) or not len(known[0]):
            return cls([], np.zeros((members.shape[0], 0)))
        encoded = pc.dictionary_encode(pa.chunked_array(known).combine_chunks())
        codes = encoded.indices.fill_null(-1).to_numpy()
        each = np.zeros((members.shape[1], len(encoded.dictionary)))
        np.add.at(each, (np.tile(np.arange(len(each)), len(known))[codes >= 0], codes[codes >= 0]), 1.0)
        names = encoded.dictionary.to_pylist()
        order = sorted(range(len(names)), key=names.__getitem__)
        return cls([names[k] for k in order], (members @ each)[:, order])

    def commonest(self) -> list[tuple[str, float]]:
        """The text that occurs most often in each group, the first of several, and how often; none where none does."""
        if not self.names:
            return [("", 0.0)] * len(self.counts)
        best = self.counts.argmax(axis=1)
        most = self.counts[np.arange(len(best)), best].tolist()
        return [(self.names[code] if count else "", count) for code, count in zip(best, most, strict=True)]

    def number(self, group: int, text: str) -> float:
        """How often a text occurs in a group."""
        return float(self.counts[group, self.names.index(text)]) if text in self.names else 0.0


def _chances(scores: Scores, groups: Grouping, members: sparse.csr_array, golds: _Counts) -> NDArray[np.float64]:
    """What guessing scores in each group; NaN where it is not known. Shape: `[K]`."""
    metric, sizes, balanced = scores.metric, np.maximum(groups.design.n, 1), groups.design.labels
    known = scores.table.column("chance").to_numpy(zero_copy_only=False).astype(np.float64)
    if metric.direction == "less" or np.isnan(known).any():
        return np.full(len(sizes), math.nan)
    if balanced is not None:
        count = int(balanced.whole.sum())
        return np.full(len(sizes), 1 / count if count > 1 else math.nan)
    if scores.has_labels:
        return np.asarray(golds.counts.max(axis=1) / sizes)
    return np.asarray(members @ known / sizes)


def _silent(scores: Scores) -> NDArray[np.float64]:
    """Whether each example is a tie of all choices, has an empty answer, was declined. Shape: `[3, E]`."""
    table, metric = scores.table, scores.metric
    has_choices = set(CHOICE_SCHEMA.names) <= set(scores.details)
    answers, outcomes = table.column("answer"), table.column("outcome")
    ties = all_tied(table, metric.name) if has_choices else _whether(pc.equal(outcomes, NO_PREFERENCE))
    empty = _whether(pc.or_kleene(pc.equal(pc.utf8_trim_whitespace(answers), ""), pc.equal(outcomes, NO_RESPONSE)))
    # To decline may be what is right: then it has the best score there is.
    best = scores.item_scores() == metric.range[metric.direction == "more"]
    return np.stack([ties, empty, _whether(pc.equal(outcomes, REFUSAL)) & ~best]).astype(np.float64)


def _whether(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(column, False).to_numpy(), dtype=bool)
