"""The options of a comparison: one record, whether they come from the command line or from Python."""

import inspect
from typing import Any

import pytest

import chaintune
from chaintune.cli.compare import ReadFlags
from chaintune.cli.comparison import CompareFlags
from chaintune.errors import ConfigError
from chaintune.forgetting.options import Inference
from chaintune.logs.options import CompareOptions, ReadOptions, compare_options


def test_the_defaults_are_the_same_everywhere() -> None:
    assert compare_options() == CompareFlags().options(ReadFlags().options()) == CompareOptions()


def test_every_function_that_compares_names_every_option_with_its_default() -> None:
    options = inspect.signature(compare_options).parameters
    for function in (chaintune.compare, chaintune.compare_series):
        assert options.items() <= inspect.signature(function).parameters.items()
    for name in ("audit", "audit_series"):
        own = inspect.signature(getattr(chaintune, name)).parameters
        reading = {"task", "columns", "cluster", "filter", "scale", "reader"}
        assert {one: options[one] for one in options if one not in reading}.items() <= own.items()
    for name in chaintune.__all__:
        if inspect.isfunction(public := getattr(chaintune, name)):
            kinds = {parameter.kind for parameter in inspect.signature(public).parameters.values()}
            assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}, name


def test_the_command_line_and_python_name_the_same_options() -> None:
    flags = CompareFlags(["a", "b x c"], ["acc"], "intersect", 0.9, "0.1", "bh", "rest", 200, 3, True, 4, True)
    reading = ReadFlags(["t"], ["id=qid,score=right"], "room", "5,1", "strict", "table")
    arguments: dict[str, Any] = {
        "by": ["a"],
        "intersections": [("b", "c")],
        "metric": "acc",
        "on_missing": "intersect",
        "level": 0.9,
        "margin": 0.1,
        "adjust": "bh",
        "reference": "rest",
        "resamples": 200,
        "seed": 3,
        "force": True,
        "chosen_of": 4,
        "power": True,
        "task": "t",
        "columns": {"id": "qid", "score": "right"},
        "cluster": "room",
        "scale": (5, 1),
        "filter": "strict",
        "reader": "table",
    }
    assert {"also_by", *arguments} == set(inspect.signature(compare_options).parameters)
    ours, theirs = compare_options(**arguments), flags.options(reading.options())
    assert (ours.plain, ours.crossings, ours.required) == (("a",), (("b", "c"),), frozenset("abc"))
    for name in ("plain", "crossings", "required", "on_missing", "force", "power", "inference", "reading"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.judged() == theirs.judged()
    assert ours.inference == Inference(0.9, 200, 3, "bh", "rest", 0.1)
    assert ours.judged().level == pytest.approx(0.975)
    assert ours.reading == ReadOptions(
        ("a", "b", "c"), {"id": "qid", "score": "right"}, "room", "acc", "strict", ("t",), (5, 1), "table"
    )


def test_dimensions_of_a_policy_are_read_and_not_required() -> None:
    options = CompareOptions(by=("a",), also_by=("a", "c & d"))
    assert (options.dimensions, options.required) == (("a", "c", "d"), frozenset("a"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"level": "0.9"}, "level '0.9': expected a number such as 0.95"),
        ({"resamples": True}, "resamples True: expected a whole number"),
        ({"seed": -1}, "seed -1: expected 0 or more"),
        ({"cluster": 3}, "cluster 3: expected a name"),
        ({"scale": (1, 1)}, "scale 1 to 1: expected two different numbers"),
        ({"scale": "15"}, "scale '15': expected two numbers"),
        ({"columns": ["id"]}, r"columns \['id'\]: expected a mapping"),
        ({"by": 3}, "by 3: expected a name or a list of names"),
        ({"by": "a x "}, "by 'a x ': expected a dimension"),
        ({"intersections": ["a"]}, r"intersections \['a'\]: expected pairs"),
    ],
)
def test_invalid_values_are_told(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compare_options(**arguments)
