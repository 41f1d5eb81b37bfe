"""The pairs of checkpoints of a study whose items are shown: those that its forgetting speaks about."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import pyarrow.parquet as pq

from chaintune.files.reading import as_written
from chaintune.forgetting.pairing import align, pair
from chaintune.records import ALL_SEEDS, ResultRow, Scores
from chaintune.report.page.items import Step
from chaintune.report.results import Results
from chaintune.scoring.score_files import indexed_scores

# Many checkpoints are compared with the same one, and all of them together may not fit into memory.
_KEPT = 4


def run_steps(results: Results, *, written: bool = False) -> Iterator[Step]:
    """Each checkpoint that was measured for forgetting, with the one that it is compared with; read one by one.

    A row without keys, as the first edition wrote them, or whose scores are gone is left out.

    Args:
        results: with the folder of a run, for its `scores/index.json`; none without one.
        written: the ones whose texts were written, with examples that lack a score; else those of other scores.
    """
    files = indexed_scores(results.folder) if results.folder else {}
    whole = (row for row in results.rows if row.metric == "forgetting" and row.is_whole and row.deciding)
    lost = [row for row in whole if row.seed != ALL_SEEDS]
    several = {name: len({getattr(row, name) for row in lost}) > 1 for name in ("base", "seed")}
    read = lru_cache(maxsize=_KEPT)(Scores.read)
    for row in lost:
        paths = [files.get((key, row.task)) for key in (*row.reference_keys, *row.checkpoint_keys)]
        before, after = paths if len(paths) == 2 else (None, None)
        if before and after and all(_is_written(path) is written for path in (before, after)):
            both = (align if written else pair)(read(before), read(after))
            yield Step(_name(row, several), both.before, both.after)


def _is_written(path: Path) -> bool:
    """Whether a score file holds texts."""
    with as_written(path):
        return "texts" in pq.read_schema(path).names


def _name(row: ResultRow, several: Mapping[str, bool]) -> str:
    """`bbq: bbq, then bbq>csqa`, with base, knobs and seed where there are several."""
    parts = [row.base if several["base"] else "", row.variant, f"seed {row.seed}" if several["seed"] else ""]
    beside = ", ".join(filter(None, parts))
    return f"{row.task}: from {row.reference} to {row.chain}" + (f" ({beside})" if beside else "")
