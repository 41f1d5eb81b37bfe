"""Learning curves: the training loss along every stage."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt
import polars as pl

from chaintune.records import Figure
from chaintune.report.figures.charts import (
    DASHES,
    axis,
    finished,
    first_few,
    in_table_only,
    kind_labels,
    layered,
    looks_by,
)
from chaintune.report.labels import one_line, slug

_HEIGHT = 260
_MOST_STAGES = len(DASHES)
_MOST_READ = 8
_UNIT = "of answers in nats a token, of pairs (DPO) a pair"

Step = dict[str, Any]


def learning_figures(steps: pl.DataFrame) -> Iterator[Figure]:
    """One figure for each base and variant of `training.parquet`: loss along each stage, a line for each seed."""
    settings = steps.select("base", "variant").unique(maintain_order=True).rows()
    several = len({base for base, _ in settings}) > 1
    for base, variant in settings:
        own = steps.filter((pl.col("base") == base) & (pl.col("variant") == variant))
        tag = "" if len(settings) == 1 else ", ".join(filter(None, (base if several else "", variant)))
        yield _figure(own, tag)


def _figure(steps: pl.DataFrame, tag: str) -> Figure:
    chains = steps["chain"].unique(maintain_order=True).to_list()
    shown = steps.filter(pl.col("chain").is_in(chains[:_MOST_STAGES]))
    title = "Training loss along each stage" + (f", {one_line(tag)}" if tag else "")
    texts = [_course(steps.filter(pl.col("chain") == chain)) for chain in chains]
    folded = in_table_only(chains, _MOST_STAGES, "stages are")
    return Figure(
        name=slug("training-loss", tag),
        section="training",
        title=title,
        caption=" ".join([f"First and last loss, {_UNIT}: {first_few(texts, 4)}", *folded]),
        alt=f"{title}, {_UNIT}. {first_few(texts, _MOST_READ)}",
        spec=finished(_draw(shown.rows(named=True)), title),
        table=_table(steps),
    )


def _course(stage: pl.DataFrame) -> str:
    """From where to where, the mean over the seeds."""
    ends = [stage.group_by("seed").agg(pl.col("loss").sort_by("step").get(place))["loss"].mean() for place in (0, -1)]
    first, last = (math.nan if end is None else float(str(end)) for end in ends)
    return f"{one_line(str(stage['chain'][0]))} from {first:.2f} to {last:.2f}"


def _draw(steps: Sequence[Step]) -> alt.LayerChart:
    labels = kind_labels(list(dict.fromkeys(step["chain"] for step in steps)))
    rows = [
        {"stage": labels[step["chain"]], "seed": str(step["seed"]), "step": step["step"], "loss": float(step["loss"])}
        for step in steps
    ]
    looks = looks_by("stage", list(labels.values()), lines=True)
    line = alt.Chart().mark_line(strokeWidth=1.8)
    drawn = line.encode(
        x=alt.X("step:Q", axis=axis("optimizer step", grid=False)),
        y=alt.Y("loss:Q", axis=alt.Axis(title="training loss", tickCount=6), scale=alt.Scale(zero=True)),
        color=looks["color"],
        strokeDash=looks["dash"],
        detail=alt.Detail("seed:N"),
    )
    return layered([drawn], rows, _HEIGHT)


def _table(steps: pl.DataFrame) -> pl.DataFrame:
    """One row a stage and seed: the loss at the first step, on the way, and at the last."""
    quarters = (0, 0.25, 0.5, 0.75, 1)
    stages = steps.group_by("chain", "seed", maintain_order=True)
    rows = []
    for (chain, seed), stage in stages:
        losses = stage.sort("step")["loss"].to_list()
        at = [losses[round(share * (len(losses) - 1))] for share in quarters]
        named = zip(("first", "at 25 %", "at 50 %", "at 75 %", "last"), at, strict=True)
        about = {"stage": chain, "seed": str(seed), "steps": stage["step"].max()}
        rows.append(about | {f"loss, {name} (of a token or a pair)": round(loss, 4) for name, loss in named})
    return pl.DataFrame(rows)
