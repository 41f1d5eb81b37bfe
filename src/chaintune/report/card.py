"""Sections of a model card: what was forgotten, by whom, what was replayed, and what that brought back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from chaintune.forgetting.recommend import highest_prices
from chaintune.records import Limits, Recommendation, ResultRow
from chaintune.records.checkpoint import BASE
from chaintune.records.scales import PERCENT
from chaintune.report.answers import CHANCE_HEADER, chance_cells
from chaintune.report.cells import Table, change, score
from chaintune.report.external import external_sentence, external_stages
from chaintune.report.gate import gate_sentence, gate_table
from chaintune.report.markdown import code, escape, table_markdown
from chaintune.report.mitigations import mitigation_tables
from chaintune.report.model_index import model_index
from chaintune.report.outcomes import outcome_tables
from chaintune.report.readme import merged
from chaintune.report.results import Results
from chaintune.report.tables import group_tables, result_tables
from chaintune.report.words import definition, summary
from chaintune.results import StudyCheckpoint

FORGETTING = "forgetting"
_FRONT = "---\nlibrary_name: transformers\ntags:\n- chaintune\n---\n"
_SCOPE = (
    "These numbers speak about these checkpoints and the examples they were measured on, not about the task as such, "
    "other tasks, or safety in use."
)
_CHOSEN_ON_TEST = (
    "The checkpoint was chosen with the same test examples that its recovery was measured on; measure it on fresh ones "
    "before relying on the figure."
)


def forgetting_section(results: Results, *, before: str = "", chain: str = "") -> str:
    """The section of a model's card on forgetting: since `before` of comparisons, or at the end of a study's chain."""
    parts = ["## Forgetting", *(_of_comparisons(results, before) if results.comparisons else _of_study(results, chain))]
    return "\n\n".join([*parts, _SCOPE]) + "\n"


def _of_comparisons(results: Results, before: str) -> Iterator[str]:
    since = f"What this model forgot since {escape(before)}: both answered the same examples."
    yield f"{since} {definition(results.rows)}"
    if gate := results.gate:
        yield f"By the budgets of {escape(gate.policy)}: {escape(gate_sentence(gate))}"
        yield _nested(gate_table(gate))
    for part in results.parts:
        yield escape(summary(part))
        yield from map(_nested, result_tables(part))


def _of_study(results: Results, chain: str) -> Iterator[str]:
    own = [row for row in results.shown if row.chain == chain]
    lost = [row for row in own if row.metric == "forgetting" and row.is_whole]
    variant = f", variant {escape(own[0].variant)}" if own[0].variant else ""
    elsewhere = external_sentence(external_stages(results.provenance), own[0].steps)
    yield (
        f"This model is the checkpoint {escape(chain)} of the study {escape(own[0].study)}{variant}: tuned on these "
        f"tasks in this order. {definition(own)} Before is the earlier checkpoint named, after is this model. "
        f"Intervals have level {results.level:g}.{f' {escape(elsewhere)}' if elsewhere else ''}"
    )
    yield _nested(_lost(lost, results.shown)) if lost else "No task was followed by another, so none was forgotten."
    yield from map(_nested, outcome_tables(_answered(own, results.shown)))
    yield from map(_nested, group_tables(own))
    seeds = max((row.estimate.n_seeds for row in lost), default=1)
    if seeds > 1:
        yield f"Over {seeds} seeds."


def _answered(own: Sequence[ResultRow], rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Mean scores of a checkpoint, and of those that its losses are counted from."""
    keys = {row.key._replace(reference="") for row in own}
    keys |= {row.key._replace(chain=row.reference, reference="") for row in own if row.metric == "forgetting"}
    keys |= {key._replace(variant="") for key in keys if key.chain == BASE}
    return [row for row in rows if row.metric == "accuracy" and row.key in keys]


def model_card(
    rows: Sequence[ResultRow],
    choice: Recommendation,
    *,
    written: str,
    before: str,
    after: str,
    recipe: Mapping[str, Any],
    level: float,
) -> str:
    """A model card whose only section is about forgetting; merge it into one that says what the model is for.

    Args:
        rows: of the mitigation.
        choice: of the doses tested.
        written: chain of the model that the card is of.
        before: name of the model that still knew the task.
        after: name of the model that was replayed to, or merged.
        recipe: of the replay; empty of a merge.
        level: of the intervals.
    """
    how = "replayed" if recipe else "merged back"
    title = f"# {escape(after.rstrip('/').rpartition('/')[2])}, with {escape(choice.task)} {how}"
    step = next((row.steps[-1] for row in rows if row.chain == written and row.steps), written)
    parts = ["## Forgetting and mitigation", _made(choice, step, before, after, recipe), _rule(choice, written, rows)]
    results = Results("", rows, level, Limits(choice.target, choice.margin))
    parts += [_nested(table) for table in mitigation_tables(results)]
    section = "\n\n".join([*parts, f"{_SCOPE} {_CHOSEN_ON_TEST}"])
    own = [row for row in rows if (row.chain, row.variant) == (written, choice.variant)]
    name = after.rstrip("/").rpartition("/")[2]
    index = model_index(name, own, level=level)
    return merged(f"{_FRONT}\n{title}\n", name="mitigation", section=section, index=index, where="README.md")


