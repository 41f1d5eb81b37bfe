"""Rows and folders of made-up studies with several variants, long names among them, for tests of what is shown."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from chaintune import forgetting
from chaintune.records import CheckpointScores, ResultRow, Settings, rows_to_polars, variant_label
from chaintune.report.results import Results
from tests import synthetic
from tests.run_folders import provenance, task

FULL: Settings = (("method", "full"), ("learning_rate", "0.0001"))
LORA: Settings = (("method", "lora"), ("learning_rate", "0.001"))
NAMED: Settings = (("recipe", "adapters_of_rank_64_with_a_smaller_rate!"),)
CHAINS = (("s",), ("s", "c"), ("c",), ("c", "s"))
# Share of the examples of a task that was taught before the last one which each variant still answers.
_KEPT = {FULL: 0.4, LORA: 0.75, NAMED: 0.85}
_GROUPS = tuple(f"group {letter}" for letter in "abcd")
_N = 80


def checkpoints(variants: Sequence[Settings], *, seeds: Sequence[int] = (0,)) -> list[CheckpointScores]:
    """The base and both orders of two tasks under each variant; of `s` every variant but the first keeps more."""
    found = [_scored((), (), seed) for seed in seeds]
    return found + [_scored(chain, one, seed) for one in variants for chain in CHAINS for seed in seeds]


def _scored(chain: tuple[str, ...], variant: Settings, seed: int) -> CheckpointScores:
    scores = {}
    for place, name in enumerate("sc"):
        # The same examples are easy under every variant, so that pairs of them tell more than both alone.
        ease = np.random.default_rng(place).random(_N)
        right = 0.9 if chain[-1:] == (name,) else _KEPT[variant] if name in chain else 0.3
        hits = ease + np.random.default_rng([seed, place, len(chain)]).normal(0, 0.05, _N) < right
        groups = {"kind": [_GROUPS[row % 4] for row in range(_N)]}
        clusters = [f"{name}{row // 2}" for row in range(_N)]
        scores[name] = synthetic.scores(hits.tolist(), task=name, groups=groups, clusters=clusters)
    return CheckpointScores(synthetic.checkpoint(*chain, variant=variant, seed=seed), scores)


@cache
def rows(*variants: Settings, seeds: tuple[int, ...] = (0,)) -> tuple[ResultRow, ...]:
    """The rows of such a study."""
    given = checkpoints(variants, seeds=seeds)
    return tuple(forgetting.summarise(given, study="made", roles={"s": "safety", "c": "capability"}, resamples=200))


def results(*variants: Settings, seeds: tuple[int, ...] = (0,)) -> Results:
    """What a report of such a study is made of."""
    named = {variant_label(one): dict(one) for one in variants}
    about = {**provenance([task("s", count=3), task("c", count=3)]), "variants": named, "recipe": {"epochs": "1"}}
    return Results("Forgetting in the study made", rows(*variants, seeds=seeds), 0.95, provenance=about)


def run_folder(folder: Path, *variants: Settings) -> Path:
    """What a finished run of such a study leaves behind, as far as a report reads it."""
    made = results(*variants)
    rows_to_polars(made.rows).write_parquet(folder / "results.parquet")
    (folder / "provenance.json").write_text(json.dumps(made.provenance))
    content = {"study": "made", "rows": [row.to_dict() for row in made.rows], "limits": {}}
    (folder / "results.json").write_text(json.dumps(content))
    return folder
