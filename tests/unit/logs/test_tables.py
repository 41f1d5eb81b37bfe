"""Any table with an id and a score, from files of every format and from frames."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chaintune
from chaintune.cli.comparison import CompareFlags
from chaintune.errors import ChaintuneError, ConfigError, DataError
from chaintune.logs.options import CompareOptions, ReadOptions
from chaintune.logs.readers import read_log
from chaintune.logs.sides import read_sides
from chaintune.records import Comparison, Scores, plain_scores
from tests import synthetic
from tests.synthetic import compare_all

FAST = 200
N = 40


def rows(seed: int, n: int = N) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {"id": f"e{i:02d}", "score": int(rng.random() < 0.6), "faith": "abc"[i % 3], "cluster": f"c{i // 2}"}
        for i in range(n)
    ]


def write(path: Path, data: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in data), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(data), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, data[0])
            writer.writeheader()
            writer.writerows(data)
    else:
        pq.write_table(pa.Table.from_pylist(data), path)
    return path


def figures(found: Comparison) -> list[dict[str, Any]]:
    """The whole task and every group, but for what a table of scores does not tell, such as chance and what follows
    from it; NaN is None, equal to itself.
    """
    told, unknown = found.to_dict(), {"answers_before", "answers_after", "verdict", "verdict_reason"}
    return [
        {name: value for name, value in row.items() if name not in unknown}
        for row in (told["overall"], *told["groups"])
    ]


def expected(seeds: tuple[int, int] = (0, 1)) -> Comparison:
    sides = []
    for seed in seeds:
        data = rows(seed)
        groups = {"faith": [row["faith"] for row in data]}
        right, names = [row["score"] for row in data], [row["id"] for row in data]
        clusters = [row["cluster"] for row in data]
        sides.append(synthetic.scores(right, groups=groups, clusters=clusters, ids=names, noise=seed))
    return chaintune.compare(sides[0], sides[1], by=["faith"], resamples=FAST)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_format_gives_the_figures_of_our_own_scores(tmp_path: Path, suffix: str) -> None:
    paths = [write(tmp_path / f"{seed}{suffix}", rows(seed)) for seed in (0, 1)]
    found = chaintune.compare(paths[0], paths[1], by=["faith"], resamples=FAST)
    assert figures(found) == figures(expected())


def test_frames_give_the_same(tmp_path: Path) -> None:
    frames = [pl.DataFrame(rows(seed)) for seed in (0, 1)]
    found = chaintune.compare(frames[0], frames[1], by=["faith"], resamples=FAST)
    import pandas as pd

    pandas = [pd.DataFrame(rows(seed)) for seed in (0, 1)]
    again = chaintune.compare(pandas[0], pandas[1], by=["faith"], resamples=FAST)
    assert figures(found) == figures(again) == figures(expected())


def test_score_files_are_read_by_path(tmp_path: Path) -> None:
    own = [synthetic.scores(rights, groups={"faith": list("aabb") * 5}) for rights in ([1] * 20, [0, 1] * 10)]
    for name, scores in zip(("b", "a"), own, strict=True):
        (tmp_path / name).mkdir()
        scores.write(tmp_path / name / "t.parquet")
    found = chaintune.compare(tmp_path / "b", tmp_path / "a" / "t.parquet", by=["faith"], resamples=FAST)
    assert found.to_dict() == chaintune.compare(own[0], own[1], by=["faith"], resamples=FAST).to_dict()
    with pytest.raises(DataError, match="different kinds"):
        chaintune.compare(own[0], plain_scores("t", items([1.0])), resamples=FAST)
    with pytest.raises(ConfigError, match="columns, clusters and scale of their own"):
        chaintune.compare(tmp_path / "b", tmp_path / "a", cluster="x")


def test_scores_of_several_tasks_are_compared_task_by_task() -> None:
    sides = [[synthetic.scores(rights, task=task) for task in ("s", "t")] for rights in ([1] * 20, [0, 1] * 10)]
    found = compare_all(sides[0], sides[1], resamples=FAST)
    assert [row.task for row in found] == ["s", "t"]
    alone = chaintune.compare(sides[0][1], sides[1][1], resamples=FAST).overall
    together = found[1].overall
    assert together.forgetting_family == "forgetting of 2 tasks"
    corrected: dict[str, Any] = {"p_adjusted": 1.0, "low_adjusted": 0.0, "high_adjusted": 0.0, "method": ""}
    plain = [repr(replace(one.forgetting, **corrected)) for one in (together, alone)]
    assert plain[0] == plain[1]
    assert repr((together.before, together.after, together.forgot)) == repr((alone.before, alone.after, alone.forgot))
    for strange in ([], [sides[0][0], sides[0][0]]):
        with pytest.raises(DataError, match="each task once"):
            compare_all(strange, sides[1], resamples=FAST)


def test_other_content_of_the_same_ids_is_refused() -> None:
    sides = [synthetic.scores([1, 0] * 10) for _ in range(2)]
    told = [Scores(s.task, s.table, {"test_digest": digest}) for s, digest in zip(sides, "xy", strict=True)]
    with pytest.raises(DataError, match="not the same content"):
        chaintune.compare(told[0], told[1], resamples=FAST)
    version = [Scores(s.task, s.table, {"task_version": digest}) for s, digest in zip(sides, "12", strict=True)]
    with pytest.raises(DataError, match="task version is 1 before and 2 after"):
        chaintune.compare(version[0], version[1], resamples=FAST)


def items(scores: list[float]) -> pa.Table:
    from chaintune.records import items_table

    return items_table([f"e{i}" for i in range(len(scores))], scores, [{}] * len(scores))


def test_columns_may_have_other_names_and_lie_deeper(tmp_path: Path) -> None:
    sides = []
    for seed in (0, 1):
        data = [
            {"qid": row["id"], "acc": bool(row["score"]), "meta": {"faith": [row["faith"]], "unit": row["cluster"]}}
            for row in rows(seed)
        ]
        sides.append(write(tmp_path / f"{seed}.jsonl", data))
    columns = {"id": "qid", "score": "acc", "cluster": "meta.unit", "faith": "meta.faith"}
    found = chaintune.compare(sides[0], sides[1], by=["faith"], columns=columns, resamples=FAST)
    assert figures(found) == figures(expected())
    deep = chaintune.compare(
        sides[0],
        sides[1],
        by=["meta.faith"],
        columns={"id": "qid", "score": "acc"},
        cluster="meta.unit",
        resamples=FAST,
    )
    assert [row["forgetting"] for row in figures(deep)] == [row["forgetting"] for row in figures(expected())]


def test_graded_scores_count_falls_and_rises_and_take_a_scale(tmp_path: Path) -> None:
    stars = [[1, 2, 3, 4, 5] * 6, [1, 1, 3, 5, 1] * 6]
    paths = [
        write(tmp_path / f"{k}.csv", [{"id": i, "score": s} for i, s in enumerate(side)])
        for k, side in enumerate(stars)
    ]
    found = chaintune.compare(paths[0], paths[1], scale=(1, 5), resamples=FAST)
    assert found.graded
    assert (found.overall.forgot, found.overall.learned) == (12, 6)
    assert found.overall.forgetting.value == pytest.approx((1 + 0 - 1 + 4) / 4 / 5)
    worse_is_more = chaintune.compare(paths[0], paths[1], scale=(5, 1), resamples=FAST)
    assert worse_is_more.overall.forgetting.value == pytest.approx(-found.overall.forgetting.value)
    # Scores are shown as they were measured, whichever end is the best.
    assert (found.direction, worse_is_more.direction) == ("more", "less")
    for one in (found, worse_is_more):
        assert one.overall.before.value == pytest.approx(2 / 4)
        assert one.overall.after.value == pytest.approx((0 + 0 + 2 + 4 + 0) / 4 / 5)
        assert one.overall.before.low < one.overall.before.value < one.overall.before.high
    assert (worse_is_more.overall.forgot, worse_is_more.overall.learned) == (6, 12)
    with pytest.raises(DataError, match="expected a number from 0, the worst, to 1, the best"):
        chaintune.compare(paths[0], paths[1], resamples=FAST)
    with pytest.raises(ConfigError, match="two different numbers"):
        chaintune.compare(paths[0], paths[1], scale=(1, 1), resamples=FAST)


def test_intersections_are_named_with_an_x() -> None:
    frames = [pl.DataFrame([row | {"age": "xy"[i % 2]} for i, row in enumerate(rows(seed))]) for seed in (0, 1)]
    found = chaintune.compare(frames[0], frames[1], by=["faith x age"], resamples=FAST)
    assert {row.dimension for row in found.groups} == {"faith & age"}
    assert len(found.groups) == 6
    with pytest.raises(ConfigError, match="two of them as"):
        chaintune.compare(frames[0], frames[1], by=["faith x age x cluster"], resamples=FAST)


@pytest.mark.parametrize("by", ["faith x age", "faith  x  age", "faith & age", " faith x\tage "])
def test_every_spelling_of_a_crossing_means_the_same(by: str, tmp_path: Path) -> None:
    sides = [[row | {"age": "xy"[i % 2]} for i, row in enumerate(rows(seed))] for seed in (0, 1)]
    paths = [write(tmp_path / f"{k}.jsonl", side) for k, side in enumerate(sides)]
    found = chaintune.compare(paths[0], paths[1], by=[by], resamples=FAST)
    assert {row.dimension for row in found.groups} == {"faith & age"}
    both = read_sides(paths[0], paths[1], CompareOptions(by=(by,))).paired("items")
    for side in (both.before, both.after):
        assert all({name for name, _ in pairs} == {"age", "faith"} for pairs in side.table["groups"].to_pylist())


def test_missing_examples_and_tasks_are_an_error_or_counted(tmp_path: Path) -> None:
    before, after = rows(0), rows(1)[5:]
    paths = [write(tmp_path / f"{k}.jsonl", data) for k, data in enumerate((before, after))]
    with pytest.raises(DataError, match="5 only before"):
        chaintune.compare(paths[0], paths[1], resamples=FAST)
    assert chaintune.compare(paths[0], paths[1], on_missing="intersect", resamples=FAST).n_left_out == 5
    several = write(tmp_path / "s.jsonl", [row | {"task": "one"} for row in before] + [before[0] | {"task": "two"}])
    single = write(tmp_path / "o.jsonl", [row | {"task": "one"} for row in before])
    with pytest.raises(DataError, match="only one of the two has two"):
        chaintune.compare(several, single, resamples=FAST)
    assert chaintune.compare(several, single, on_missing="intersect", resamples=FAST).task == "one"
    with pytest.raises(DataError, match="no task is on both sides"):
        chaintune.compare(single, paths[0], resamples=FAST)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".csv"])
def test_a_null_score_with_a_reason_is_left_out_and_counted(tmp_path: Path, suffix: str) -> None:
    data = [{**row, "missing_reason": None} for row in rows(0)]
    holes = [
        {**row, "score": None, "missing_reason": "the judge gave no answer"} if k < 3 else row
        for k, row in enumerate(data)
    ]
    paths = [tmp_path / f"{name}{suffix}" for name in ("before", "after", "silent")]
    silent = [{**row, "score": None} if k < 3 else row for k, row in enumerate(data)]
    for path, own in zip(paths, (data, holes, silent), strict=True):
        frame = pl.DataFrame(own, infer_schema_length=None)
        if suffix == ".jsonl":
            frame.write_ndjson(path)
        elif suffix == ".csv":
            frame.write_csv(path)
        else:
            frame.write_parquet(path)
    found = chaintune.compare(paths[0], paths[1], resamples=FAST)
    assert (found.n_left_out, found.overall.forgetting.n) == (3, len(data) - 3)
    with pytest.raises(DataError, match=r"score is .*, expected a number"):
        chaintune.compare(paths[0], paths[2], resamples=FAST)


def test_a_slip_is_told_with_what_was_meant() -> None:
    frame = pl.DataFrame(rows(0))
    with pytest.raises(ConfigError, match="did you mean 'faith'"):
        chaintune.compare(frame, frame, by=["fiath"], resamples=FAST)
    with pytest.raises(ConfigError, match="did you mean 'table'"):
        chaintune.compare("before.jsonl", "after.jsonl", reader="tabel")


def test_whole_numbers_that_became_fractions_are_the_same_ids(tmp_path: Path) -> None:
    whole = write(tmp_path / "b.jsonl", [{"id": number, "score": 1} for number in range(N)])
    fractions = [{"id": float(number), "score": number % 2} for number in range(N)]
    for after in (
        write(tmp_path / "a.jsonl", fractions),
        pl.DataFrame(fractions),
        write(tmp_path / "a.parquet", fractions),
    ):
        assert chaintune.compare(whole, after, resamples=FAST).overall.forgot == N / 2
    as_text = write(tmp_path / "a.csv", fractions)  # a text stays what it is
    with pytest.raises(DataError, match=r"40 only after .*; ids of one side are whole numbers written as fractions"):
        chaintune.compare(whole, as_text, resamples=FAST)
    with pytest.raises(DataError, match=r"id is 0\.5, expected text or a whole number"):
        chaintune.compare(whole, pl.DataFrame([{"id": 0.5, "score": 1}]), resamples=FAST)


def test_examples_without_a_group_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = [{"id": number, "score": 1, "country": ("NA", "DE")[number % 2]} for number in range(N)]
    path = write(tmp_path / "t.csv", data)
    chaintune.compare(path, path, by="country", resamples=FAST)
    assert caplog.text == ""
    read: list[dict[str, Any]] = [
        {**row, "country": None if row["country"] == "NA" else row["country"]} for row in data
    ]  # as pandas does
    chaintune.compare(pl.DataFrame(read), pl.DataFrame(read), by="country", resamples=FAST)
    assert f"before: {N // 2} of {N} examples have no group on 'country'" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": 1, "score": NaN}', r"f.jsonl, line 1: score is nan, expected a number"),
        ('{"id": 1, "score": "x"}', r"score is 'x'"),
        ('{"id": 1}', r"f.jsonl: there is no column 'score'; valid: id; name the log's own as --columns score=COLUMN"),
        ('{"id": null, "score": 1}', r"id is None, expected text or a whole number"),
        ('{"id": 1, "score": 1}\n{"id": 1, "score": 0}', r", line 2: id '1' appears twice, first in .*, line 1;"),
        ('{"id": 1, "score": 1', r"f.jsonl, line 1: not JSON"),
        ("[1]", r"expected a JSON object, got list"),
        ("", r"holds no rows"),
        ('{"id": "\\ud800", "score": 1}', r"is no text"),
        ("[" * 100_000, r"f.jsonl, line 1: nested too deeply"),
        ('{"id": 1, "score": ' + "9" * 5000 + "}", r"f.jsonl, line 1"),
        ('{"id": 1, "score": 1, "faith": {"a": 1}}', r"line 1: faith is dict {'a': 1}, expected a group"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        chaintune.compare(path, path, by=["faith"], resamples=FAST)


def test_every_kind_of_fault_is_told_up_to_five(tmp_path: Path) -> None:
    scores = [7, "word", [0], {"a": 0}, None, "", True]
    path = write(tmp_path / "f.jsonl", [{"id": i, "score": score} for i, score in enumerate(scores)])
    with pytest.raises(DataError) as caught:
        read_log(path, ReadOptions())
    assert str(caught.value).count("score is ") == 5
    assert str(caught.value).endswith("\n  and 1 more")


def test_one_kind_of_fault_is_told_once_whatever_the_values(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", [{"id": i, "score": 7 + i} for i in range(9)])
    with pytest.raises(DataError, match=r"line 1: score is 7, .*; the same in line 2, line 3, line 4 and 5 more$"):
        read_log(path, ReadOptions())


def test_one_fault_of_many_rows_is_told_once(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", [{"id": i, "score": 7} for i in range(9)])
    with pytest.raises(DataError, match=r"f\.jsonl, line 1, line 2, line 3 and 6 more: score is 7, expected a number"):
        read_log(path, ReadOptions())


def test_files_of_no_known_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(DataError, match="columns id and score"):
        read_log(tmp_path / "x.txt", ReadOptions())
    with pytest.raises(DataError, match="no such file or folder"):
        read_log(tmp_path / "none", ReadOptions())
    with pytest.raises(DataError, match="the folder holds no log that any reader recognises"):
        read_log(tmp_path, ReadOptions())
    (tmp_path / "bad.parquet").write_bytes(b"PAR1nonsense")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_log(tmp_path / "bad.parquet", ReadOptions())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
ROW = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "score", "cluster", "task", "g", "doc_id"), JSON))


@settings(max_examples=150, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.lists(ROW, max_size=4).map(lambda found: "\n".join(map(json.dumps, found)).encode()),
        st.lists(ROW, max_size=4).map(lambda found: json.dumps(found).encode("utf-16")),
    ),
    suffix=st.sampled_from([".jsonl", ".json", ".csv", ".parquet"]),
)
def test_no_bytes_make_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzzed{suffix}"
    path.write_bytes(data)
    try:
        found = read_log(path, ReadOptions(dimensions=("g",)))
    except ChaintuneError:
        return
    for log in found.values():
        assert np.isfinite(log.scores.item_scores()).all()


def test_tasks_are_chosen_among_frames_and_scores_too() -> None:
    frames = [pl.DataFrame([{**row, "task": name} for name in "AB" for row in rows(seed)]) for seed in (0, 1)]
    assert [found.task for found in compare_all(*frames, task=["B", "A"], resamples=FAST)] == ["B", "A"]
    assert chaintune.compare(*frames, task="B", resamples=FAST).task == "B"
    ours = [synthetic.scores([1, 0] * 10, task=name) for name in "AB"]
    assert [found.task for found in compare_all(ours, ours, task="A", resamples=FAST)] == ["A"]
    with pytest.raises(ConfigError, match="there is no task 'C'"):
        compare_all(ours, ours, task="C", resamples=FAST)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": 3}, "by 3: expected a name or a list of names"),
        ({"task": [1]}, r"task \[1\]: expected a name"),
        ({"columns": "id=q"}, "columns 'id=q': expected a mapping"),
        ({"scale": 1}, "scale 1: expected two numbers"),
        ({"level": "0.9"}, "level '0.9': expected a number such as 0.95"),
        ({"margin": None}, "margin None: expected a number"),
        ({"resamples": 1e4}, "resamples 10000.0: expected a whole number"),
        ({"seed": -1}, "seed -1: expected 0 or more"),
        ({"metric": 1}, "metric 1: expected a name"),
        ({"intersections": ["faith"]}, "expected pairs of dimensions"),
    ],
)
def test_an_option_of_another_kind_is_one_sentence(options: dict[str, Any], said: str) -> None:
    frame = pl.DataFrame(rows(0))
    with pytest.raises(ConfigError, match=said):
        chaintune.compare(frame, frame, **options)


def test_one_dimension_needs_no_list() -> None:
    frames = [pl.DataFrame(rows(seed)) for seed in (0, 1)]
    found = chaintune.compare(*frames, by="faith", resamples=FAST)
    assert figures(found) == figures(expected())


def test_groups_and_tasks_that_only_one_side_has_are_told() -> None:
    before = [{**row, "task": name} for name in "AB" for row in rows(0)]
    after = [row for row in before if row["task"] == "A" and row["faith"] != "c"]
    frames = pl.DataFrame(before), pl.DataFrame(after)
    found = compare_all(*frames, by=["faith", "faith x cluster"], on_missing="intersect", resamples=FAST)[0]
    crossed = {("faith & cluster", f"c & {row['cluster']}") for row in rows(0) if row["faith"] == "c"}
    assert set(found.groups_left_out) == {("faith", "c"), *crossed}
    assert found.tasks_left_out == ("B",)
    same = compare_all(frames[0], frames[0], by=["faith"], resamples=FAST)
    assert [(one.groups_left_out, one.tasks_left_out) for one in same] == [((), ()), ((), ())]


def test_a_dimension_that_only_left_out_examples_have_is_left_out_whole() -> None:
    before = pl.DataFrame(rows(0)).with_columns(g=pl.when(pl.col("id") < "e05").then(pl.lit("x")))
    found = chaintune.compare(before, before[5:], by="g", on_missing="intersect", resamples=FAST)
    assert (found.groups, found.groups_left_out) == ((), (("g", "x"),))


def test_dimensions_that_no_task_need_have() -> None:
    frame = pl.DataFrame(rows(0)).with_columns(g=pl.lit(None, pl.String))
    found = chaintune.compare(frame, frame, by="faith", also_by=["g", "none", "faith x none"], resamples=FAST)
    assert {row.dimension for row in found.groups} == {"faith"}
    with pytest.raises(ConfigError, match="no example has a group on 'g', that field is empty throughout: valid: "):
        chaintune.compare(frame, frame, by="g", resamples=FAST)


def test_groups_of_one_side_alone_say_which() -> None:
    frame = pl.DataFrame(rows(0))
    for sides, which in (((frame, frame.drop("faith")), "before"), ((frame.drop("faith"), frame), "after")):
        with pytest.raises(DataError, match=f"task 'items': only {which} has groups on 'faith'"):
            chaintune.compare(*sides, by="faith", resamples=FAST)


@pytest.mark.parametrize("missing", [None, float("nan"), "NaN", "nan", ""])
@pytest.mark.parametrize("way", [".jsonl", ".json", ".csv", ".parquet", "pandas", "polars"])
def test_nan_is_no_group_wherever_it_comes_from(tmp_path: Path, way: str, missing: Any) -> None:
    if way in (".parquet", "polars") and isinstance(missing, float):
        missing = None  # a column of text has no other way to say it
    data = [{**row, "faith": row["faith"] if i % 2 else missing} for i, row in enumerate(rows(0))]
    if way == "pandas":
        import pandas as pd

        side: Any = pd.DataFrame(data)
    else:
        side = pl.DataFrame(data) if way == "polars" else write(tmp_path / f"x{way}", data)
    found = chaintune.compare(side, side, by="faith", resamples=FAST)
    assert [row.group for row in found.groups] == ["a", "b", "c"]


def test_pandas_frames_may_hold_lists_of_groups() -> None:
    import pandas as pd

    lists = [{**row, "faith": [row["faith"], "z"] if i % 2 else None} for i, row in enumerate(rows(0))]
    arrays = pd.DataFrame([{**row, "faith": row["faith"] and np.array(row["faith"])} for row in lists])
    frame = pl.DataFrame(lists)
    plain = chaintune.compare(frame, frame, by="faith", resamples=FAST)
    assert figures(chaintune.compare(arrays, arrays, by="faith", resamples=FAST)) == figures(plain)
    arrays["faith"] = pd.Series([row["faith"][0] if row["faith"] else None for row in lists], dtype="string")
    assert len(chaintune.compare(arrays, arrays, by="faith", resamples=FAST).groups) == 3


def both(folder: Path, sides: tuple[list[dict[str, Any]], list[dict[str, Any]]], suffix: str = ".jsonl") -> list[Path]:
    return [write(folder / f"{k}{suffix}", side) for k, side in enumerate(sides)]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_a_prediction_is_compared_with_the_answer(tmp_path: Path, suffix: str) -> None:
    sides = [
        [
            {"id": row["id"], "pred": f" {k}" if row["score"] else "?", "gold": str(k)}
            for k, row in enumerate(rows(seed))
        ]
        for seed in (0, 1)
    ]
    columns = {"prediction": "pred", "answer": "gold"}
    found = chaintune.compare(*both(tmp_path, (sides[0], sides[1]), suffix), columns=columns, resamples=FAST)
    scores = [pl.DataFrame([{"id": row["id"], "score": row["score"]} for row in rows(seed)]) for seed in (0, 1)]
    assert found.overall.forgetting == chaintune.compare(*scores, resamples=FAST).overall.forgetting
    assert found.metric == "accuracy"


@pytest.mark.parametrize(
    ("prediction", "answer", "score"),
    [
        ("a ", "a", 1),
        ("A", "a", 0),
        (3, "3", 1),
        (3.0, 3, 1),
        (True, "true", 1),
        ("Paris", ["London", " Paris"], 1),
        ("Rome", ["London", "Paris"], 0),
        (None, "a", 0),
        (float("nan"), "a", 0),
    ],
)
def test_what_counts_as_the_answer(prediction: Any, answer: Any, score: int) -> None:
    data = [{"id": 1, "prediction": prediction, "answer": answer}]
    log = read_sides(data, data, CompareOptions(read=ReadOptions(columns={"answer": "answer"}))).before["items"]
    assert log.scores.item_scores().tolist() == [score]


@pytest.mark.parametrize("answer", [None, "", [], {"a": 1}, [None]])
def test_an_answer_that_is_none_is_refused(answer: Any) -> None:
    data = [{"id": 1, "prediction": "a", "answer": answer}]
    with pytest.raises(DataError, match=r"row 1: prediction is compared with answer, which is .*, expected a text"):
        chaintune.compare(data, data, columns={"answer": "answer"}, resamples=FAST)


def test_one_row_is_told_in_the_singular(caplog: pytest.LogCaptureFixture) -> None:
    data = [{"id": k, "prediction": "b" if k else None, "answer": "b", "kind": "x" if k else " y"} for k in range(8)]
    chaintune.compare(data, data, by=["kind"], columns={"answer": "answer"}, resamples=FAST)
    assert "1 row without a prediction in 'prediction', which counts as wrong" in caplog.text
    assert "1 row with blanks around a group's name in 'kind', which were removed" in caplog.text


def test_a_field_of_fields_names_the_dimensions_in_it() -> None:
    data = [{"id": k, "score": k % 2, "groups": {"kind": "xy"[k % 2], "age": "old"}} for k in range(8)]
    with pytest.raises(DataError, match=r"row 1: groups is dict .*; its fields are .*: groups.kind, groups.age$"):
        chaintune.compare(data, data, by=["groups"], resamples=FAST)
    with pytest.raises(ConfigError, match=r"no example has a group on 'kind': did you mean 'groups.kind'\?"):
        chaintune.compare(data, data, by=["kind"], resamples=FAST)
    found = chaintune.compare(data, data, by=["groups.kind"], resamples=FAST)
    assert {row.group for row in found.groups} == {"x", "y"}


def test_empty_predictions_and_answers_that_never_agree_are_told(caplog: pytest.LogCaptureFixture) -> None:
    data = [{"id": k, "prediction": [None, "B"][k % 2], "answer": "b"} for k in range(8)]
    chaintune.compare(data, data, columns={"answer": "answer"}, resamples=FAST)
    assert "before: 4 rows without a prediction in 'prediction', which count as wrong" in caplog.text
    assert "no prediction in 'prediction' is ever the answer in 'answer'" in caplog.text


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("answer", [False, True])
def test_two_columns_of_one_file_are_two_sides(tmp_path: Path, suffix: str, answer: bool) -> None:
    before, after = rows(0), rows(1)
    marks = {1: "a", 0: "b"} if answer else {1: 1, 0: 0}
    data = [
        {**one, "base": marks[one["score"]], "tuned": marks[other["score"]], "gold": "a"}
        for one, other in zip(before, after, strict=True)
    ]
    path = write(tmp_path / f"all{suffix}", data)
    columns = {"answer": "gold"} if answer else {}
    found = chaintune.compare(f"{path}#base", f"{path}#tuned", by="faith", columns=columns, resamples=FAST)
    assert [row["forgetting"] for row in figures(found)] == [row["forgetting"] for row in figures(expected())]
    with pytest.raises(DataError, match=r"there is no column 'tunde' for (score|prediction); did you mean 'tuned'"):
        chaintune.compare(f"{path}#base", f"{path}#tunde", columns=columns, resamples=FAST)
    with pytest.raises(ConfigError, match="logs of deepeval have no parts that are sides, as tables have columns"):
        chaintune.compare(f"{path}#base", f"{path}#tuned", reader="deepeval", resamples=FAST)


def test_a_file_whose_name_holds_the_sign_is_that_file(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"run#{seed}.jsonl", rows(seed)) for seed in (0, 1)]
    assert figures(chaintune.compare(*paths, by="faith", resamples=FAST)) == figures(expected())


def test_trials_of_one_example_are_averaged(tmp_path: Path) -> None:
    def trials(seed: int) -> list[dict[str, Any]]:
        rng = np.random.default_rng(seed)
        return [{"id": f"e{i:02d}", "seed": s, "score": int(rng.random() < 0.5)} for i in range(30) for s in range(3)]

    sides = trials(0), trials(1)
    found = chaintune.compare(*both(tmp_path, sides), columns={"trial": "seed"}, resamples=FAST)
    means = [pl.DataFrame(side).group_by("id").agg(pl.col("score").mean()) for side in sides]
    assert figures(found) == figures(chaintune.compare(*means, resamples=FAST))
    assert (found.overall.forgetting.n, found.overall.forgetting.n_clusters) == (30, 30)
    with pytest.raises(DataError, match=r"id 'e00' appears twice.*, --columns trial=COLUMN"):
        chaintune.compare(*both(tmp_path, sides), resamples=FAST)
    twice = [*sides[0], sides[0][0]]
    with pytest.raises(DataError, match=r"line 91: trial '0' of 'e00' is in .*line 1 too; .*--cluster COLUMN"):
        chaintune.compare(*both(tmp_path, (twice, twice)), columns={"trial": "seed"}, resamples=FAST)
    mixed = [row | {"faith": "ab"[k % 2]} for k, row in enumerate(sides[0])]
    with pytest.raises(DataError, match="trials of 'e00' have the same groups and cluster, and this one has others"):
        chaintune.compare(*both(tmp_path, (mixed, mixed)), by="faith", columns={"trial": "seed"}, resamples=FAST)


def test_the_advice_on_repeated_ids_leads_to_intervals_that_reckon_with_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lost = rng.random(100) < 0.1  # of each question all five repeats

    def rows_of(side: int, own: str = "") -> list[dict[str, Any]]:
        return [
            {"id": f"q{number}{own * epoch}", "score": int(not (side and gone)), "question": number, "epoch": epoch}
            for number, gone in enumerate(lost.tolist())
            for epoch in range(5)
        ]

    repeated = both(tmp_path, (rows_of(0), rows_of(1)))
    with pytest.raises(DataError, match=r"id 'q0' appears twice.*trial=COLUMN.*id of its own.*--cluster COLUMN"):
        chaintune.compare(*repeated, resamples=FAST)
    averaged = chaintune.compare(*repeated, columns={"trial": "epoch"}, resamples=FAST).overall.forgetting
    renamed = both(tmp_path, (rows_of(0, "#"), rows_of(1, "#")))
    clustered, naive = (
        chaintune.compare(*renamed, cluster=cluster, resamples=FAST).overall.forgetting
        for cluster in ("question", None)
    )
    assert (averaged.n, clustered.n, clustered.n_clusters) == (100, 500, 100)
    widths = [one.high - one.low for one in (averaged, clustered, naive)]
    assert widths[0] == pytest.approx(widths[1], rel=0.2)
    assert widths[2] < 0.7 * widths[1]


def test_trials_without_a_score_are_left_out_of_the_mean() -> None:
    data = [
        {"id": "a", "trial": 0, "score": 1, "missing_reason": None},
        {"id": "a", "trial": 1, "score": None, "missing_reason": "timed out"},
        {"id": "b", "trial": 0, "score": None, "missing_reason": "timed out"},
    ]
    log = read_sides(data, data, CompareOptions(read=ReadOptions(columns={"trial": "trial"}))).before["items"]
    assert log.scores.table.select(["example_id", "score", "missing_reason"]).to_pylist() == [
        {"example_id": "a", "score": 1.0, "missing_reason": None},
        {"example_id": "b", "score": None, "missing_reason": "timed out"},
    ]


def test_a_metric_may_be_of_one_task() -> None:
    data = [{"id": f"e{k}", "task": task, "acc": k % 2, "f1": 0.5} for task in "AB" for k in range(8)]
    found = compare_all(data, data, metric={"A": "acc", "B": "f1"}, resamples=FAST)
    assert [(one.task, one.metric) for one in found] == [("A", "acc"), ("B", "f1")]
    options = CompareFlags(metric=["acc", "B=f1"]).options()
    assert (options.read.metric_of("A"), options.read.metric_of("B")) == ("acc", "f1")
    for wrong in ("=acc", "A="):
        with pytest.raises(ConfigError, match="--metric"):
            CompareFlags(metric=[wrong]).options()
    with pytest.raises(ConfigError, match="metric 3: expected a name or a list of names"):
        compare_all(data, data, metric={"A": 3}, resamples=FAST)


def test_metrics_behind_the_first_are_read_beside_it_of_all_tasks_or_of_one() -> None:
    data = [{"id": f"e{k}", "task": task, "acc": k % 2, "f1": 0.5} for task in "AB" for k in range(8)]
    for named in (["acc", "f1"], {"A": ["acc", "f1"], "B": "f1"}):
        first, second = compare_all(data, data, metric=named, resamples=FAST)
        assert [(one.metric, one.before.value) for one in first.second_lines] == [("f1", 0.5)]
        assert [one.metric for one in second.second_lines] == ([] if isinstance(named, dict) else ["f1"])
    for texts, further in ((["acc", "f1"], ("f1",)), (["acc", "f1", "f1", "acc"], ("f1",)), (["A=acc", "f1"], ())):
        assert CompareFlags(metric=texts).options().read.further_of("A") == further
    with pytest.raises(DataError, match=r"no column 'f2' for score; valid: f1"):
        compare_all(data, data, metric=["acc", "f2"], resamples=FAST)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_column_task_that_names_every_row_is_told_with_the_ways_out(tmp_path: Path, suffix: str) -> None:
    paths = [
        write(tmp_path / f"{seed}{suffix}", [{**row, "task": f"door {k}"} for k, row in enumerate(rows(seed))])
        for seed in (0, 1)
    ]
    with pytest.raises(DataError, match=r"'task' names a task for nearly every row, 40 for 40 rows.*id=task.*task= "):
        chaintune.compare(*paths, resamples=FAST)
    for columns in ({"id": "task"}, {"task": ""}):
        found = chaintune.compare(*paths, by="faith", columns=columns, resamples=FAST)
        assert [row["forgetting"]["value"] for row in figures(found)] == [
            row["forgetting"]["value"] for row in figures(expected())
        ]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_whole_numbers_name_tasks(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"f{suffix}", [{"id": k, "score": k % 2, "task": k % 2} for k in range(12)])
    assert set(read_log(path, ReadOptions())) == {"0", "1"}


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_missing_columns_are_told_at_once_with_the_option(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"f{suffix}", [{"doc": k, "acc": 1} for k in range(30)])
    with pytest.raises(DataError) as caught:
        chaintune.compare(path, path, resamples=FAST)
    told = str(caught.value)
    assert told.startswith(f"{path}: there are no columns 'id' and 'score'; valid: ")
    assert told.endswith("; name the log's own as --columns id=COLUMN,score=COLUMN (in Python columns={...})")
    assert chaintune.compare(path, path, columns={"id": "doc", "score": "acc"}, resamples=FAST).overall


@pytest.mark.parametrize(
    ("score", "advice"),
    [
        ("correct", "write 1 for right, 0 for wrong, or compare with an answer"),
        (None, "say why there is none in a column 'missing_reason'"),
        (float("nan"), "say why there is none in a column 'missing_reason'"),
        ([1, 0], "name a column with one number a row"),
        ({"acc": 1}, "name a column with one number a row"),
        (7, "name the ends of another scale as --scale"),
    ],
)
def test_a_score_that_is_no_number_is_told_with_what_helps(score: Any, advice: str) -> None:
    data = [{"id": k, "score": score if k == 3 else 1, "acc": 1, "gold": "correct"} for k in range(12)]
    with pytest.raises(DataError, match=f"before, row 4: score is .*, expected a number from 0, .*; {advice}"):
        chaintune.compare(data, data, resamples=FAST)
    helped: dict[str, Any] = {"on_missing": "intersect"}
    if score == 7:
        helped = {"scale": (0, 7)}
    elif isinstance(score, list | dict):
        helped = {"columns": {"score": "acc"}}
    elif score == "correct":
        helped = {"columns": {"prediction": "score", "answer": "gold"}}
    elif helped:
        data = [row for row in data if row["id"] != 3]
    assert chaintune.compare(data, data, resamples=FAST, **helped).overall


def test_groups_are_read_as_tasks_read_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from chaintune import tasks

    cells = ['["a", "b"]', " a", "b ", "3", "NaN", ""]
    data = [
        {"id": f"e{k:02d}", "score": k % 2, "g": cells[k % 6], "prompt": f"q{k}", "choices": '["x","y"]', "gold": "x"}
        for k in range(24)
    ]
    path = write(tmp_path / "f.csv", data)
    log = read_log(path, ReadOptions(dimensions=("g",)))["items"]
    task = tasks.load("mine", role="safety", path=path, test_share=1, columns={"groups": {"g": "g"}}, labelling=False)
    assert [dict(groups) for groups in log.scores.table.column("groups").to_pylist()] == [
        {name: list(own) for name, own in example.groups.items()} for example in task.test
    ]
    assert "8 rows with blanks around a group's name in 'g', which were removed" in caplog.text


def test_a_row_without_a_cluster_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    data = [{"id": f"e{k}", "score": k % 2, "cluster": ["c", None, " ", float("nan")][k % 4]} for k in range(12)]
    found = chaintune.compare(data, data, resamples=FAST)
    assert found.overall.forgetting.n_clusters == 1 + 9
    assert "9 rows without a cluster in 'cluster', each one of its own" in caplog.text


def test_maps_decimals_dates_and_dictionaries_of_parquet_are_read(tmp_path: Path) -> None:
    from datetime import date
    from decimal import Decimal

    data = [
        {
            "id": date(2026, 1, 1 + k),
            "score": Decimal(k % 2),
            "groups": [("colour", [["red", "blue"][k % 2]]), ("size", ["l"])],
            "kind": "xy"[k % 2],
        }
        for k in range(24)
    ]
    schema = pa.schema(
        [
            ("id", pa.date32()),
            ("score", pa.decimal128(4, 2)),
            ("groups", pa.map_(pa.string(), pa.list_(pa.string()))),
            ("kind", pa.dictionary(pa.int32(), pa.string())),
        ]
    )
    pq.write_table(pa.Table.from_pylist(data, schema=schema), tmp_path / "f.parquet")
    path = tmp_path / "f.parquet"
    found = chaintune.compare(path, path, by=["groups.colour", "kind"], resamples=FAST)
    assert [(row.dimension, row.group) for row in found.groups] == [
        ("groups.colour", "blue"), ("groups.colour", "red"), ("kind", "x"), ("kind", "y")
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"groups is dict .*, expected a group or a list of groups"):
        chaintune.compare(path, path, by="groups", resamples=FAST)


@pytest.mark.parametrize("name", ["results_base.json", "results_2026.json", "samples.json"])
def test_a_list_of_rows_is_a_table_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    paths = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        paths.append(write(tmp_path / str(seed) / name, rows(seed)))
    assert figures(chaintune.compare(*paths, by="faith", resamples=FAST)) == figures(expected())


def test_tables_in_memory_of_every_kind_give_the_same() -> None:
    import datasets
    import pandas as pd

    makers: list[Any] = [
        pl.LazyFrame, datasets.Dataset.from_list, pa.Table.from_pylist, list, lambda r: pd.DataFrame(r).set_index("id")
    ]  # fmt: skip
    for maker in makers:
        found = chaintune.compare(maker(rows(0)), maker(rows(1)), by="faith", resamples=FAST)
        assert figures(found) == figures(expected())
    series = [pd.DataFrame(rows(seed)).set_index("id")["score"] for seed in (0, 1)]
    again = chaintune.compare(*series, resamples=FAST).overall.forgetting.value
    assert again == expected().overall.forgetting.value


def test_what_is_no_table_is_one_sentence() -> None:
    import datasets
    import pandas as pd

    frame = pl.DataFrame(rows(0))
    splits = datasets.DatasetDict({"a": datasets.Dataset.from_list(rows(0)), "b": datasets.Dataset.from_list(rows(1))})
    with pytest.raises(DataError, match=r"before: holds the splits a, b; give one of them, as data\['test'\]"):
        chaintune.compare(splits, frame)
    doubled = pd.DataFrame([[1, 1, 0]], columns=["id", "score", "score"])
    with pytest.raises(DataError, match="before: column 'score' appears twice; rename one"):
        chaintune.compare(doubled, doubled)
    strange: list[Any] = [
        None,
        3,
        {},
        {"id": [1]},
        np.zeros(3),
        object(),
        print,
        frame["id"],
        [1],
        [],
        [{}, 3],
        b"x",
        {1},
    ]
    for one in strange:
        with pytest.raises(ChaintuneError):
            chaintune.compare(one, one, resamples=FAST)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_run_of_blank_predictions_is_no_forgetting(tmp_path: Path, suffix: str) -> None:
    def side(name: str, *, blank: bool, right: int = 0) -> Path:
        made = [
            {"id": f"e{i:03d}", "score": int(i < right if blank else i % 10 > 0), "prediction": " " * blank or "Paris"}
            for i in range(200)
        ]
        return write(tmp_path / f"{name}{suffix}", made)

    good, silent = side("good", blank=False), side("silent", blank=True)
    found = chaintune.compare(good, silent, resamples=FAST).overall
    assert (found.verdict, found.answers_after.empty_answers, found.answers_before.empty_answers) == (
        "inconclusive", 200, 0
    )  # fmt: skip
    assert "after gives an empty answer to 200 of 200" in found.verdict_reason
    # A right answer is not blank, so this column does not hold the answers.
    other = chaintune.compare(good, side("other", blank=True, right=1), resamples=FAST).overall
    assert (other.verdict, other.answers_after.empty_answers) == ("forgot", 0)


@pytest.mark.parametrize("name", ["scores.parquet", "scores.csv", "log.eval", "samples_arc_easy.jsonl"])
def test_a_pointer_of_git_lfs_is_told_whatever_reads_the_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12\n")
    for named in (path, *([] if name.endswith(".csv") else [tmp_path])):
        with pytest.raises(DataError, match=rf"{name}: this is a pointer of Git LFS, not the file; run 'git lfs pull'"):
            chaintune.compare(named, named)
