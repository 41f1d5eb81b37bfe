"""Rows of the AUC of two labels, beside balanced accuracy and never with a verdict."""

from collections.abc import Sequence
from dataclasses import replace

from chaintune.forgetting.grouping import Grouping
from chaintune.forgetting.options import Inference
from chaintune.forgetting.rows import Subject, by_seed
from chaintune.forgetting.units import Unit
from chaintune.records import ItemMetric, ResultRow, Scores
from chaintune.records.comparison import AUC
from chaintune.records.examples import LABEL
from chaintune.stats.auc import Ranking, auc, ranking

_AUC = Unit(ItemMetric(AUC, average="balanced"))


def auc_rows(
    subject: Subject,
    metric: str,
    groups: Grouping,
    tables: Sequence[Scores],
    seeds: Sequence[int],
    options: Inference,
    *,
    minus: Sequence[Scores] = (),
) -> list[ResultRow]:
    """The AUC of the whole task and of its groups, or what one minus another is; none without two labels' log-odds.

    Args:
        subject: of the rows.
        metric: of the rows, such as `accuracy` for the AUC itself.
        groups: of the examples.
        tables: one a seed.
        seeds: of the tables.
        options: how sure.
        minus: tables whose AUC is subtracted, one a seed.
    """
    if groups.design.labels is None or len(groups.design.labels.names) != 2:
        return []
    known: dict[int, Ranking | None] = {id(table): _ranking(groups, table) for table in (*tables, *minus)}
    pairs = [(known[id(one)], known[id(other)]) for one, other in zip(tables, minus or tables, strict=True)]
    ranked = [(one - other if minus else one) for one, other in pairs if one is not None and other is not None]
    if len(ranked) < len(seeds):
        return []
    rows = []
    for seed, positions in by_seed(seeds):
        chosen = [ranked[at] for at in positions]
        estimates = auc(groups.design, chosen, level=options.level, seed=options.seed, is_level=not minus)
        rows += [
            replace(replace(subject, item_unit=_AUC).row(metric, seed, estimate, label), deciding=False)
            for estimate, label in zip(estimates, groups.labels, strict=True)
            if label[0] != LABEL
        ]
    return rows


def _ranking(groups: Grouping, scores: Scores) -> Ranking | None:
    odds, labels = scores.log_odds(), groups.design.labels
    return None if odds is None or labels is None else ranking(groups.design, labels, odds)
