"""Folders of finished runs for tests of their pages: two tasks, both orders, texts and names that try to be markup."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from chaintune import forgetting
from chaintune.records import (
    CheckpointScores,
    Choices,
    Example,
    Figure,
    ResultRow,
    Scores,
    Task,
    chain_label,
    rows_to_polars,
    scores_table,
)
from tests import synthetic

HOSTILE = '<script>document.title="taken"</script>"><img src=x onerror="document.title=\'taken\'">\u2028</textarea><!--'
FAITHS = ("a", "b", HOSTILE)
CHAINS: tuple[tuple[str, ...], ...] = ((), ("s",), ("s", "c"), ("c",), ("c", "s"))


def task(name: str, *, count: int = 60) -> Task:
    """A task whose third of the examples are hostile through and through."""
    examples = [
        Example(
            f"{name}/{number}" + ("</script>" if number % 3 == 2 else ""),
            f"Question {number}? " + (HOSTILE if number % 3 == 2 else "Plain."),
            Choices((" yes", " no", f" {HOSTILE}"), 0),
            {"faith": (FAITHS[number % 3],), "half": ("one" if number < count / 2 else "two",)},
            f"{name}{number // 2}",
        )
        for number in range(count)
    ]
    test = tuple(sorted(examples, key=lambda example: example.id))
    return Task(
        name, "safety" if name == "s" else "capability", f"{name}-1", (), test, ("faith", "half"), "made", "CC0"
    )


def scored(of: Task, *, right: float, seed: int) -> Scores:
    """Scores of which about this share is right."""
    rng = np.random.default_rng(seed)
    hits = rng.random(len(of.test)) < right
    logprobs = [[-0.5, -2.0, -3.0] if hit else [-2.0, -0.5 - rng.random(), -3.0] for hit in hits]
    return Scores(of.name, scores_table(of.name, of.test, logprobs, [[1, 1, 1]] * len(hits)))


def measured(tasks: Sequence[Task]) -> list[CheckpointScores]:
    """Every checkpoint of both orders; what was learned last is known best."""
    found = []
    for number, chain in enumerate(CHAINS):
        scores = {}
        for place, one in enumerate(tasks):
            right = 0.9 if chain[-1:] == (one.name,) else 0.55 if one.name in chain else 0.3
            scores[one.name] = scored(one, right=right, seed=10 * number + place)
        found.append(CheckpointScores(synthetic.checkpoint(*chain), scores))
    return found


@cache
def _results(names: tuple[str, ...], count: int) -> tuple[list[CheckpointScores], list[ResultRow]]:
    """Checkpoints of the tasks of these names, and the rows of their study; many folders are of the same."""
    tasks = [task(name, count=count) for name in names]
    found, roles = measured(tasks), {one.name: one.role for one in tasks}
    return found, forgetting.summarise(found, study="made", roles=roles, resamples=300, margin=0.02)


def run_folder(folder: Path, tasks: Sequence[Task]) -> Path:
    """What a finished run on tasks as `task` makes them, of one size, leaves behind, as far as its page reads it."""
    found, rows = _results(tuple(one.name for one in tasks), len(tasks[0].test))
    (folder / "scores").mkdir(parents=True)
    rows_to_polars(rows).write_parquet(folder / "results.parquet")
    index = {}
    for one in found:
        for name, scores in one.scores.items():
            at = one.checkpoint
            file = f"{'-'.join(at.labels) or 'base'}.on-{name}.parquet"
            scores.write(folder / "scores" / file)
            seed = at.seed if at.chain else None
            about = {"base": "m", "chain": chain_label(at.labels), "variant": "", "seed": seed, "checkpoint": at.key}
            index[file] = about | {"task": name, "split": "test", "tokens": 9}
    (folder / "scores" / "index.json").write_text(json.dumps(index))
    (folder / "provenance.json").write_text(json.dumps(provenance(tasks)))
    (folder / "results.json").write_text(json.dumps({"study": "made", "metric": "accuracy", "limits": {}}))
    (folder / "study.resolved.yaml").write_text(f"base: m # {HOSTILE}\n", encoding="utf-8")
    return folder


def provenance(tasks: Sequence[Task]) -> dict[str, object]:
    """As `provenance.json` holds it."""
    return {
        "study": "made",
        "command": ["chaintune", "run", HOSTILE],
        "written_at": "2026-11-23T21:22:49+00:00",
        "python": "3.11.7",
        "platform": "Linux",
        "machine": "x86_64",
        "packages": {"chaintune": "0.1.0", "other": HOSTILE},
        "bases": {"m": "0" * 64},
        "precision": ["fp32"],
        "seeds": [0],
        "cost": {"train_tokens": 1234, "train_seconds": 7200.0, "score_tokens": 56, "score_seconds": 36.0},
        "tasks": {
            one.name: {
                "role": one.role,
                "version": one.version,
                "source": HOSTILE,
                "licence": one.licence,
                "train_examples": len(one.train),
                "test_examples": len(one.test),
                "train_digest": one.train_digest,
                "test_digest": one.test_digest,
            }
            for one in tasks
        },
    }


def figure(name: str = "made", count: int = 4) -> Figure:
    """A bar chart of as many bars, with a hostile name among them."""
    names = [*(f"g{number}" for number in range(count - 1)), HOSTILE]
    values = [{"group": one, "value": number + 1} for number, one in enumerate(names)]
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": "container",
        "data": {"values": values},
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {"y": {"field": "group", "type": "nominal"}, "x": {"field": "value", "type": "quantitative"}},
    }
    table = pl.DataFrame({"group": names, "forgetting (points)": [*range(count - 1), None]})
    return Figure(name, "groups", f"Made: {name}", f"See {HOSTILE}.", f"Bars, {HOSTILE}.", spec, table)
