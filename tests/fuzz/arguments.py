"""Arguments of the command line and of Python."""

import datetime
import decimal
import shlex
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from tests.fuzz import data, studies
from tests.fuzz.damage import DEEP, DIGITS, VALUES, WORDS
from tests.fuzz.driver import Case

_OWN = "--task balls --set tasks.balls.path=balls.jsonl --store store"
_COMMANDS = (
    "compare before.jsonl after.jsonl --by kind --level 0.9 --margin 0.02 --resamples 200 --seed 0 --scale 0,1",
    "compare before.jsonl after.jsonl --columns id=id,score=score --cluster kind --reader table --task items",
    "compare before.jsonl after.jsonl --policy policy.yaml --junit x.xml --html x.html --format md",
    "card before.jsonl after.jsonl --by kind --name m --out card.md --before old",
    "plan study0.yaml --store store --set recipe.epochs=1 --set seed=2",
    "plan study0.yaml --store store --json --cluster '8 gpu 80GB'",
    "status runs/study",
    "report runs/study --format md",
    "store ls --store store --kind stage",
    "store gc --store store --older-than 30d --max-size 20GB --dry-run",
    "store verify --store store",
    "tasks balls --json",
    "tasks lm_eval:nothing",
    "policy init p.yaml",
    "run study0.yaml --out out --store store --max-store 1kB",
    f"score nowhere {_OWN} --test 4 --out x.parquet",
    f"audit nowhere elsewhere {_OWN} --out out --policy policy.yaml",
    "curvature nowhere --task balls --examples 4 --space full --batches 2 --tolerance 0.01 --basis 3 --store store",
    "mitigate nowhere --before elsewhere --forgotten balls --keep boxes --dose 0.1 --out out --target 0.8",
)
# Nobody can put half a surrogate pair or a zero into an argument; other bytes that are no UTF-8 arrive as such.
_ODD_WORDS = (
    *(word[:300] for word in WORDS if not {"\x00", "\ud800"} & {*word}),
    *("0", "-1", "1e18", "99999999999999999999", "nan", "inf", "\udcff"),
)
_OBJECTS: tuple[Any, ...] = (
    *(value for value in VALUES if value not in (DEEP, DIGITS)),
    *(object(), lambda: None, b"x", Path("before.jsonl"), Path("nowhere"), {"x"}, range(3), iter(()), int, ..., 1j),
    *(decimal.Decimal("0.5"), decimal.Decimal("NaN"), datetime.date(2026, 1, 2), Exception("x"), {"id": None}, {1: 2}),
    *(np.float64("nan"), np.array([1.5, 2]), np.array(3), np.int64(3), np.bool_(True), np.str_("kind"), ("a", "b")),
    *(pd.NA, pd.NaT, pd.DataFrame(), pd.DataFrame({"id": [1, 1], "score": [1, None]}), pd.Series([1], name="score")),
    *(pl.DataFrame(), pl.DataFrame({"id": ["a"]}), pl.Series("id", [1]), pl.LazyFrame({"id": ["a"], "score": [1]})),
)


def prepare(valid: Path) -> None:
    studies.prepare(valid)
    data.prepare(valid)


def case(rng: Random, valid: Path) -> Case:
    for path in valid.iterdir():
        Path(path.name).symlink_to(path)
    return _words(rng) if rng.random() < 0.5 else _call(rng)


def _words(rng: Random) -> Case:
    words = shlex.split(rng.choice(_COMMANDS))
    at = rng.randrange(1, len(words))
    odd = rng.choice(_ODD_WORDS)
    way = rng.choice(("odd", "odd", "odd", "gone", "twice", "part", "added", "after ="))
    if way == "odd":
        words[at] = odd
    elif way == "gone":
        del words[at]
    elif way == "twice":
        words[at:at] = words[at : at + 2]
    elif way == "part":
        words[at] = words[at][: rng.randrange(len(words[at]) + 1)]
    elif way == "added":
        words[at:at] = [odd]
    else:
        words[at] = words[at].partition("=")[0] + "=" + odd
    return Case(f"chaintune {shlex.join(words)!a}", words)


def _call(rng: Random) -> Case:
    name, call, usual = rng.choice(_calls())
    key, value = rng.choice(list(usual)), rng.choice(_OBJECTS)
    return Case(f"{name}({key}={type(value).__name__} {repr(value)[:60]!a})", lambda: call(**usual | {key: value}))


def _calls() -> tuple[tuple[str, Callable[..., object], dict[str, Any]], ...]:
    """Name, function and valid arguments."""
    import chaintune
    from chaintune import tasks

    comparing: dict[str, Any] = {"before": "before.jsonl", "after": "after.jsonl", "by": (), "also_by": ()}
    comparing |= {"reference": "overall", "level": 0.95, "resamples": 200, "seed": 0, "adjust": "holm", "margin": 0.02}
    comparing |= {"intersections": (), "on_missing": "error", "force": False, "scale": (0, 1), "task": "items"}
    reading: dict[str, Any] = {"columns": {}, "cluster": "kind", "metric": "score", "filter": None, "reader": "table"}
    models = {"test": 4, "sample_seed": 0, "precision": "fp32", "backend": "transformers", "store": "store"}
    own: dict[str, Any] = {"name": "mine", "role": "safety", "path": "items.jsonl", "train": None, "test": None}
    own |= {"seed": 0, "test_share": None, "columns": None, "measure": (), "metric": (), "split": None, "hub": None}
    audited: dict[str, Any] = {"before": "nowhere", "after": "nowhere", "tasks": "balls", "policy": None, "by": ()}
    curved: dict[str, Any] = {"model": "nowhere", "task": "balls", "examples": 4, "split": "train", "space": "full"}
    curved |= {"batches": 2, "seed": 0, "tolerance": 0.01, "basis": 3, "max_products": 20, "store": "store"}
    mitigated: dict[str, Any] = {"model": "nowhere", "before": "elsewhere", "forgotten": "balls", "keep": "boxes"}
    mitigated |= {"out": "out", "dose": [0.1], "who": "uniform", "by": None, "target": 0.8, "margin": 0.02}
    study = studies.STUDIES[0]
    return (
        ("compare", _of_sides(chaintune.compare), comparing | reading),
        ("score", chaintune.score, {"model": "nowhere", "task": "balls"} | models),
        ("audit", chaintune.audit, audited | models | {"out": None}),
        ("tasks.load", tasks.load, own | {"config": None, "lm_eval": None, "test_path": None}),
        ("Study.from_yaml", chaintune.Study.from_yaml, {"path": "study0.yaml", "overrides": ()}),
        ("Study.from_mapping", lambda **keys: chaintune.Study.from_mapping(keys), study),
        ("Study.from_mapping", chaintune.Study.from_mapping, {"mapping": study, "overrides": (), "name": "s"}),
        ("Scores.read", chaintune.Scores.read, {"path": "before.jsonl"}),
        ("curvature", chaintune.curvature, curved),
        ("mitigate", chaintune.mitigate, mitigated | {"settings": None, "overrides": (), "store": "store"}),
    )


def _of_sides(compare: Callable[..., object]) -> Callable[..., object]:
    return lambda *, before, after, **options: compare(before, after, **options)