def checkpoint_card(results: Results, checkpoint: StudyCheckpoint, *, name: str, base: str, adapter: bool) -> str:
    """The README of a checkpoint of a study that is handed on.

    Args:
        results: of the study.
        checkpoint: of it.
        name: of the folder.
        base: what an adapter calls its base, a Hub id or a path seen from the folder; empty of a whole model.
        adapter: whether it is an adapter alone.
    """
    chain, variant, seed = checkpoint.chain, checkpoint.variant, checkpoint.seed
    # The base was measured once for all seeds.
    seeds = [row for row in results.rows if row.seed == seed or row.chain == BASE]
    alike = [row for row in seeds if row.base == checkpoint.base and row.variant in (variant, "")]
    own = [row for row in alike if row.chain == chain]
    front: dict[str, Any] = {"library_name": "peft" if adapter else "transformers", "tags": ["chaintune"]}
    # The Hub knows no folders.
    front |= {"base_model": base.partition("@")[0]} if base and not base.startswith(".") else {}
    what = f"An adapter on {code(base)}" if adapter else "A model"
    where = " (a path seen from this folder: hand the base on too, or name it by its Hub id)"
    steps = ", then ".join(own[0].steps) if own and own[0].steps else chain
    beside = "".join(f", {part}" for part in (variant, f"seed {seed}" if seed else "") if part)
    text = (
        f"{what}{where if adapter and base.startswith('.') else ''}: {escape(checkpoint.base)} tuned on "
        f"{escape(steps)}{escape(beside)}, by chaintune."
    )
    head = f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n# {escape(name)}\n\n{text}\n"
    section = forgetting_section(replace(results, rows=alike), chain=chain)
    index = model_index(name, own, level=results.level)
    return merged(head, name=FORGETTING, section=section, index=index, where="README.md")


def _nested(table: Table) -> str:
    """A table under the section's own heading."""
    return f"#{table_markdown(table)}"


def _lost(lost: Sequence[ResultRow], rows: Sequence[ResultRow]) -> Table:
    return Table(
        "Every task that another followed",
        "",
        (
            "task",
            "n",
            "clusters",
            "seeds",
            "earlier checkpoint",
            "score then",
            "score now",
            *CHANCE_HEADER,
            "forgetting",
            "verdict",
        ),
        tuple(_lost_cells(row, rows) for row in lost),
    )


def _lost_cells(row: ResultRow, rows: Sequence[ResultRow]) -> tuple[str, ...]:
    before, now = (_score(rows, row.task, chain) for chain in (row.reference, row.chain))
    counts = (row.estimate.n, row.estimate.n_clusters, row.estimate.n_seeds)
    scores = (score(before, named=True), score(now, named=True))
    guessing = chance_cells(now.answers, now.unit) if now else ("", "")
    about = (row.task, *map(str, counts), row.reference)
    return (*about, *scores, *guessing, change(row, named=True), row.verdict)


def _score(rows: Sequence[ResultRow], task: str, chain: str) -> ResultRow | None:
    place = ("accuracy", task, chain, "")
    return next((row for row in rows if (row.metric, row.task, row.chain, row.dimension) == place), None)


def _made(choice: Recommendation, step: str, before: str, after: str, recipe: Mapping[str, Any]) -> str:
    fields = ", ".join(f"{name} {value}" for name, value in recipe.items())
    lost = f"{code(after)} had lost part of what {code(before)} knew of {escape(choice.task)}. This model is"
    if not recipe:
        return f"{lost} made of both without training: {escape(step)} ({escape(choice.dose_curve)})."
    return (
        f"{lost} {code(after)} after one more stage of training on {escape(step)} ({escape(choice.dose_curve)}; the "
        f"share is of the task's training data). Recipe: {escape(fields)}."
    )


def _rule(choice: Recommendation, written: str, rows: Sequence[ResultRow]) -> str:
    highest = escape(highest_prices(rows, choice.margin))
    limits = (
        f"Rule: the smallest {choice.varied} whose recovery lies above {PERCENT.amount(choice.target)} with its whole "
        f"interval, while the price in every kept task lies below {highest} with its whole interval."
    )
    if written == choice.chosen:
        return f"{limits} This {choice.varied} is {escape(choice.reason)}."
    none = f"**No {choice.varied} tested reaches it**"
    return f"{limits} {none}; this one has the largest recovery. {escape(choice.reason)}."
