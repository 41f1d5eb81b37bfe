"""Figures of a study and of comparisons: whole, valid, drawn without a network, saying no more than they may."""

import html
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import polars as pl
import pytest
import vl_convert

from chaintune.errors import DataError
from chaintune.forgetting import compare, summarise
from chaintune.logs import compare_series
from chaintune.records import CheckpointScores, Comparison, Figure, Limits, MitigationRef, ResultRow, Role, Scores
from chaintune.report.figures.charts import NARROW_PIXELS
from chaintune.report.figures.every import result_figures
from chaintune.report.figures.saving import darkened, png, save, sized, svg
from chaintune.report.figures.themes import config
from chaintune.report.results import Results
from tests import synthetic

N = 240
ROLES: Mapping[str, Role] = {"s": "safety", "c": "capability"}
MARKUP = '<script>alert("x")</script>'
LONG = "a name that goes on and on, as some names of data sets do, and only here says who"
FAITHS = [MARKUP, LONG, "Plain", "Other"]
PROMISES = re.compile(r"debias|unbiased|\bfix|\bprove|\bcure|guarantee", re.IGNORECASE)
Chain = tuple[str, ...]

# Of ten examples, how many are right on s and on c.
RIGHT: Mapping[Chain, tuple[int, int]] = {
    (): (3, 3),
    ("s",): (9, 3),
    ("s", "c"): (4, 9),
    ("c",): (3, 9),
    ("c", "s"): (9, 6),
}
REPLAYED: Mapping[Chain, tuple[int, int, float]] = {
    ("s", "c", "s@5%"): (6, 9, 0.05),
    ("s", "c", "s@25%"): (9, 9, 0.25),
}


def scored(task: str, right: int, *, noise: int) -> Scores:
    """Scores with so many right of ten; three examples bear a group of their own."""
    flags = [row * 7 % 10 < right for row in range(N)]
    faiths = ["Tiny" if row < 3 else FAITHS[row % 4] for row in range(N)]
    groups = {"faith": faiths} if task == "s" else None
    return synthetic.scores(flags, task=task, groups=groups, clusters=[f"k{row // 4}" for row in range(N)], noise=noise)


def measured() -> list[CheckpointScores]:
    """Both orders, and two doses replayed after the loss."""
    plain = [
        CheckpointScores(synthetic.checkpoint(*chain), {"s": scored("s", s, noise=at), "c": scored("c", c, noise=at)})
        for at, (chain, (s, c)) in enumerate(RIGHT.items())
    ]
    replayed = []
    for at, (chain, (s, c, dose)) in enumerate(REPLAYED.items(), start=10):
        held = (MitigationRef("replay", "replay", "s", synthetic.chain("s", "c"), ("c",), dose),)
        scores = {"s": scored("s", s, noise=at), "c": scored("c", c, noise=at)}
        replayed.append(CheckpointScores(synthetic.checkpoint(*chain), scores, held, 100.0, 10.0))
    return plain + replayed


