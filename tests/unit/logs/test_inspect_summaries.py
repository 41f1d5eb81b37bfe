"""Archives of Inspect by their summaries: the same as `inspect-ai` reads from the samples, or left to it."""

import json
import logging
import math
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspect_ai.log import read_eval_log, write_eval_log

from chaintune.errors import ChaintuneError, ConfigError, DataError
from chaintune.logs import inspect_columns, inspect_logs, inspect_summaries
from chaintune.logs.comparable import objections
from chaintune.logs.inspect_logs import read_checked
from chaintune.logs.inspect_summaries import read_summarised
from chaintune.logs.irregular import Irregular
from chaintune.logs.log import Log, Wanted
from chaintune.logs.readers import read_log
from tests.unit.logs import inspected

N = 12


def written(path: Path, told: Mapping[str, Any]) -> Path:
    """The log as inspect-ai itself writes it into an archive."""
    write_eval_log(read_eval_log(BytesIO(json.dumps(told).encode()), format="json"), str(path), format="eval")
    return path


def assert_same(quick: Log, checked: Log) -> None:
    """Alike but for the names in `fields`, which are those of any one sample."""
    assert quick.scores.table.equals(checked.scores.table)
    for name in ("where", "facts", "doubts", "content", "dimensions"):
        assert getattr(quick, name) == getattr(checked, name)
    assert (quick.scores.task, quick.scores.metric) == (checked.scores.task, checked.scores.metric)  # type: ignore[union-attr]
    assert {name: column.to_pylist() for name, column in quick.digests.items()} == {
        name: column.to_pylist() for name, column in checked.digests.items()
    }


def read_both(path: Path, wanted: Wanted) -> tuple[Log, Log]:
    quick, checked = read_summarised(path, wanted), read_checked(path, wanted)
    assert quick is not None
    assert checked is not None
    return quick, checked


def scored(values: list[Any], **fields: Any) -> list[dict[str, Any]]:
    return [inspected.sample(k, {"judge": value}, **fields) for k, value in enumerate(values)]


def unscored() -> list[dict[str, Any]]:
    failed = inspected.sample(9, {}, error={"message": "broke", "traceback": "", "traceback_ansi": ""})
    return [failed, inspected.sample(8, {}) | {"scores": None}, *scored(["C", math.nan, "I"])]


def with_epochs(*values: Any) -> list[dict[str, Any]]:
    """The last epoch first, and of the second example no first epoch."""
    return [
        inspected.sample(k, {"judge": value}, epoch=epoch, choices=[f"in {epoch}"], metadata={"group": f"g{epoch}"})
        for k, part in enumerate(values)
        for epoch, value in reversed(list(enumerate(part, 1)))
        if (k, epoch) != (1, 1)
    ]


GRADED = with_epochs(("C", "I", "P"), ("C", math.nan, "N"), (math.nan,) * 3)
NUMBERED = with_epochs((0.1, 0.2, 0.7), (1, 0.3, 0.6), (0.1, math.nan, 0.3))


def with_metadata(*values: Any) -> list[dict[str, Any]]:
    return [inspected.sample(k, {"judge": k % 2}, metadata={"g": value}) for k, value in enumerate(values)]


