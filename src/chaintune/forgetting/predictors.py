"""Whether what is known of checkpoints goes with what was then forgotten: rank correlations."""

from typing import TYPE_CHECKING

import numpy as np

from chaintune.forgetting.options import Inference
from chaintune.records import ALL_SEEDS, ResultRow
from chaintune.stats.ranks import rank_correlation

if TYPE_CHECKING:
    import polars as pl


def correlation_rows(
    pairs: "pl.DataFrame", predictor: str, metric: str, *, study: str, options: Inference
) -> list[ResultRow]:
    """The rank correlation of a predictor with forgetting, of each task and, where there are several, of all.

    Pairs are taken for independent, although several may share their predictor. Over all tasks a pair is ranked among
    those of its task, as tasks differ in the scale of their loss.

    Args:
        pairs: a row each, with the columns `base`, `task`, `forgetting` and the predictor.
        predictor: name of its column.
        metric: of the rows.
        study: name of the study.
        options: level of the intervals; permutations behind each p-value, and their seed.
    """
    rows = []
    tasks = pairs["task"].unique(maintain_order=True).to_list()
    for task in [*tasks, *([""] if len(tasks) > 1 else [])]:
        chosen = pairs.filter(pairs["task"] == task) if task else pairs
        columns = (chosen[name].to_numpy().astype(np.float64) for name in (predictor, "forgetting"))
        estimate = rank_correlation(
            *columns,
            strata=chosen["task"].to_list(),
            level=options.level,
            resamples=options.resamples,
            seed=options.seed,
        )
        bases = chosen["base"].unique().to_list()
        base = bases[0] if len(bases) == 1 else ""
        rows.append(ResultRow(study, base, "", "", 0, "", task, metric, "", "", ALL_SEEDS, estimate))
    return rows
