"""Comparisons as `comparison_json` wrote them, read again."""

import json
import math
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chaintune.errors import DataError
from chaintune.records import Comparison, Gate, Judgement
from chaintune.report.comparison import FORMAT


def read_comparisons(path: Path) -> tuple[list[Comparison], Gate | None]:
    """What `chaintune compare --format json` printed: comparisons, and what a policy said of them.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    told = _read(path)
    if not isinstance(told, dict) or told.get("format") != FORMAT or not told.get("comparisons"):
        raise DataError(f"{path}: expected what `chaintune compare --format json` prints, format {FORMAT}")
    try:
        comparisons = TypeAdapter(list[Comparison]).validate_python(_with_nan(told["comparisons"]))
        return comparisons, _gate(told["gate"]) if told.get("gate") else None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: no comparison of chaintune; at {where}: {first['msg']}") from error


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON in UTF-8 ({error})") from error


def _with_nan(value: Any) -> Any:
    """JSON has no NaN; in comparisons null is always a number that is undefined."""
    if isinstance(value, dict):
        return {key: _with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return math.nan if value is None else value


def _gate(told: Any) -> Gate:
    # A gate's number of further examples may be None and is no NaN.
    told = dict(told) if isinstance(told, dict) else {}
    judgements = [
        {name: math.nan if value is None and name in ("value", "low", "high") else value for name, value in row.items()}
        if isinstance(row, dict)
        else row
        for row in told.get("judgements") or ()
    ]
    known = TypeAdapter(tuple[Judgement, ...]).validate_python(judgements)
    return Gate(str(told.get("policy", "")), known)