BY_G = Wanted(dimensions=("metadata.g",))
CASES: dict[str, tuple[list[dict[str, Any]], Wanted, dict[str, Any]]] = {
    "grades": (scored(list("CIPNCI")), Wanted(), {}),
    "words and numbers as text": (scored(["yes", "No", "TRUE", "0.25", "1", "C"]), Wanted(), {}),
    "truth values": (scored([True, False, True]), Wanted(), {}),
    "numbers, whole and not": (scored([0, 1, 0.25, 1e-9]), Wanted(), {}),
    "another scale": (scored([1, 5, 3, 2.5]), Wanted(scale=(1, 5)), {}),
    "several scorers": (
        [inspected.sample(k, {"a": "C", "b": "IC"[k % 2], "a.b": 1}) for k in range(N)],
        Wanted(metric="b"),
        {},
    ),
    "a scorer of several values": (
        [inspected.sample(k, {"judge": {"kind": 1, "true": k % 2 or None}}) for k in range(N)],
        Wanted(metric="judge.true"),
        {},
    ),
    "unscored": (unscored(), Wanted(), {}),
    "epochs": (GRADED, Wanted(dimensions=("metadata.group",)), {"config": {"epochs": 3}}),
    "epochs that are averaged among others": (
        NUMBERED,
        Wanted(),
        {"config": {"epochs": 3, "epochs_reducer": ["mean", "mode"]}},
    ),
    "one epoch and another reducer": (scored(list("CI")), Wanted(), {"config": {"epochs_reducer": ["mode"]}}),
    "ids that are numbers": ([inspected.sample(k, {"judge": "C"}, id=k) for k in (3, 10, 2, 1)], Wanted(), {}),
    "ids of any text": (
        [inspected.sample(0, {"judge": "C"}, id=name) for name in ("a/b", "../c", "ü ß", "日本", 'q"x', "a_epoch_1")],
        Wanted(),
        {},
    ),
    "another id": (
        [inspected.sample(k, {"judge": "C"}, metadata={"key": f"k{k}"}) for k in range(N)],
        Wanted(columns={"id": "metadata.key"}),
        {},
    ),
    "groups and clusters": (
        scored(list("CICI")),
        Wanted(dimensions=("metadata.group", "target"), cluster="metadata.unit"),
        {},
    ),
    "deep groups": (
        with_metadata({"h": {"i": "x"}}, {"h": {"i": ""}}, {"h": {}}, {}),
        Wanted(dimensions=("metadata.g.h.i",)),
        {},
    ),
    "several groups": (with_metadata(["a", "b"], [], ["ü"], None), BY_G, {}),
    "groups that are numbers": (with_metadata(1, 2, 1, None), BY_G, {}),
    "groups that are truth values": (with_metadata(True, False, True), BY_G, {}),
    "groups with white space": (with_metadata(" a  b\n", "a b", "a\tb", "\u00a0c", ""), BY_G, {}),
    "dimensions that no sample has": (scored(list("CI")), Wanted(dimensions=("metadata.no", "input", "a.b")), {}),
    "questions of several messages": (
        scored(list("CI"), input=[{"role": "user", "content": "Who?"}]),
        Wanted(),
        {},
    ),
    "choices and targets": (scored(list("CI"), choices=["x", "y"], target=["a", "b"]), Wanted(), {}),
    "no choices": (scored(list("CI"), choices=[], target=[]), Wanted(), {}),
    "targets of both forms": ([*scored(["C"]), inspected.sample(3, {"judge": "C"}, target=["b"])], Wanted(), {}),
    "long questions": ([inspected.sample(k, {"judge": "C"}, input="x" * (4095 + k)) for k in range(3)], Wanted(), {}),
    "questions that a summary cuts": (scored(list("CI"), input="ü" * 9000, target="y" * 9000), Wanted(), {}),
    "texts with anything": (scored(list("CI"), input='},{"id":"x\\",\n\u2028}]', target='"value":NaN'), Wanted(), {}),
    "other conditions": (
        scored(list("CI")),
        Wanted(),
        {
            "task_version": "2-b",
            "task_args": {"shots": [1, {"x": None}]},
            "model_generate_config": {"temperature": 0, "max_tokens": 5, "stop_seqs": ["a"]},
            "plan": {"steps": [{"solver": "s", "params": {"template": "x" * 99}}], "config": {"top_p": 1}},
            "scorers": [{"name": "judge", "options": {"model": "m"}}, {"name": "other"}],
        },
    ),
    "a run that failed": (scored(list("CI")), Wanted(), {"status": "error", "invalidated": True}),
}


@pytest.mark.parametrize("name", CASES)
def test_both_ways_of_reading_say_the_same(tmp_path: Path, name: str) -> None:
    samples, wanted, changes = CASES[name]
    quick, checked = read_both(written(tmp_path / "l.eval", inspected.log(samples, **changes)), wanted)
    assert_same(quick, checked)
    assert sorted(quick.fields) == sorted(checked.fields)


VALUE = st.sampled_from(["C", "I", "P", "N", "yes", "0.5", "A", 0, 1, 0.5, True, math.nan])
LABEL = st.none() | st.sampled_from(["a", "a  b", " a b", "", "ü", "x" * 1100]) | st.integers(0, 2) | st.booleans()
SAMPLES = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(["q1", "q/2", "日", 'a"b']) | st.integers(1, 4),
            "epoch": st.integers(1, 2),
            "value": VALUE,
            "metadata": st.dictionaries(
                st.sampled_from(["g", "h"]), LABEL | st.lists(LABEL, max_size=2) | st.fixed_dictionaries({"i": LABEL})
            ),
            "input": st.text(max_size=5),
            "choices": st.none() | st.lists(st.text(max_size=3), max_size=2),
            "target": st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=2),
        }
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda told: (str(told["id"]), told["epoch"]),
)


def answer_of(reader: Callable[[Path, Wanted], Log | None], path: Path, wanted: Wanted) -> Log | str:
    try:
        found = reader(path, wanted)
    except ChaintuneError as error:
        return str(error)
    assert found is not None
    return found


