"""Accuracy of every task along every chain, chains side by side."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import altair as alt

from chaintune.errors import number_of
from chaintune.records import Figure, ResultRow, chain_label
from chaintune.records.scales import levels_in
from chaintune.report.cells import score_name
from chaintune.report.figures.charts import (
    DASHES,
    NARROW_PIXELS,
    estimate_data,
    finished,
    first_few,
    hints,
    kind_labels,
    layered,
    looks_by,
    score_table,
    scores_by_setting,
)
from chaintune.report.labels import listed, one_line, shortened, slug

_CHAINS_BESIDE = 2
_MOST_TASKS = len(DASHES)
_MOST_READ = 16
_HEIGHT = 260
_STEP_LABEL = 10
_GAP = "~"

Chain = tuple[str, ...]
Cells = Mapping[tuple[Chain, str], ResultRow]
Point = tuple[int, int, ResultRow]


def accuracy_figures(rows: Sequence[ResultRow]) -> Iterator[Figure]:
    """One figure for every two chains of every base, variant and unit, a chain and its reverse together."""
    for tag, own in scores_by_setting(rows, variants=True):
        cells = {(row.steps, row.task): row for row in own}
        chains = _side_by_side([chain for chain, _ in cells])
        for start in range(0, len(chains), _CHAINS_BESIDE):
            beside = chains[start : start + _CHAINS_BESIDE]
            names = [chain_label(chain) for chain in beside] if len(chains) > _CHAINS_BESIDE else []
            yield _figure(cells, beside, tag, slug("accuracy", *names, tag))


def _side_by_side(chains: Sequence[Chain]) -> list[Chain]:
    """Chains that go no further, each followed by its reverse where there is one."""
    every = [chain for chain in dict.fromkeys(chains) if chain]
    longest = [chain for chain in every if not any(_goes_on(chain, other) for other in every)]
    ordered: list[Chain] = []
    for chain in longest:
        ordered += [one for one in (chain, chain[::-1]) if one in longest and one not in ordered]
    return ordered


def _goes_on(chain: Chain, other: Chain) -> bool:
    return len(other) > len(chain) and other[: len(chain)] == chain


def _figure(cells: Cells, chains: Sequence[Chain], tag: str, name: str) -> Figure:
    tasks = list(dict.fromkeys(task for _, task in cells))
    name_of_score = score_name(list(cells.values()))
    points = [
        (number, stage, cells[chain[:stage], task])
        for number, chain in enumerate(chains)
        for stage in range(len(chain) + 1)
        for task in tasks[:_MOST_TASKS]
        if (chain[:stage], task) in cells
    ]
    title = f"{name_of_score.capitalize()} along {listed(map(chain_label, chains))}" + (f", {tag}" if tag else "")
    guessing = _chances([row for _, _, row in points])
    left = len(tasks) - _MOST_TASKS
    others = f" {number_of(left, 'more task is', 'more tasks are')} in the results." if left > 0 else ""
    return Figure(
        name=name,
        section="accuracy",
        title=title,
        caption=" ".join(_course(points, number, tasks) for number in range(len(chains))) + others + guessing,
        alt=f"{title}. {first_few([_text(point) for point in points], _MOST_READ)}{guessing}",
        spec=finished(_draw(points, chains, tasks[:_MOST_TASKS], name_of_score), title),
        table=score_table(list(dict.fromkeys(row for _, _, row in points))),
    )


def _draw(points: Sequence[Point], chains: Sequence[Chain], tasks: Sequence[str], name: str) -> alt.LayerChart:
    labels, steps = kind_labels(tasks), shortened([step for chain in chains for step in chain], _STEP_LABEL)
    slots = [
        [_slot(number, stage, steps[step] if stage else "base") for stage, step in enumerate(["", *chain])]
        for number, chain in enumerate(chains)
    ]
    rows = [
        {"place": slots[number][stage], "chain": number, "task": labels[row.task], "at": one_line(row.chain)}
        | estimate_data(row.estimate, levels_in(row.unit))
        | {"is": _score(row), "chance": levels_in(row.unit).factor * row.answers.chance}
        for number, stage, row in points
    ]
    looks = looks_by("task", list(labels.values()))
    offset = (
        alt.XOffset("task:N", scale=alt.Scale(domain=[*labels.values()], padding=2))
        if len(tasks) > 1
        else alt.Undefined
    )
    base = alt.Chart().encode(x=_x(slots), xOffset=offset, y=_y(rows, points, name))
    line = base.mark_line(strokeWidth=2).encode(
        detail=alt.Detail("chain:N"), color=looks["color"], strokeDash=looks["dash"]
    )
    span = base.mark_rule(strokeWidth=1.2, opacity=1, clip=True).encode(
        y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=looks["color"]
    )
    hint = hints("at", "task", "is", "of")
    mark = base.mark_point(filled=True, size=70, opacity=1).encode(
        color=looks["color"], shape=looks["shape"], tooltip=hint
    )
    guessing = base.mark_point(shape="stroke", size=150, strokeWidth=1, opacity=1).encode(
        y=alt.Y("chance:Q"), color=looks["color"], tooltip=hints("at", "task", "chance")
    )
    drawn = [guessing] if any(math.isfinite(row.answers.chance) for _, _, row in points) else []
    return layered([*drawn, span, line, mark], rows, _HEIGHT)


def _slot(number: int, stage: int, label: str) -> str:
    """A place on the axis: what sorts it in four signs, then what is shown."""
    return f"{number:02d}{stage:02d}{label}"


def _x(slots: Sequence[Sequence[str]]) -> alt.X:
    domain = [slot for chain in slots for slot in [*chain, f"{_GAP}{chain[0]}"]][:-1]
    label = f"substring(datum.value, 0, 1) == '{_GAP}' ? '' : slice(datum.value, 4)"
    flat = max(len(slot) - 4 for slot in domain) * 7 <= NARROW_PIXELS // (len(domain) + 1)
    side: Literal["center", "right"] = "center" if flat else "right"
    angle = 0 if flat else -35
    stages = ", ".join(slot[4:] for slot in domain if not slot.startswith(_GAP))
    axis = alt.Axis(
        title=None,
        labelExpr=label,
        labelAngle=angle,
        labelAlign=side,
        labelLimit=90,
        ticks=False,
        description=f"Stages: {stages}",
    )
    return alt.X("place:N", sort=None, scale=alt.Scale(domain=domain, paddingOuter=0.1), axis=axis)


def _y(rows: Sequence[Mapping[str, Any]], points: Sequence[Point], name: str) -> alt.Y:
    """Shares have ends; an interval over several seeds may reach beyond them, and is cut there."""
    scale = levels_in(points[0][2].unit)
    axis = alt.Axis(title=scale.title(name), tickCount=6)
    if math.isinf(scale.most):
        return alt.Y("value:Q", scale=alt.Scale(nice=True, zero=False), axis=axis)
    most = scale.factor * scale.most
    known = [row[end] for row in rows for end in ("value", "low", "high", "chance") if math.isfinite(row[end])]
    ends = [max(0.0, min(known, default=0.0) - 3), min(most, max(known, default=most) + 3)]
    return alt.Y("value:Q", scale=alt.Scale(domain=[round(end) for end in ends], nice=False, zero=False), axis=axis)


def _chances(rows: Sequence[ResultRow]) -> str:
    """What guessing scores on each task where it is known, as a sentence with a space before it."""
    known = {row.task: row for row in rows if math.isfinite(row.answers.chance)}
    parts = [
        f"{one_line(task)} {levels_in(row.unit).rounder.number(row.answers.chance, named=True)}"
        for task, row in known.items()
    ]
    return f" Chance, a short stroke: {listed(parts, _MOST_TASKS)}." if parts else ""


def _course(points: Sequence[Point], number: int, tasks: Sequence[str]) -> str:
    """First and last score of each task along one chain."""
    parts = []
    for task in tasks:
        course = [row for chain, _, row in points if chain == number and row.task == task]
        if len(course) > 1:
            parts.append(f"{one_line(task)} goes from {_ends(course)}")
    last = max((row for chain, _, row in points if chain == number), key=lambda row: row.stage, default=None)
    return f"Along {one_line(last.chain)}, {listed(parts, 4)}." if last and parts else ""


def _ends(course: Sequence[ResultRow]) -> str:
    scale = levels_in(course[0].unit).rounder
    return f"{scale.number(course[0].estimate.value)} to {scale.number(course[-1].estimate.value, named=True)}"


def _score(row: ResultRow) -> str:
    estimate = row.estimate
    if math.isnan(estimate.value):
        return f"undefined: {one_line(estimate.reason)}"
    return levels_in(row.unit).short(estimate, named=True).removesuffix(" (no interval)")


def _text(point: Point) -> str:
    row = point[2]
    return f"{one_line(row.task)} at {one_line(row.chain)} {_score(row)}"
