"""Comparisons as `comparison_json` wrote them, read again."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from chaintune.errors import DataError
from chaintune.records import Comparison, Disparity, Estimate, Gate, GroupComparison, Judgement, ResultRow
from chaintune.records.comparison import BEFORE
from chaintune.records.metrics import SHARE, Direction
from chaintune.report.comparison import FORMAT


@dataclass(frozen=True)
class _Saved:
    """A comparison as its JSON has it."""

    task: str
    metric: str
    reference: Literal["overall", "rest"]
    level: float
    margin: float
    adjust: Literal["holm", "bh"]
    resamples: int
    seed: int
    n_left_out: int
    overall: GroupComparison
    groups: tuple[GroupComparison, ...]
    disparities: tuple[Disparity, ...]
    provenance_before: Mapping[str, str] = field(default_factory=dict)
    provenance_after: Mapping[str, str] = field(default_factory=dict)
    graded: bool = False
    forced: tuple[str, ...] = ()
    groups_left_out: tuple[tuple[str, str], ...] = ()
    tasks_left_out: tuple[str, ...] = ()
    unit: str = SHARE
    direction: Direction = "more"

    def comparison(self) -> Comparison:
        """The comparison that was written."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("overall", "groups", "disparities", "unit", "direction"):
            del own[name]
        return Comparison(**own, rows=tuple(self._rows()))

    def _rows(self) -> Iterator[ResultRow]:
        for one in (self.overall, *self.groups):
            label = (one.dimension, one.group)
            yield self._row("accuracy", one.before, *label, chain=BEFORE)
            yield self._row("accuracy", one.after, *label)
            yield replace(self._row("forgetting", one.forgetting, *label), verdict=one.verdict)
            if one.dimension:
                row = self._row("biased_forgetting", one.biased_forgetting, *label)
                yield replace(row, bf_reference=self.reference)
            limits = {"detectable_forgetting": one.detectable_forgetting}
            if one.dimension:
                limits["detectable_biased_forgetting"] = one.detectable_biased_forgetting
            for metric, limit in limits.items():
                yield self._row(metric, Estimate(limit), *label)
            for metric, count in (("forgot", one.forgot), ("learned", one.learned)):
                yield self._row(metric, Estimate(count, p_value=one.mcnemar_p), *label)
        for spread in self.disparities:
            yield self._row("disparity", spread.estimate, spread.dimension)
            yield self._row("disparity_expected", Estimate(spread.null_expectation), spread.dimension)
            yield self._row("disparity_groups", Estimate(spread.n_groups), spread.dimension)

    def _row(
        self, metric: str, estimate: Estimate, dimension: str = "", group: str = "", *, chain: str = ""
    ) -> ResultRow:
        reference = "" if metric == "accuracy" else BEFORE
        about = ("", "", chain, "", 0, reference, self.task, metric, dimension, group, "")
        return ResultRow(*about, estimate, item_metric=self.metric, unit=self.unit, direction=self.direction)


def read_comparisons(path: Path) -> tuple[list[Comparison], Gate | None]:
    """What `chaintune compare --format json` printed: comparisons, and what a policy said of them.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    content = _read(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or not content.get("comparisons"):
        raise DataError(f"{path}: expected what `chaintune compare --format json` prints, format {FORMAT}")
    try:
        saved = TypeAdapter(list[_Saved]).validate_python(_with_nan(content["comparisons"]))
        return [one.comparison() for one in saved], _gate(content["gate"]) if content.get("gate") else None
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


def _gate(content: Any) -> Gate:
    # A gate's number of further examples may be None and is no NaN.
    content = dict(content) if isinstance(content, dict) else {}
    judgements = [
        {
            "statistic" if name == "measure" else name: math.nan
            if value is None and name in ("value", "low", "high")
            else value
            for name, value in row.items()
        }
        if isinstance(row, dict)
        else row
        for row in content.get("judgements") or ()
    ]
    known = TypeAdapter(tuple[Judgement, ...]).validate_python(judgements)
    return Gate(str(content.get("policy", "")), known)