@pytest.fixture(scope="module")
def rows() -> list[ResultRow]:
    return summarise(measured(), study="made-up", roles=ROLES, resamples=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with curvatures, one undefined, and learning curves."""
    out = tmp_path_factory.mktemp("out")
    pairs = [
        {"base": "m", "chain": "s>c", "variant": "", "seed": str(seed), "task": "s", "radius": radius, "n": 8}
        | {"reason": "" if radius else "did not converge", "forgetting": 0.1 * seed}
        | {"forgetting_low": 0.0, "forgetting_high": 0.5}
        for seed, radius in enumerate([10.0, 12.0, None, 40.0])
    ]
    pl.DataFrame(pairs).write_parquet(out / "curvature.parquet")
    steps = [
        {"base": "m", "chain": chain, "variant": "", "seed": "0", "step": step, "loss": 3.0 / step}
        for chain in ("s", "s>c")
        for step in range(1, 21)
    ]
    pl.DataFrame(steps).write_parquet(out / "training.parquet")
    return out


@pytest.fixture(scope="module")
def comparisons() -> list[Comparison]:
    return [
        compare(scored("s", 9, noise=1), scored("s", 4, noise=2), by=["faith"], resamples=300),
        compare(scored("c", 5, noise=1), scored("c", 6, noise=2), resamples=300),
    ]


@pytest.fixture(scope="module")
def figures(rows: Sequence[ResultRow], folder: Path, comparisons: Sequence[Comparison]) -> list[Figure]:
    sides = {name: scored("s", right, noise=at) for at, (name, right) in enumerate({"m": 9, "n": 6, "o": 4}.items())}
    several = [compare_series(sides, against_first=rivals, by=["faith"], resamples=300) for rivals in (False, True)]
    own = [figure for one in several for figure in result_figures(Results.of(one.comparisons))]
    own = [figure for figure in own if figure.name.startswith(("along-the-series", "rivals"))]
    assert len(own) == 4
    return result_figures(Results("t", rows, 0.95, folder=folder)) + result_figures(Results.of(comparisons)) + own


def marks(drawing: str) -> int:
    """How many signs of the data are drawn, axes and legends apart."""
    layers = re.findall(r'<g class="mark-(?:symbol|rule|line|rect) role-mark[^"]*"[^>]*>(.*?)</g>', drawing)
    return sum(len(re.findall(r"<(?:path|line)[ >]", layer)) for layer in layers)


def shown_words(drawing: str) -> str:
    """The text that is drawn, labels for screen readers apart."""
    return " ".join(re.findall(r"<(?:text|tspan)[^>]*>([^<]+)</t", drawing))


def every_value(spec: Any) -> Iterator[Any]:
    if isinstance(spec, Mapping):
        for value in spec.values():
            yield from every_value(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from every_value(value)
    else:
        yield spec


def test_a_study_has_every_kind_of_figure(rows: Sequence[ResultRow], folder: Path) -> None:
    found = result_figures(Results("t", rows, 0.95, folder=folder))
    assert [figure.name for figure in found] == [
        "accuracy",
        "forgetting-of-every-task",
        "checkpoints-by-tasks",
        "forgetting-s-faith",
        "biased-forgetting-s-faith",
        "recovery-s-after-s-c",
        "dose-s-after-s-c",
        "price-s-after-s-c-paid-in-c",
        "curvature-and-forgetting",
        "training-loss",
        "detectable-s-faith",
    ]
    assert len({figure.section for figure in found}) == 6


def test_a_comparison_has_its_figures(comparisons: Sequence[Comparison]) -> None:
    names = [figure.name for figure in result_figures(Results.of(comparisons))]
    assert names[:2] == ["before-and-after", "forgetting-of-every-task"]
    assert names[2:] == ["forgetting-s-faith", "biased-forgetting-s-faith", "margins-s-faith", "detectable-s-faith"]
    assert result_figures(Results.of([])) == []


def test_margins_of_a_dimension_speak_of_its_groups_alone() -> None:
    groups = {"faith": [str(number % 2) for number in range(60)], "region": [str(number // 30) for number in range(60)]}
    before = synthetic.scores([True] * 60, groups=groups, noise=1)
    after = synthetic.scores([number % 2 > 0 for number in range(60)], groups=groups, noise=2)
    found = Results.of([compare(before, after, by=["faith", "region"], resamples=200)])
    captions = {figure.name: figure.caption for figure in result_figures(found)}
    assert "for 0 (faith)" in captions["margins-t-faith"]
    assert "no group is shown to part" in captions["margins-t-region"]


def test_what_was_not_measured_has_no_figure(rows: Sequence[ResultRow], tmp_path: Path) -> None:
    assert result_figures(Results("t", [], 0.95)) == []
    only_base = [row for row in rows if row.chain == "base"]
    assert [figure.name for figure in result_figures(Results("t", only_base, 0.95, folder=tmp_path))] == [
        "checkpoints-by-tasks"
    ]


def test_a_broken_file_of_the_folder_is_one_sentence(rows: Sequence[ResultRow], tmp_path: Path) -> None:
    (tmp_path / "curvature.parquet").write_text("no table")
    with pytest.raises(DataError, match=r"curvature\.parquet: not a readable Parquet file .* run the study again"):
        result_figures(Results("t", rows, 0.95, folder=tmp_path))


def test_names_are_anchors_and_files_and_no_two_are_alike(figures: Sequence[Figure], rows: Sequence[ResultRow]) -> None:
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", figure.name) for figure in figures)
    twice = result_figures(Results("t", [*rows, *[row for row in rows if row.chain != "base"]], 0.95))
    assert len({figure.name for figure in twice}) == len(twice)


def test_every_spec_fits_the_schema_and_holds_neither_colours_nor_addresses(figures: Sequence[Figure]) -> None:
    for figure in figures:
        alt.LayerChart.validate(figure.spec)
        assert figure.spec["width"] == "container", figure.name
        assert "config" not in figure.spec, figure.name
        text = json.dumps({name: value for name, value in figure.spec.items() if name != "$schema"}, allow_nan=False)
        assert not re.search(r"https?://|\"url\"|\"href\"|#[0-9A-Fa-f]{6}", text), figure.name


def test_every_figure_is_small_and_tells_numbers_no_finer_than_it_shows(figures: Sequence[Figure]) -> None:
    for figure in figures:
        assert len(json.dumps(figure.spec)) < 20_000, figure.name
        for value in every_value(figure.spec.get("datasets", {})):
            if isinstance(value, float):
                assert abs(value) < 1 or round(value, 3) == value, (figure.name, value)


@pytest.mark.parametrize(("pixels", "theme"), [(NARROW_PIXELS, "light"), (1200, "dark")])
def test_every_figure_draws_marks_within_its_width(figures: Sequence[Figure], pixels: int, theme: Any) -> None:
    for figure in figures:
        drawing = svg(figure, pixels=pixels, theme=theme)
        assert marks(drawing), figure.name
        assert re.search(rf'width="{pixels}"', drawing), figure.name


def test_drawing_asks_no_address(figures: Sequence[Figure], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = vl_convert.vegalite_to_svg

    def watched(spec: dict[str, Any], **options: Any) -> str:
        asked.append(options["allowed_base_urls"])
        return str(real(spec, **options))

    monkeypatch.setattr(vl_convert, "vegalite_to_svg", watched)
    svg(figures[0])
    assert asked == [[]]


def test_names_from_data_are_text(figures: Sequence[Figure]) -> None:
    about = [figure for figure in figures if figure.name in {"forgetting-s-faith", "biased-forgetting-s-faith"}]
    assert len(about) == 4
    for figure in about:
        drawing = svg(figure)
        assert "<script" not in drawing
        assert "&lt;script" in shown_words(drawing)
        assert MARKUP in figure.table[figure.table.columns[0]].to_list()


def test_a_long_name_is_cut_in_the_chart_and_whole_beside_it(figures: Sequence[Figure]) -> None:
    figure = next(one for one in figures if one.name == "forgetting-s-faith")
    rows = next(iter(data for data in figure.spec["datasets"].values() if "label" in data[0]))
    row = next(row for row in rows if row["name"] == LONG)
    assert all(len(line) <= 22 for line in row["label"].split("\n"))
    assert "…" in row["label"]
    assert LONG in figure.table[figure.table.columns[0]].to_list()
    assert " ".join(row["label"].split()) in shown_words(svg(figure))


def test_words_follow_the_rule_of_speech(figures: Sequence[Figure]) -> None:
    for figure in figures:
        words = " ".join([figure.title, figure.caption, figure.alt])
        assert not PROMISES.search(words), figure.name
        assert figure.title in figure.spec["description"]
        assert figure.caption.endswith("."), figure.name
        assert figure.alt.endswith("."), figure.name
        assert "nan" not in words.lower().split(), figure.name


def test_a_caption_says_forgot_only_where_the_verdict_does(comparisons: Sequence[Comparison]) -> None:
    captions = {figure.name: figure.caption for figure in result_figures(Results.of(comparisons))}
    assert comparisons[0].overall.verdict == "forgot"
    assert "The later checkpoint forgot s" in captions["forgetting-s-faith"]
    assert "The later checkpoint forgot" not in result_figures(Results.of(comparisons[1:]))[1].caption


def test_tables_have_units_in_their_names_and_reasons_beside_what_is_undefined(figures: Sequence[Figure]) -> None:
    for figure in figures:
        assert figure.table.height, figure.name
        for name, kind in figure.table.schema.items():
            assert kind != pl.Float64 or re.search(r"\(.+\)|adjusted p|spectral radius", name), (figure.name, name)
            values = figure.table[name].to_list()
            assert not any(isinstance(value, float) and math.isnan(value) for value in values), (figure.name, name)
    sharp = next(figure for figure in figures if figure.name == "curvature-and-forgetting").table
    assert sharp.filter(pl.col("spectral radius").is_null())["reason"].to_list() == ["did not converge"]


def test_the_recommended_dose_is_marked_only_where_there_is_one(rows: Sequence[ResultRow]) -> None:
    reachable, beyond = Limits(target=0.5, margin=0.1), Limits(target=5.0, margin=0.1)
    for limits, marked in ((reachable, True), (beyond, False)):
        found = {figure.name: figure for figure in result_figures(Results("t", rows, 0.95, limits))}
        for name in ("recovery-s-after-s-c", "dose-s-after-s-c", "price-s-after-s-c-paid-in-c"):
            assert ("recommended" in shown_words(svg(found[name]))) is marked, name
            assert any(found[name].table["recommended"].to_list()) is marked, name


def test_saving_writes_both_files_and_nothing_else(figures: Sequence[Figure], tmp_path: Path) -> None:
    drawings = save(figures[:1], tmp_path / "new")
    picture, drawing = tmp_path / "new" / "accuracy.png", tmp_path / "new" / "accuracy.svg"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert drawing.read_text(encoding="utf-8").startswith("<svg")
    assert drawings == {"accuracy": drawing.read_text(encoding="utf-8")}
    assert sorted((tmp_path / "new").iterdir()) == [picture, drawing]


def test_a_dark_drawing_is_the_light_one_in_other_colours(figures: Sequence[Figure]) -> None:
    drawn = []
    for figure in figures:
        light, dark = svg(figure), svg(figure, theme="dark")
        assert darkened(figure, light) == dark != light, figure.name
        drawn += [figure.name] if "rgb(" in light else []
    assert drawn == ["checkpoints-by-tasks"]


def test_the_same_figure_is_the_same_drawing_whatever_was_drawn_before(figures: Sequence[Figure]) -> None:
    clipped = next(figure for figure in figures if "clip-path" in svg(figure))
    assert len({svg(clipped), svg(clipped)}) == 1


def test_words_that_look_like_colours_and_clips_stay_words(figures: Sequence[Figure]) -> None:
    name = ' fill="#1A1A1A" id="clip77'
    rows = [{"a": name, "b": 1.0, "c": "kept"}]
    spec = {"$schema": figures[0].spec["$schema"], "data": {"values": rows}, "mark": {"type": "point", "clip": True}}
    encoding = {"y": {"field": "a", "type": "nominal"}, "x": {"field": "b", "type": "quantitative"}}
    one = replace(figures[0], spec=spec | {"encoding": encoding})
    assert name in html.unescape(shown_words(svg(one)))
    assert darkened(one, svg(one)) == svg(one, theme="dark")


def test_a_picture_is_as_wide_as_asked(figures: Sequence[Figure]) -> None:
    content = png(svg(figures[0], pixels=400))
    assert int.from_bytes(content[16:20]) == 800
    assert sized(figures[0].spec, 400)["width"] == 400
    assert figures[0].spec["width"] == "container"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_and_marks_stand_out_from_the_ground(theme: Any) -> None:
    look, ground = config(theme), {"light": "#FFFFFF", "dark": "#121212"}[theme]
    words = [look["axis"]["labelColor"], look["axis"]["titleColor"], look["style"]["note"]["color"]]
    assert all(contrast(colour, ground) >= 4.5 for colour in words)
    assert all(contrast(colour, ground) >= 2.2 for colour in look["range"]["category"])
    assert all(contrast(look["style"]["count"]["color"], cell) >= 4.5 for cell in look["range"]["ramp"])
    assert look["background"] is None


def contrast(colour: str, ground: str) -> float:
    """WCAG's ratio."""
    first, second = sorted((luminance(colour), luminance(ground)), reverse=True)
    return (first + 0.05) / (second + 0.05)


def luminance(colour: str) -> float:
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))
