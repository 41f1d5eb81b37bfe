"""Comparisons as JSON by a published schema, written and read again."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from chaintune.errors import DataError
from chaintune.files.reading import read_json
from chaintune.records import (
    Auc,
    Bounds,
    Comparison,
    Disparity,
    Estimate,
    Gate,
    GroupComparison,
    Judgement,
    ResultRow,
    SecondLine,
)
from chaintune.records.amounts import SHARE
from chaintune.records.comparison import AUC, BEFORE, BIASED_LOWER, BIASED_UPPER, LOWER, POWER, UPPER
from chaintune.records.gate import JUDGEMENT_KEYS
from chaintune.records.metrics import Direction

FORMAT = 1


def comparison_json(comparisons: Sequence[Comparison], gate: dict[str, Any] | None = None) -> str:
    """Everything about every task as JSON that fits `comparison_schema`; what is undefined is null."""
    content = {"format": FORMAT, "comparisons": [comparison.to_dict() for comparison in comparisons], "gate": gate}
    return json.dumps(content, indent=2, allow_nan=False)


def comparison_schema() -> dict[str, Any]:
    """The JSON Schema of `comparison_json`."""
    text = resources.files("chaintune.report").joinpath("comparison.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def read_comparisons(path: Path) -> tuple[list[Comparison], Gate | None]:
    """The comparisons, and the gate if there is one, that `chaintune compare --format json` printed.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    from pydantic import TypeAdapter, ValidationError  # only reading needs it

    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or not content.get("comparisons"):
        raise DataError(f"{path}: expected what `chaintune compare --format json` prints, format {FORMAT}")
    place: tuple[int | str, ...] = ()
    try:
        every = TypeAdapter(list[dict[str, Any]]).validate_python(_with_nan(content["comparisons"]))
        comparisons = []
        for number, one in enumerate(every):
            place = (number,)
            comparisons.append(_comparison(one))
        place = ("gate",)
        return comparisons, _gate(content["gate"]) if content.get("gate") else None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in (*place, *first["loc"]))
        raise DataError(f"{path}: no comparison of chaintune; at {where}: {first['msg']}") from error


def _comparison(content: dict[str, Any]) -> Comparison:
    from pydantic import TypeAdapter

    # What nobody asked for is null, which reads as a number that is not known.
    parts = {name: content.get(name) for name in ("simulated_power", "people")}
    content = content | {name: part if isinstance(part, dict) else None for name, part in parts.items()}
    names = {"start": content.get("from", ""), "end": content.get("to", "")}
    own = TypeAdapter(Comparison).validate_python(content | names | {"rows": (), "further": ()})
    views = TypeAdapter(_Views).validate_python(content)
    return replace(own, rows=tuple(views.rows(own)), further=tuple(views.further(own)))


