"""Damaged and hostile logs: one message or a right answer, never a traceback, and nothing is written anywhere."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.errors import ChaintuneError
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import read_log
from tests.unit.logs import archives, logs

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
RIGHT = {f"q{number}": float(number % 2) for number in range(4)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


def read(path: Path, wanted: ReadOptions | None = None) -> dict[str, float] | None:
    """Scores by id, or None when they are refused; every file beside the log is as before."""
    before = {file: file.stat().st_mtime_ns for file in path.parent.rglob("*")}
    try:
        found = read_log(path, wanted or ReadOptions())
    except ChaintuneError:
        return None
    finally:
        assert {file: file.stat().st_mtime_ns for file in path.parent.rglob("*")} == before
    (log,) = found.values()
    scores = log.scores.item_scores()
    assert np.isfinite(scores).all()
    return dict(zip(log.scores.example_ids, scores.tolist(), strict=True))


def whole() -> dict[str, Any]:
    return archives.log([archives.sample(number, {"match": "IC"[number % 2]}) for number in range(4)])


def paths_in(told: Any, depth: int = 0) -> list[tuple[Any, ...]]:
    """Where something stands in plain data, not too deep."""
    if depth == 5 or not isinstance(told, dict | list):
        return [()]
    inner = told.items() if isinstance(told, dict) else enumerate(told)
    return [()] + [(key, *rest) for key, value in inner for rest in paths_in(value, depth + 1)]


def replaced(told: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(told) if isinstance(told, dict) else list(told)
    copy[path[0]] = replaced(told[path[0]], path[1:], value)
    return copy


@settings(max_examples=30, deadline=None)
@given(data=st.data(), value=JSON | st.text(alphabet="\ud800x", max_size=2), suffix=st.sampled_from([".json", ".eval"]))
def test_a_value_of_another_type_anywhere_in_a_log_of_inspect(
    folder: Path, data: st.DataObject, value: Any, suffix: str
) -> None:
    told = replaced(whole(), data.draw(st.sampled_from(paths_in(whole())[1:])), value)
    path = folder / f"typed{suffix}"
    if not isinstance(told.get("samples"), list):
        suffix, path = ".json", folder / "typed.json"
    archives.write(path, told)
    found = read(path)
    if found is not None and "match" in json.dumps(told["samples"]):
        # One example may be another one or be scored otherwise, but not two.
        assert sum(found.get(name) != score for name, score in RIGHT.items()) <= 1


@settings(max_examples=30, deadline=None)
@given(data=st.data(), value=JSON | st.text(alphabet="\ud800x", max_size=2))
def test_a_value_of_another_type_anywhere_in_summaries_of_inspect(
    folder: Path, data: st.DataObject, value: Any
) -> None:
    told = whole()
    summaries = [archives.summary(part) for part in told["samples"]]
    wrong = replaced(summaries, data.draw(st.sampled_from(paths_in(summaries)[1:])), value)
    path = archives.write(folder / "summaries.eval", told)
    archives.changed(path, {"summaries.json": archives.compact(wrong)})
    found = read(path, ReadOptions(dimensions=("metadata.group",)))
    assert found is None or sum(found.get(name) != score for name, score in RIGHT.items()) <= 1


@settings(max_examples=25, deadline=None)
@given(cut=st.floats(0, 1), suffix=st.sampled_from([".json", ".eval"]))
def test_a_log_of_inspect_that_was_cut_off(folder: Path, cut: float, suffix: str) -> None:
    path = archives.write(folder / f"cut{suffix}", whole())
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data))])
    assert read(path) in (None, RIGHT)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), zstandard=st.booleans(), summaries=st.booleans())
def test_an_archive_with_some_bytes_changed(
    folder: Path, data: st.DataObject, zstandard: bool, summaries: bool
) -> None:
    path = archives.write(folder / "bytes.eval", whole(), summaries=summaries)
    if zstandard:
        pytest.importorskip("zipfile_zstd")
        compressed_again(path, 93)
    held = bytearray(path.read_bytes())
    for place, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(held) - 1), st.integers(0, 255)), min_size=1, max_size=4)
    ):
        held[place] = byte
    path.write_bytes(bytes(held))
    # inspect-ai compares no checksums, so that a changed digit of a member that is not packed is read as it stands.
    found = read(path)
    assert found is None or all(0 <= score <= 1 for score in found.values())


def compressed_again(path: Path, method: int) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_names_in_an_archive_lead_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "inner" / "names.eval"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps(archives.log([])))
        for number, name in enumerate(("../../out.json", "/out.json", "samples/../../out.json", "samples/0.json")):
            archive.writestr(name, json.dumps(archives.sample(number, {"match": 1})))
    assert read(path) == {"q2": 1.0, "q3": 1.0}
    samples = [archives.sample(0, {"match": 1}, id=name) for name in ("../../../out", "/out", "a/b")]
    assert read(archives.write(path, archives.log(samples))) == {"../../../out": 1.0, "/out": 1.0, "a/b": 1.0}
    assert [file.name for file in tmp_path.rglob("*")] == ["inner", "names.eval"]


def lm_eval_lines(change: Mapping[str, Any]) -> str:
    rows = [logs.sample(number, number % 2) for number in range(4)]
    rows[2] |= change
    return "".join(json.dumps(row) + "\n" for row in rows)


@settings(max_examples=25, deadline=None)
@given(
    change=st.dictionaries(
        st.sampled_from(["doc_id", "acc", "doc", "filter", "metrics", "prompt_hash", "resps"]), JSON, max_size=2
    ),
    turn=st.sampled_from(
        [
            str.encode,
            lambda text: text.encode("utf-16"),
            lambda text: text.encode("latin-1", "replace").replace(b"Who", b"\xff"),
        ]
    ),
    cut=st.none() | st.floats(0, 1),
)
def test_samples_of_lm_eval_with_anything_wrong(
    folder: Path, change: dict[str, Any], turn: Callable[[str], bytes], cut: float | None
) -> None:
    path = folder / "samples_x.jsonl"
    data = turn(lm_eval_lines(change))
    path.write_bytes(data if cut is None else data[: int(cut * len(data))])
    found = read(path)
    if found is not None:
        right = {str(number): float(number % 2) for number in (0, 1, 3)}
        assert {name: found[name] for name in right if name in found}.items() <= right.items()


def test_lines_of_ten_megabytes(folder: Path) -> None:
    path = folder / "long.jsonl"
    rows = [{"id": number, "score": number % 2, "text": "x" * 10_000_000} for number in range(2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(path) == {"0": 0.0, "1": 1.0}
    told = whole()
    told["samples"][0]["messages"][0]["content"] = "x" * 10_000_000
    assert read(archives.write(folder / "long.eval", told)) == RIGHT