@settings(max_examples=25, deadline=None)
@given(
    drawn=SAMPLES,
    dimension=st.sampled_from(["metadata.g", "metadata.h.i", "target"]),
    kind=st.sampled_from([None, str, float]),
)
def test_drawn_logs_are_read_the_same_or_left_to_inspect(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[dict[str, Any]], dimension: str, kind: type | None
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    samples = [inspected.sample(0, {"judge": told.pop("value")}) | told for told in map(dict, drawn)]
    for part in samples if kind else ():
        # Most drawn logs are of several types; these are of one.
        part["scores"]["judge"]["value"] = "C" if kind is str else 0.5
        part |= {"id": str(part["id"]), "metadata": {"g": "a"}, "target": "a"}
    if len({(str(part["id"]), part["epoch"]) for part in samples}) < len(samples):
        return
    path, wanted = written(folder / "l.eval", inspected.log(samples)), Wanted(dimensions=(dimension,))
    try:
        quick: Log | str = answer_of(read_summarised, path, wanted)
    except Irregular:
        assert kind is None or dimension == "metadata.h.i"
        return
    checked = answer_of(read_checked, path, wanted)
    if isinstance(quick, str) or isinstance(checked, str):
        assert quick == checked
    else:
        assert_same(quick, checked)


def summaries(*changes: Mapping[str, Any]) -> dict[str, str]:
    rows = [inspected.summary(part) | dict(change) for part, change in zip(plain(), changes, strict=False)]
    return {"summaries.json": inspected.compact(rows)}


def plain() -> list[dict[str, Any]]:
    return [inspected.sample(k, {"match": "IC"[k % 2]}) for k in range(3)]


def other_score(value: Any) -> dict[str, Any]:
    return {"scores": {"match": {"value": value}}}


def header(**changes: Any) -> dict[str, str]:
    told = inspected.log([]) | changes
    return {"header.json": inspected.compact({name: value for name, value in told.items() if name != "samples"})}


IRREGULAR: dict[str, Mapping[str, str | None]] = {
    "without summaries": {"summaries.json": None},
    "with an empty list of them": {"summaries.json": "[]"},
    "with spaces": {"summaries.json": json.dumps([inspected.summary(part) for part in plain()], indent=2)},
    "one summary too few": summaries({}, {}),
    "a sample without a summary": {"samples/q9_epoch_1.json": inspected.compact(inspected.sample(9, {"match": 1}))},
    "the summary of another sample": summaries({}, {}, {"id": "q7"}),
    "one summary twice": summaries({}, {}, {"id": "q0"}),
    "another score": summaries({}, other_score("I"), {}),
    "another question": summaries({}, {"input": "Whom?"}, {}),
    "another target": summaries({}, {"target": "b"}, {}),
    "other choices": summaries({}, {"choices": ["x"]}, {}),
    "another group": summaries({}, {"metadata": {"group": "a", "unit": "t0"}}, {}),
    "no groups": summaries({}, {"metadata": {}}, {}),
    "a group that was removed": summaries({}, {"metadata": {"group": "Key removed from summary (> 1k)"}}, {}),
    "values of two types": summaries({}, other_score(1), {}),
    "a value that is null": summaries({}, other_score(None), {}),
    "no scorer in the first ones": summaries(*[{"scores": {}}] * 3),
    "rubbish after them": {"summaries.json": summaries({}, {}, {})["summaries.json"] + "}]"},
    "a second list of them": {"summaries.json": summaries({}, {}, {})["summaries.json"] + ',"rows":[{"id":"q9"}]'},
    "a name twice in one of them": {
        "summaries.json": summaries({}, {}, {})["summaries.json"].replace('"epoch":1', '"epoch":2,"epoch":1')
    },
    "another version of the header": header(version=1),
    "a header without a task": header(eval={"model": "m"}),
    "settings of another type": header(plan={"config": {"temperature": "0"}}),
    "a run that was cut short": {
        "header.json": None,
        "_journal/start.json": inspected.compact({"version": 2, "eval": inspected.log([])["eval"]}),
    },
}


@pytest.mark.parametrize("name", IRREGULAR)
def test_what_is_irregular_is_left_to_inspect(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    path, wanted = inspected.write(tmp_path / "l.eval", inspected.log(plain())), Wanted(dimensions=("metadata.group",))
    assert_same(*read_both(path, wanted))
    inspected.changed(path, IRREGULAR[name])
    with pytest.raises(Irregular):
        read_summarised(path, wanted)
    with caplog.at_level(logging.INFO, logger="chaintune"):
        found, expected = (
            answer_of(reader, path, wanted) for reader in (lambda *told: read_log(*told)["who"], read_checked)
        )
    assert [record.message for record in caplog.records if "sample by sample" in record.message]
    if isinstance(found, str) or isinstance(expected, str):
        assert found == expected
    else:
        assert_same(found, expected)


def test_one_score_has_to_be_named_before_any_sample_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_logs, "read_checked", lambda *_: pytest.fail("it was read"))
    samples = [inspected.sample(k, {"match": "C", "judge": {"kind": 1, "true": 0}}) for k in range(3)]
    path = inspected.write(tmp_path / "l.eval", inspected.log(samples))
    with pytest.raises(ConfigError, match=r"3 scores, name one as the metric: match, judge.kind, judge.true"):
        read_log(path, Wanted())
    with pytest.raises(ConfigError, match="did you mean 'match'"):
        read_log(path, Wanted(metric="mach"))
    with pytest.raises(ConfigError, match="no log of task 'nobody'"):
        read_log(path, Wanted(tasks=("nobody",)))


def test_a_scorer_of_a_late_sample_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_columns, "_FIRST", 2)
    path = inspected.write(tmp_path / "l.eval", inspected.log([*plain(), inspected.sample(7, {"match": "C", "b": 1})]))
    with pytest.raises(Irregular, match="may have other scores"):
        read_summarised(path, Wanted())
    with pytest.raises(ConfigError, match="2 scores, name one as the metric: match, b"):
        read_log(path, Wanted())
    assert_same(*read_both(path, Wanted(metric="match")))
    with pytest.raises(Irregular, match="have not that score"):
        read_summarised(path, Wanted(metric="b"))
    assert read_log(path, Wanted(metric="b"))["who"].scores.item_scores().tolist() == [1]


