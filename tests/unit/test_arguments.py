"""What public functions say of arguments of another type."""

from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import chaintune
from chaintune import tasks
from chaintune.arguments import NAMES, PATH, SIZE, taking
from chaintune.errors import ConfigError


@taking(path=PATH, names=NAMES, size=SIZE, share=Real, doses=list[Real], seed=Integral, flag=bool, columns=Mapping)
def function(path: Any, *, names: Any = (), share: Any = 0.5, seed: Any = 0, flag: Any = False, **more: Any) -> Any:
    return path, names, share, seed, flag, more


def test_valid_arguments_arrive_as_they_are() -> None:
    more = {"size": None, "doses": [0.5, 1], "columns": {"id": "key"}, "other": object()}
    given = function("a", names=("x", "y"), share=np.float32(0.5), seed=np.int64(3), flag=True, **more)
    assert given == ("a", ("x", "y"), np.float32(0.5), 3, True, more)
    assert function(Path("a"), names="x")[:2] == (Path("a"), "x")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"path": 3}, "path: expected text or a path, got the int 3"),
        ({"path": None}, "path: expected text or a path, got the NoneType None"),
        ({"names": ["x", 1]}, r"names: expected text or a list of texts, got the list \['x', 1\]"),
        ({"names": 1}, "names: expected text or a list of texts, got the int 1"),
        ({"size": True}, "size: expected a whole number or text, got the bool True"),
        ({"share": "half"}, "share: expected a number, got the str 'half'"),
        ({"doses": "0.5"}, "doses: expected a list of numbers, got the str '0.5'"),
        ({"seed": 0.5}, "seed: expected a whole number, got the float 0.5"),
        ({"seed": None}, "seed: expected a whole number, got the NoneType None"),
        ({"flag": pd.NA}, "flag: expected True or False, got the NAType <NA>"),
        ({"columns": ["id"]}, r"columns: expected a mapping, got the list \['id'\]"),
        (
            {"path": pd.DataFrame({"id": range(50)})},
            r"path: expected text or a path, got the DataFrame id 0 0 1 1 .*\.\.\.$",
        ),
    ],
)
def test_another_type_is_one_short_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        function(**{"path": "a"} | given)


MODELS = {"before": "nowhere", "after": "nowhere"}
CALLS: list[tuple[Any, dict[str, Any], str]] = [
    (
        chaintune.compare,
        {"before": "b.csv", "after": "a.csv"},
        "by reference adjust on_missing force level task reader",
    ),
    (chaintune.score, {"model": "nowhere", "task": "bbq"}, "model task test precision devices"),
    (chaintune.audit, MODELS | {"tasks": "bbq"}, "before tasks metric out executor"),
    (chaintune.curvature, {"model": "nowhere", "task": "bbq"}, "model task split space tolerance"),
    (
        chaintune.mitigate,
        {"model": "m", "before": "b", "forgotten": "a", "keep": "b", "out": "o"},
        "forgotten keep overrides",
    ),
    (chaintune.Scores.read, {}, "path"),
    (tasks.load, {"name": "mine", "role": "safety", "path": "p.csv"}, "name role path test measure"),
]


@pytest.mark.parametrize(("call", "usual", "names"), CALLS)
def test_no_type_reaches_what_cannot_take_it(call: Any, usual: dict[str, Any], names: str) -> None:
    for value in (object(), b"x", 1j, pd.DataFrame({"id": [1]}), np.array([1.5, 2]), ...):
        for name in names.split():
            with pytest.raises(ConfigError, match=name.rstrip("s")):
                call(**usual | {name: value})