@dataclass(frozen=True)
class _Views:
    """The part of a comparison's JSON that stands for its rows."""

    overall: GroupComparison
    groups: tuple[GroupComparison, ...]
    disparities: tuple[Disparity, ...]
    unit: str = SHARE
    direction: Direction = "more"
    auc: tuple[Auc, ...] = ()
    second_lines: tuple[SecondLine, ...] = ()
    bounds: tuple[Bounds, ...] = ()

    def further(self, own: Comparison) -> Iterator[ResultRow]:
        """Rows of the AUC and of further item metrics."""
        none = Estimate(math.nan)
        lines = [
            SecondLine(AUC, self.unit, "more", one.dimension, one.group, one.before, one.after, one.forgetting, none)
            for one in self.auc
        ]
        for one in (*lines, *self.second_lines):
            sides = {("accuracy", BEFORE): one.before, ("accuracy", ""): one.after, ("forgetting", ""): one.forgetting}
            if one.dimension and one.metric != AUC:
                sides["biased_forgetting", ""] = one.biased_forgetting
            families = {"forgetting": one.forgetting_family, "biased_forgetting": one.biased_forgetting_family}
            for (metric, chain), estimate in sides.items():
                reference = "" if metric == "accuracy" else BEFORE
                about = ("", "", chain, "", 0, reference, own.task, metric, one.dimension, one.group, "")
                row = ResultRow(*about, estimate, item_metric=one.metric, unit=one.unit, direction=one.direction)
                row = replace(row, family=families.get(metric, ""), deciding=False)
                yield replace(row, bf_reference=own.reference) if metric == "biased_forgetting" else row

    def rows(self, own: Comparison) -> Iterator[ResultRow]:
        """Rows of the comparison that has everything else."""

        def row(metric: str, estimate: Estimate, dimension: str = "", group: str = "", chain: str = "") -> ResultRow:
            reference = "" if metric == "accuracy" else BEFORE
            about = ("", "", chain, "", 0, reference, own.task, metric, dimension, group, "")
            return ResultRow(*about, estimate, item_metric=own.metric, unit=self.unit, direction=self.direction)

        for one in (self.overall, *self.groups):
            label = (one.dimension, one.group)
            yield replace(row("accuracy", one.before, *label, chain=BEFORE), answers=one.answers_before)
            yield replace(row("accuracy", one.after, *label), answers=one.answers_after)
            lost = row("forgetting", one.forgetting, *label)
            lost = replace(lost, family=one.forgetting_family, same_examples=one.same_examples)
            # A group without a forgetting of its own has no verdict, see `with_verdict`.
            none = bool(one.dimension) and math.isnan(one.forgetting.value)
            yield replace(lost, verdict="" if none else one.verdict, verdict_reason=one.verdict_reason)
            yield row("detectable_forgetting", Estimate(one.detectable_forgetting), *label)
            for metric in POWER:
                yield row(metric, Estimate(getattr(one, metric)), *label)
            if one.dimension:
                bias = replace(row("biased_forgetting", one.biased_forgetting, *label), bf_reference=own.reference)
                yield replace(bias, family=one.biased_forgetting_family, same_examples=one.same_examples)
                yield row("detectable_biased_forgetting", Estimate(one.detectable_biased_forgetting), *label)
                yield row("pooled_forgetting", one.pooled_forgetting, *label)
            for metric, count in (("forgot", one.forgot), ("learned", one.learned)):
                yield row(metric, Estimate(count, p_value=one.mcnemar_p), *label)
        for both in self.bounds:
            yield row(LOWER, both.lower, both.dimension, both.group)
            yield row(UPPER, both.upper, both.dimension, both.group)
            if both.dimension:
                for metric, end in ((BIASED_LOWER, both.biased_lower), (BIASED_UPPER, both.biased_upper)):
                    yield replace(row(metric, end, both.dimension, both.group), bf_reference=own.reference)
        for spread in self.disparities:
            yield row("disparity", spread.estimate, spread.dimension)
            yield row("disparity_expected", Estimate(spread.null_expectation), spread.dimension)
            yield row("disparity_groups", Estimate(spread.n_groups), spread.dimension)


def _with_nan(value: Any) -> Any:
    """JSON has no NaN; in comparisons null is always a number that is undefined."""
    if isinstance(value, dict):
        return {key: _with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return math.nan if value is None else value


def _gate(content: Any) -> Gate:
    from pydantic import TypeAdapter

    fields = {key: name for name, key in JUDGEMENT_KEYS.items()}
    # A gate's number of further examples may be None and is no NaN.
    content = dict(content) if isinstance(content, dict) else {}
    judgements = [
        {
            fields.get(name, name): math.nan
            if value is None and name in ("value", "low", "high", "least_budget")
            else value
            for name, value in row.items()
        }
        if isinstance(row, dict)
        else row
        for row in content.get("judgements") or ()
    ]
    known = TypeAdapter(tuple[Judgement, ...]).validate_python(judgements)
    return Gate(str(content.get("policy", "")), known)