def test_prompts_are_told_of_the_samples_that_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_summaries, "_LOOKED_AT", 7)
    long = "x" * 5000
    sides = []
    for side, asked in enumerate(("Who?", "Whom?")):
        samples = [
            inspected.sample(k, {"match": 1}, input=long, messages=[{"role": "user", "content": asked}])
            for k in range(40)
            if k not in (3 + side, 20 + side)
        ]
        path = written(tmp_path / f"{side}.eval", inspected.log(samples))
        sides.append(read_log(path, Wanted())["who"])
    for log in sides:
        assert {name: len(column) - column.null_count for name, column in log.digests.items()} == {
            "input": 7,
            "target": 38,
            "prompt": 7,
        }
    # The same examples are looked at on both sides, but for those that one side lacks.
    (told,) = objections(*sides)
    count, shared = (int(word) for word in told.split("(")[0].split() if word.isdigit())
    assert count == shared >= 5
    assert told.startswith("the prompt differs")


def test_samples_that_are_looked_at_are_not_read_beyond_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = inspected.write(tmp_path / "l.eval", inspected.log(plain()))
    size = max(len(inspected.compact(part)) for part in plain())
    monkeypatch.setattr(inspect_summaries, "_MOST_BYTES_LOOKED_AT", size + 1)
    found = read_summarised(path, Wanted())
    assert found is not None
    assert found.digests["prompt"].null_count == 2
    monkeypatch.setattr(inspect_summaries, "_MOST_BYTES", 100)
    with pytest.raises(Irregular, match="large"):
        read_summarised(path, Wanted())


def test_more_members_than_the_short_form_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    path = inspected.write(tmp_path / "l.eval", inspected.log(plain()))
    assert b"PK\x06\x06" in path.read_bytes()
    assert_same(*read_both(path, Wanted()))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, 93])
def test_every_way_in_which_inspect_packs(tmp_path: Path, method: int) -> None:
    pytest.importorskip("zipfile_zstd")
    path = inspected.write(tmp_path / "l.eval", inspected.log(plain()))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert_same(*read_both(path, Wanted()))


@pytest.mark.parametrize("member", ["summaries.json", "header.json", "samples/q1_epoch_1.json"])
def test_a_size_that_is_a_lie_is_not_believed(tmp_path: Path, member: str) -> None:
    path = inspected.write(tmp_path / "l.eval", inspected.log(plain()))
    data = path.read_bytes()
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(member.encode()))
    for size in (10, 2**25):
        path.write_bytes(data[: at + 24] + size.to_bytes(4, "little") + data[at + 28 :])
        with pytest.raises(Irregular, match="damaged"):
            read_summarised(path, Wanted())
    path.write_bytes(b"something before " + data)
    with pytest.raises(Irregular, match="before or after"):
        read_summarised(path, Wanted())
    with pytest.raises(DataError, match="no such file"):
        read_log(tmp_path / "no.eval", Wanted())
