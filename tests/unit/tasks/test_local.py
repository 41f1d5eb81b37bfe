"""A user's own file as a task: columns, groups, splits, and a sentence for everything that is wrong."""

import csv
import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import chaintune
from chaintune import tasks
from chaintune.errors import ChaintuneError, ConfigError, DataError
from chaintune.records import Task


def row(k: int, **values: Any) -> dict[str, Any]:
    own = {"id": f"r{k}", "prompt": f"Question {k}:", "choices": ["yes", "no", "maybe"], "gold": k % 3}
    return own | {"cluster": f"c{k // 2}"} | values


def jsonl(folder: Path, rows: list[dict[str, Any]], name: str = "items.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(values) + "\n" for values in rows), encoding="utf-8")
    return path


def load(path: Path, **options: Any) -> Task:
    given: dict[str, Any] = {"role": "safety", "path": path, "labelling": False} | options
    return tasks.load("mine", **given)


def test_a_file_becomes_a_task(tmp_path: Path) -> None:
    task = load(jsonl(tmp_path, [row(k, groups={"faith": ["a", "b"][k % 2]}) for k in range(8)]))
    assert (task.name, task.role, task.version, task.dimensions) == ("mine", "safety", "local-1", ("faith",))
    assert sorted(e.id for e in task.train + task.test) == [f"r{k}" for k in range(8)]
    assert len(task.train) == len(task.test) == 4
    first = next(e for e in task.train + task.test if e.id == "r4")
    assert (first.prompt, first.choices.texts, first.choices.gold, first.cluster) == (
        "Question 4:",
        (" yes", " no", " maybe"),
        1,
        "c2",
    )
    assert first.groups == {"faith": ("a",)}
    assert task.source.startswith(f"{tmp_path / 'items.jsonl'} (sha256 ")


def test_rows_in_another_order_give_the_same_task(tmp_path: Path) -> None:
    rows = [row(k, groups={"faith": ["a", "b", "c"][k % 3]}) for k in range(30)]
    for columns in (None, {"groups": "groups"}):
        without_ids = [{key: value for key, value in r.items() if key not in ("id", "cluster")} for r in rows]
        for data in (rows, without_ids):
            shuffled = sorted(data, key=lambda r: sha256(r["prompt"].encode()).digest())
            assert shuffled != data
            sizes = {"train": "2 per faith", "test": 9, "columns": columns}
            one, two = (load(jsonl(tmp_path, order), **sizes) for order in (data, shuffled))
            assert (one.train, one.test) == (two.train, two.test)
            assert (one.train_digest, one.test_digest) == (two.train_digest, two.test_digest)


def test_the_three_formats_give_the_same_task(tmp_path: Path) -> None:
    rows = [row(k, faith=["a", "b"][: k % 3]) for k in range(12)]
    columns = {"groups": {"faith": "faith"}}
    expected = load(jsonl(tmp_path, rows), columns=columns)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    with (tmp_path / "items.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for values in rows:
            joined = "|".join(values["choices"]) if values["gold"] else json.dumps(values["choices"])
            writer.writerow(values | {"choices": joined, "faith": json.dumps(values["faith"])})
    for name in ("items.parquet", "items.csv"):
        task = load(tmp_path / name, columns=columns)
        assert (task.train, task.test) == (expected.train, expected.test)


def test_columns_may_bear_other_names(tmp_path: Path) -> None:
    rows = [
        {"nr": k, "q": f"Q{k}", "answers": ["a", "b"], "right": "b", "faith": "x", "age": ["old", "poor"], "form": k}
        for k in range(4)
    ]
    columns = {
        "id": "nr", "prompt": "q", "choices": "answers", "gold": "right", "cluster": "form",
        "groups": {"religion": "faith", "who": "age"},
    }  # fmt: skip
    task = load(jsonl(tmp_path, rows), columns=columns)
    assert task.dimensions == ("religion", "who")
    for example in task.train + task.test:
        assert example.choices.gold == 1
        assert example.cluster == example.id
        assert example.groups == {"religion": ("x",), "who": ("old", "poor")}


def test_a_column_that_is_none_counts_as_not_given(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [{"prompt": f"Q{k}", "choices": ["a", "b"], "gold": 0} for k in range(4)])
    assert load(path, columns={"id": None, "cluster": None, "prompt": "prompt"}).test == load(path).test


def test_a_row_may_bear_no_group(tmp_path: Path) -> None:
    rows = [row(k, faith=[None, [], "a"][k % 3]) for k in range(6)]
    task = load(jsonl(tmp_path, rows), columns={"groups": {"faith": "faith"}})
    assert {e.id: e.groups for e in task.train + task.test if e.groups} == {
        "r2": {"faith": ("a",)},
        "r5": {"faith": ("a",)},
    }


def test_a_space_stands_before_a_choice_unless_there_is_one(tmp_path: Path) -> None:
    rows = [row(0), row(2, prompt="Question:\n"), row(4, choices=["\tyes", "no"], gold=0)]
    task = load(jsonl(tmp_path, rows), test_share=1)
    assert [e.choices.texts for e in task.test] == [(" yes", " no", " maybe"), ("yes", "no", "maybe"), ("\tyes", " no")]


def test_gold_is_an_index_or_the_text_of_a_choice(tmp_path: Path) -> None:
    rows = [
        row(0, gold=2),
        row(2, gold="maybe"),
        row(4, choices=["2", "1"], gold="1"),
        row(6, choices=["2", "1"], gold=0),
    ]
    assert [e.choices.gold for e in load(jsonl(tmp_path, rows), test_share=1).test] == [2, 2, 1, 0]


def test_a_csv_gold_that_could_mean_two_things_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,choices,gold\nHow many?,3|2|1,2\n")
    with pytest.raises(DataError, match="gold '2' is the text of choice 1, and could be an index too"):
        load(path)
    path.write_text("prompt,choices,gold\nHow many?,0|1,1\nHow much?,a|b,1\n")
    assert [e.choices.gold for e in load(path, test_share=1).test] == [1, 1]


def test_a_split_column_and_a_test_path_are_kept(tmp_path: Path) -> None:
    rows = [row(k, split="test" if k > 5 else "train") for k in range(8)]
    by_column = load(jsonl(tmp_path, rows))
    plain = [{key: value for key, value in r.items() if key != "split"} for r in rows]
    one, two = jsonl(tmp_path, plain[:6], "train.jsonl"), jsonl(tmp_path, plain[6:], "test.jsonl")
    by_path = load(one, test_path=two)
    assert [e.id for e in by_column.test] == ["r6", "r7"]
    assert (by_column.train, by_column.test) == (by_path.train, by_path.test)


def test_everything_may_be_tested(tmp_path: Path) -> None:
    task = load(jsonl(tmp_path, [row(k) for k in range(4)]), test_share=1)
    assert (len(task.train), len(task.test)) == (0, 4)


BAD_ROWS: list[tuple[Mapping[str, Any], str]] = [
    ({"gold": 3}, r"line 2: gold 3 is out of range; valid: 0 to 2, for 'yes', 'no', 'maybe'"),
    ({"gold": -1}, "gold -1 is out of range"),
    ({"gold": "perhaps"}, r"gold must be an index or the text of a choice \('yes', 'no', 'maybe'\), got str 'perhaps'"),
    ({"gold": True}, "gold must be an index or the text of a choice .* got bool True"),
    ({"gold": 1.0}, "got float 1.0"),
    ({"gold": None}, r"field 'gold' is empty \(None\); give it a value or remove the row"),
    ({"choices": ["yes"]}, r"field 'choices': 1 choice, expected at least 2"),
    ({"choices": []}, "0 choice"),
    ({"choices": ["yes", " yes"]}, r"choices 0 and 1 read the same \('yes'\)"),
    ({"choices": ["yes", ""]}, "choice 1 is blank"),
    ({"choices": ["yes", 3]}, "choice 1 must be text, got int 3"),
    ({"choices": {"a": 1}}, "field 'choices' must be a list of texts, got dict"),
    ({"choices": '["yes", '}, "field 'choices' is not the JSON that it begins like"),
    ({"prompt": " "}, "field 'prompt' is blank"),
    ({"prompt": ["x"]}, "field 'prompt' must be text, got list"),
    ({"prompt": "\ud800"}, "holds half a surrogate pair at character 0"),
    ({"id": "r0"}, r"line 2: id 'r0' is taken by .*line 1; every row needs its own"),
    ({"id": 1.5}, "field 'id' must be text, got float"),
    ({"id": None}, "field 'id' is empty"),
    ({"cluster": ["a"]}, "field 'cluster' must be text, got list"),
    ({"groups": "a"}, "field 'groups' must map dimensions to groups, got str 'a'"),
    ({"groups": [1, 2]}, "field 'groups' must map dimensions to groups, got list"),
    ({"groups": {"faith": {"a": 1}}}, "group of dimension 'faith' is dict .*, expected a group or a list of groups"),
]


@pytest.mark.parametrize(("values", "message"), BAD_ROWS)
def test_a_bad_row_is_told_with_its_place(tmp_path: Path, values: Mapping[str, Any], message: str) -> None:
    path = jsonl(tmp_path, [row(0), row(2, **values)])
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")


def test_a_nan_in_a_parquet_file_is_told(tmp_path: Path) -> None:
    rows = [row(0) | {"gold": 0.0}, row(2) | {"gold": float("nan")}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"row 2: field 'gold' is empty \(nan\)"):
        load(tmp_path / "a.parquet")


def test_errors_of_all_rows_are_told_at_once(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [row(0, gold=7), row(2), row(4, prompt="")])
    with pytest.raises(DataError, match="2 problems in the data") as caught:
        load(path)
    assert "line 1: gold 7" in str(caught.value)
    assert "line 3: field 'prompt' is blank" in str(caught.value)


def test_rows_without_ids_must_differ(tmp_path: Path) -> None:
    same = {"prompt": "Q", "choices": ["a", "b"], "gold": 0}
    with pytest.raises(DataError, match=r"line 3: same prompt and choices as .*line 1; remove one"):
        load(jsonl(tmp_path, [same, same | {"prompt": "P"}, same | {"gold": 1}]))


BAD_CALLS: list[tuple[Mapping[str, Any], type[ChaintuneError], str]] = [
    ({"columns": {"promt": "prompt"}}, ConfigError, r"columns: 'promt' is not known; did you mean 'prompt'\?"),
    ({"columns": {"prompt": 3}}, ConfigError, "columns: 'prompt' must name a column, got int 3"),
    ({"columns": {"groups": {"faith": 3}}}, ConfigError, "columns: 'groups' must name a column, got int 3"),
    ({"columns": {"prompt": "prompts"}}, DataError, r"no column 'prompts' for prompt; did you mean 'prompt'\?"),
    ({"columns": {"labels": "[A, B]"}}, DataError, r"no column '\[A, B\]' for labels; .*write a list without quotes"),
    ({"columns": {"groups": {"faith": "creed"}}}, DataError, "no column 'creed' for groups.faith"),
    ({"role": None}, ConfigError, "a file of your own needs a role, 'safety' or 'capability'"),
    ({"role": "safe"}, ConfigError, r"role 'safe' is not known; did you mean 'safety'\?"),
    ({"train": 30}, DataError, "task 'mine', train: 30 examples asked for, there are 4"),
    ({"test": "3 per faith"}, DataError, r"'3 per faith' asks for more than there are: 'a' has \d, 'b' has \d"),
    ({"test": "3 per creed"}, DataError, r"task 'mine', test: '3 per creed': no such dimension; valid: faith"),
    ({"only": {"creed": ["a"]}}, DataError, r"task 'mine', only: no dimension 'creed'; valid: faith"),
    ({"only": {"faith": ["c"]}}, DataError, r"task 'mine', only: no group 'c' of faith; valid: "),
    ({"test_share": 0}, ConfigError, "test_share 0 must be more than 0 and at most 1"),
    ({"test_share": 0.01}, DataError, "the test split is empty; 8 rows lie in 4 clusters"),
    ({"test_share": 0.99}, DataError, "the train split is empty; 8 rows lie in 4 clusters"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_CALLS)
def test_arguments_that_cannot_be_meant(
    tmp_path: Path, options: Mapping[str, Any], error: type[ChaintuneError], message: str
) -> None:
    path = jsonl(tmp_path, [row(k, groups={"faith": "ab"[k // 4]}) for k in range(8)])
    with pytest.raises(error, match=message):
        load(path, **options)


def test_examples_of_some_groups_alone(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [row(k, groups={"faith": ["abc"[k % 3]]}, cluster=f"c{k}") for k in range(36)])
    task = load(path, only={"faith": ["a", "b"]}, test="3 per faith")
    groups = Counter(group for example in (*task.train, *task.test) for group in example.groups["faith"])
    assert (set(groups), len(task.test)) == ({"a", "b"}, 6)
    one = load(path, only={"faith": "c"})
    assert {example.groups["faith"] for example in (*one.train, *one.test)} == {("c",)}


def test_a_name_that_a_chain_could_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="task name 'a>b': begin with a letter or digit"):
        tasks.load("a>b", role="safety", path=jsonl(tmp_path, [row(0)]))


def test_a_dimension_without_groups_is_refused(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [row(k, faith=None) for k in range(4)])
    with pytest.raises(DataError, match="dimension 'faith': no row has a group in column 'faith'"):
        load(path, columns={"groups": {"faith": "faith"}})


def test_a_group_that_one_split_lacks_cannot_be_sampled(tmp_path: Path) -> None:
    rows = [row(k, groups={"faith": "a"}, split="train" if k < 4 else "test") for k in range(8)]
    rows[0]["groups"] = {"faith": "b"}
    with pytest.raises(
        DataError, match=r"task 'mine', test: '1 per faith' asks for more than there are: 'b' has 0; leave out"
    ):
        load(jsonl(tmp_path, rows), test="1 per faith")


def test_a_given_split_must_keep_clusters_whole_and_both_parts_filled(tmp_path: Path) -> None:
    rows = [row(k, split="test" if k > 2 else "train") for k in range(8)]
    with pytest.raises(DataError, match="1 cluster lies in both train and test: 'c1'"):
        load(jsonl(tmp_path, rows))
    with pytest.raises(DataError, match="the test split is empty; the data has a split of its own"):
        load(jsonl(tmp_path, rows[:3]))
    with pytest.raises(DataError, match=r"split 'tset' is not known; did you mean 'test'\?"):
        load(jsonl(tmp_path, [row(0, split="tset"), row(2, split="train")]))
    with pytest.raises(ConfigError, match="has a test split of its own, so it takes no test_share"):
        load(jsonl(tmp_path, rows), test_share=0.5)
    with pytest.raises(ConfigError, match="column 'split' holds the split, so give no test_path"):
        load(jsonl(tmp_path, rows), test_path=jsonl(tmp_path, rows, "test.jsonl"))


def test_an_id_in_both_files_is_refused(tmp_path: Path) -> None:
    one, two = jsonl(tmp_path, [row(0), row(2)], "a.jsonl"), jsonl(tmp_path, [row(2), row(4)], "b.jsonl")
    with pytest.raises(DataError, match="share rows: 1 id is in both, such as 'r2'"):
        load(one, test_path=two)


def test_a_description_counts_groups_and_clusters_and_shows_prompts(tmp_path: Path) -> None:
    rows = [
        row(k, groups={"faith": ["a", "b"] if k == 0 else "a"}, split="train" if k < 4 else "test") for k in range(6)
    ]
    told = tasks.describe(load(jsonl(tmp_path, rows)), prompts=2)
    assert told.train == tasks.SplitCounts(4, 2, {"faith": {"a": 4, "b": 1}})
    assert told.test == tasks.SplitCounts(2, 1, {"faith": {"a": 2}})
    assert told.prompts == ("Question 4: no", "Question 5: maybe")
    assert json.loads(json.dumps(told.to_dict()))["train"]["groups"] == {"faith": {"a": 4, "b": 1}}


@pytest.mark.parametrize("missing", ["NaN", "nan", ""])
def test_a_cell_that_says_nan_is_no_group(tmp_path: Path, missing: str) -> None:
    (tmp_path / "items.csv").write_text(
        "id,prompt,choices,gold,faith\n" + "".join(f"r{k},q{k},a|b,a,{['x', missing][k % 2]}\n" for k in range(8))
    )
    task = load(tmp_path / "items.csv", columns={"groups": {"faith": "faith"}}, test_share=1)
    assert [example.groups for example in task.test] == [{"faith": ("x",)}, {}] * 4


def test_nan_in_parquet_is_no_group(tmp_path: Path) -> None:
    data = [{**row(k), "age": [1.0, float("nan")][k % 2]} for k in range(4)]
    pq.write_table(
        pa.Table.from_pylist([{**r, "age": r["age"] if k % 2 else None} for k, r in enumerate(data)]),
        tmp_path / "items.parquet",
    )
    with pytest.raises(DataError, match="dimension 'age': no row has a group"):
        load(tmp_path / "items.parquet", columns={"groups": {"age": "age"}})


def test_a_sample_of_a_task_at_hand_is_the_one_that_loading_takes(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [row(k, groups={"faith": "abc"[k % 3]}) for k in range(60)])
    whole = load(path, seed=4)
    for size in (None, 7, "3 per faith"):
        assert tasks.sample_test(whole, size, seed=4) == load(path, seed=4, test=size)
    with pytest.raises(DataError, match=r"task 'mine', test: 100 examples asked for, there are \d+"):
        tasks.sample_test(whole, 100)
    with pytest.raises(DataError, match=r"no such dimension; did you mean .faith.\?"):
        tasks.sample_test(whole, "3 per fath")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"test_share": "1"}, "task 'mine': test_share '1' must be a number"),
        ({"test_share": True}, "test_share True must be a number"),
        ({"allow_overlap": "no"}, "allow_overlap must be true or false, got str 'no'"),
        ({"labelling": 1}, "labelling must be true or false, got int 1"),
        ({"special_tokens": None}, "special_tokens must be true or false, got NoneType None"),
        ({"unusable": ["skip"]}, r"unusable: list .* is no valid value; did you mean .skip"),
        ({"columns": "x"}, "columns: expected a mapping such as {'prompt': 'question'}, got str 'x'"),
    ],
)
def test_an_argument_of_another_kind_is_one_sentence(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(jsonl(tmp_path, [row(k) for k in range(8)]), **options)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "\udcff.jsonl"])
def test_a_path_that_no_file_can_have_is_one_sentence(name: str) -> None:
    with pytest.raises(ChaintuneError):
        load(Path(name))
    with pytest.raises(ChaintuneError):
        chaintune.compare(name, name)


def test_what_is_taught_and_tested_may_share_no_row(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [row(k) for k in range(8)])
    other = jsonl(tmp_path, [row(k) for k in range(6, 10)], "other.jsonl")
    for test_path, shared in ((path, "8 ids are in both, such as 'r0'"), (other, "2 ids are in both, such as 'r6'")):
        with pytest.raises(DataError, match=f"share rows: {shared}, and what was taught cannot be tested"):
            load(path, test_path=test_path)


@pytest.mark.parametrize(("sign", "called"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_is_named(tmp_path: Path, sign: str, called: str) -> None:
    lines = [["id", "prompt", "choices", "gold"], *(["r", "one, two", "a|b", "a"] for _ in range(2))]
    (tmp_path / "items.csv").write_text("\n".join(map(sign.join, lines)))
    with pytest.raises(DataError, match=f"items.csv, line 1: {called} lie between the fields, expected commas"):
        load(tmp_path / "items.csv")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one file, got a folder; name a file that ends in"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gold": "1"}, "got str '1'; write 1 without quotes for an index, which counts from 0"),
        ({"gold": "B"}, r"it is the label of a choice, add 'labels: \[A, B, C\]' under 'columns', or their column"),
        ({"choices": "yes, no"}, "field 'choices' is one text, str 'yes, no'; write a list of texts"),
    ],
)
def test_what_was_likely_meant_is_said(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        load(jsonl(tmp_path, [row(0, **values), row(2)]))


def test_more_than_there_is_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="200 examples asked for, there are 4; ask for 4 or fewer, or leave the size out"
    ):
        load(jsonl(tmp_path, [row(k) for k in range(8)]), test=200)
    with pytest.raises(DataError, match="train: 2 examples asked for, there are 0; leave the size out"):
        load(jsonl(tmp_path, [row(k) for k in range(8)]), test_share=1, train=2)


PACKERS: dict[str, Any] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".csv", ".tsv"])
def test_every_text_format_packed_or_not_gives_the_same_task(tmp_path: Path, suffix: str, packing: str) -> None:
    rows = [row(k, faith=["a", "b"][: k % 3]) for k in range(12)]
    columns = {"groups": {"faith": "faith"}}
    expected = load(jsonl(tmp_path, rows, "expected.jsonl"), columns=columns)
    if suffix in (".csv", ".tsv"):
        text = io.StringIO()
        writer = csv.writer(text, delimiter="," if suffix == ".csv" else "\t")
        writer.writerow(rows[0])
        writer.writerows([[json.dumps(v) if isinstance(v, list) else v for v in values.values()] for values in rows])
        data = text.getvalue()
    else:
        data = json.dumps(rows, indent=1) if suffix == ".json" else "".join(json.dumps(r) + "\n" for r in rows)
    path = tmp_path / f"items{suffix}{packing}"
    path.write_bytes(PACKERS[packing](data.encode()))
    task = load(path, columns=columns)
    assert (task.train, task.test) == (expected.train, expected.test)


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_packed_file_that_is_damaged_or_swells_is_one_sentence(
    tmp_path: Path, packing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"items.jsonl{packing}"
    whole = PACKERS[packing]("".join(json.dumps(row(k)) + "\n" for k in range(400)).encode())
    for damaged in (whole[: len(whole) // 2], b"no such thing", b""):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"items\.jsonl\.(gz|zst): (cannot be unpacked|the file holds no rows)"):
            load(path)
    path.write_bytes(whole)
    monkeypatch.setattr("chaintune.files.reading._MOST_UNPACKED_BYTES", 1000)
    with pytest.raises(DataError, match="unpacks to more than"):
        load(path)


@pytest.mark.parametrize("text", ["[\n{rows}\n]", "[{rows}]", '{{"data": [{rows}]}}', '{{\n "data": [\n{rows}]}}'])
@pytest.mark.parametrize("name", ["items.json", "items.jsonl"])
def test_one_json_document_is_read_whatever_its_file_is_called(tmp_path: Path, name: str, text: str) -> None:
    rows = [row(k) for k in range(8)]
    expected = load(jsonl(tmp_path, rows, "expected.jsonl"))
    (tmp_path / name).write_text(text.format(rows=",\n".join(json.dumps(values) for values in rows)))
    task = load(tmp_path / name)
    assert (task.train, task.test) == (expected.train, expected.test)


def test_a_broken_document_in_a_jsonl_file_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps([row(k) for k in range(9)], indent=1)[:-5])
    with pytest.raises(DataError, match=r"items\.jsonl, line \d+: not JSON") as caught:
        load(path)
    assert "problems" not in str(caught.value)


@pytest.mark.parametrize("way", ["file", "rows"])
def test_named_parts_are_the_splits(tmp_path: Path, way: str) -> None:
    parts = {"train": [row(k) for k in range(8)], "test": [row(k) for k in range(8, 14)]}
    (tmp_path / "items.json").write_text(json.dumps(parts))
    given: dict[str, Any] = {"path": tmp_path / "items.json"} if way == "file" else {"path": None, "rows": parts}
    task = tasks.load("mine", role="safety", labelling=False, **given)
    assert [{e.id for e in part} for part in (task.train, task.test)] == [
        {r["id"] for r in part} for part in parts.values()
    ]
    swapped = tasks.load("mine", role="safety", labelling=False, split={"train": "test", "test": "train"}, **given)
    assert (swapped.train, swapped.test) == (task.test, task.train)
    one = tasks.load("mine", role="safety", labelling=False, split="test", **given)
    assert {e.id for e in one.train + one.test} == {r["id"] for r in parts["test"]}


@pytest.mark.parametrize(
    ("parts", "split", "said"),
    [
        (("train", "validation", "test"), None, "has the splits train, validation, test; name one as 'split'"),
        (
            ("maths", "physics"),
            None,
            r"name one as 'split', to be cut by cluster, or two: .*train: maths, test: physics",
        ),
        (("train", "test"), "tset", "no split 'tset'; did you mean 'test'"),
        (("train", "test"), 3, "split: expected one name, or one for each of train and test, got int 3"),
        ((), "train", "holds one list of rows, so it takes no 'split'"),
    ],
)
def test_parts_that_could_mean_two_things_are_refused(tmp_path: Path, parts: Any, split: Any, said: str) -> None:
    rows = [row(k) for k in range(12)]
    data = {part: rows[4 * k : 4 * k + 4] for k, part in enumerate(parts)} or rows
    (tmp_path / "items.json").write_text(json.dumps(data))
    with pytest.raises(ChaintuneError, match=said):
        load(tmp_path / "items.json", split=split)


@pytest.mark.parametrize("orient", ["index", "dict", "list", "split"])
def test_json_that_maps_names_to_rows_or_columns_is_named(tmp_path: Path, orient: str) -> None:
    import pandas as pd

    frame = pd.DataFrame([row(k) for k in range(6)]).set_index("id", drop=False)
    (tmp_path / "items.json").write_text(json.dumps(frame.to_dict(orient)))  # type: ignore[call-overload]
    with pytest.raises(DataError, match=r"expected a list of JSON objects, got a mapping of names .*orient='records'"):
        load(tmp_path / "items.json")
    (tmp_path / "items.json").write_text(json.dumps(frame.to_dict("records")))
    assert len(load(tmp_path / "items.json", test_share=1).test) == 6


def frames(rows: list[dict[str, Any]]) -> dict[str, Any]:
    import datasets
    import pandas as pd
    import polars as pl

    plain = [{name: value for name, value in r.items() if name != "groups"} for r in rows]
    return {
        "pandas": pd.DataFrame(plain),
        "pandas by id": pd.DataFrame(plain).set_index("id"),
        "polars": pl.DataFrame(plain),
        "lazy": pl.LazyFrame(plain),
        "arrow": pa.Table.from_pylist(plain),
        "datasets": datasets.Dataset.from_list(plain),
        "DatasetDict": datasets.DatasetDict({"all": datasets.Dataset.from_list(plain)}),
        "streamed": datasets.Dataset.from_list(plain).to_iterable_dataset(),
        "list": plain,
    }


@pytest.mark.parametrize("way", frames([row(0)]))
def test_tables_in_memory_give_the_same_task(tmp_path: Path, way: str) -> None:
    rows = [row(k, faith=["a", "b"][k % 2]) for k in range(12)]
    columns = {"groups": {"faith": "faith"}}
    expected = load(jsonl(tmp_path, rows), columns=columns)
    task = tasks.load("mine", role="safety", labelling=False, rows=frames(rows)[way], columns=columns)
    assert (task.train, task.test) == (expected.train, expected.test)


@pytest.mark.parametrize("strange", [3, "items.jsonl", {}, [], [1], {"a": 1}, object(), print, {"prompt": ["q"]}])
def test_what_is_no_table_is_one_sentence(strange: Any) -> None:
    with pytest.raises(ChaintuneError, match=r"^(rows: expected a frame|rows \(dict\): the table holds no rows)"):
        tasks.load("mine", role="safety", labelling=False, rows=strange)


def test_nan_matters_only_where_it_is_read(tmp_path: Path) -> None:
    rows = [row(k, faith=["x", float("nan")][k % 2], weight=float("nan"), ratio=float("inf")) for k in range(8)]
    task = load(jsonl(tmp_path, rows), columns={"groups": {"faith": "faith"}}, test_share=1)
    assert [example.groups for example in task.test] == [{"faith": ("x",)}, {}] * 4
    for field in ("prompt", "gold", "id"):
        with pytest.raises(DataError, match=rf"line 2: field '{field}' is empty \(nan\)"):
            load(jsonl(tmp_path, [row(0), row(2, **{field: float("nan")})]))


def test_a_column_that_is_named_twice_matters_only_where_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("prompt,note,choices,note,gold\n" + "".join(f"q{k},x,a|b,y,a\n" for k in range(8)))
    assert len(load(path, test_share=1).test) == 8
    with pytest.raises(DataError, match=r"line 2, line 3, line 4 and 5 more: column 'note' appears twice; rename one"):
        load(path, columns={"groups": {"kind": "note"}})
    path.with_suffix(".jsonl").write_text('{"prompt": "q", "choices": ["a", "b"], "gold": 0, "gold": 1}\n')
    with pytest.raises(DataError, match="line 1: column 'gold' appears twice"):
        load(path.with_suffix(".jsonl"))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (
            ["P(A|B)|P(B)"],
            r"3 choices with '\|' between, or fewer of which one holds a '\|'; write them as a JSON list",
        ),
        (["a||b"], "choices with '|' between, or fewer"),
        (
            ["yes|no", "yes|no", "either|or|both"],
            r"2 rows have 2 choices with '\|' between and 1 has 3, first .*line 4",
        ),
    ],
)
def test_a_bar_that_may_belong_to_a_choice_is_refused(tmp_path: Path, cells: list[str], said: str) -> None:
    path = tmp_path / "items.csv"
    path.write_text("prompt,choices,gold\n" + "".join(f"q{k},{cell},0\n" for k, cell in enumerate(cells)))
    with pytest.raises(DataError, match=said):
        load(path, test_share=1)
    lists = [json.dumps([f"{cell}{k}", "a|b"]).replace('"', '""') for k, cell in enumerate(cells)]
    path.write_text("prompt,choices,gold\n" + "".join(f'q{k},"{cell}",0\n' for k, cell in enumerate(lists)))
    assert {len(e.choices.texts) for e in load(path, test_share=1).test} == {2}


def exam(folder: Path, golds: str) -> Path:
    path = folder / "exam.csv"
    path.write_text("Q,A,B,C,Answer\n" + "".join(f"q{k},one {k},two {k},three {k},{g}\n" for k, g in enumerate(golds)))
    return path


@pytest.mark.parametrize(
    ("golds", "labels"), [("ABCA", ["A", "B", "C"]), ("1231", [1, 2, 3]), ("ABCA", list("ABCDE")), ("0120", None)]
)
def test_answers_may_be_labels_of_choices_in_columns_of_their_own(tmp_path: Path, golds: str, labels: Any) -> None:
    columns = {"prompt": "{Q}\nAnswer:", "choices": ["{A}", "{B}", "{C}"], "gold": "Answer", "labels": labels}
    task = load(exam(tmp_path, golds), columns=columns, test_share=1)
    assert sorted((e.prompt, e.choices.gold) for e in task.test) == [
        (f"q{k}\nAnswer:", gold) for k, gold in enumerate([0, 1, 2, 0])
    ]


@pytest.mark.parametrize(
    ("columns", "gold"),
    [
        ({"choices": ["{good}", "{bad}"], "gold": 0}, 0),
        ({"choices": ["{bad}", "{good}"], "gold": 1}, 1),
        ({"choices": ["{bad}", "{good}"], "gold": "{good}"}, 1),
        ({"choices": ["yes", "no"], "gold": "no"}, 1),
        ({"choices": ["yes", "no"], "gold": "Y", "labels": ["Y", "N"]}, 0),
    ],
)
def test_a_right_answer_that_is_the_same_for_every_row_can_be_said(tmp_path: Path, columns: Any, gold: int) -> None:
    path = jsonl(tmp_path, [{"prompt": f"q{k}", "good": f"g{k}", "bad": f"b{k}"} for k in range(6)])
    assert {e.choices.gold for e in load(path, columns=columns, test_share=1).test} == {gold}


def test_a_gold_that_is_a_column_and_a_choice_is_refused(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [{"prompt": f"q{k}", "no": "yes"} for k in range(6)])
    with pytest.raises(ConfigError, match=r"gold 'no' is a column and one of the choices; write '\{no\}' .*or 1 for"):
        load(path, columns={"choices": ["yes", "no"], "gold": "no"})
    by_column = load(path, columns={"choices": ["yes", "no"], "gold": "{no}"}, test_share=1)
    assert {e.choices.gold for e in by_column.test} == {0}


def test_numbers_dates_and_dictionaries_of_parquet_are_names(tmp_path: Path) -> None:
    import datetime
    import decimal

    rows = [
        {
            "id": decimal.Decimal(k),
            "prompt": f"q{k}",
            "choices": ["a", "b"],
            "gold": 0,
            "day": datetime.date(2026, 1, 1 + k % 2),
            "at": datetime.datetime(2026, 1, 1, 12, k % 2),
            "price": decimal.Decimal("1.50"),
            "level": [1.0, None][k % 2],
            "kind": ["x", "y"][k % 2],
        }
        for k in range(8)
    ]
    table = pa.Table.from_pylist(rows)
    kinds = table.column("kind").dictionary_encode()
    pq.write_table(table.set_column(table.column_names.index("kind"), "kind", kinds), tmp_path / "a.parquet")
    groups = {name: name for name in ("day", "at", "price", "level", "kind")}
    task = load(tmp_path / "a.parquet", columns={"groups": groups, "prompt": "{prompt} at {price}"}, test_share=1)
    first = next(e for e in task.test if e.id == "0")
    assert first.prompt == "q0 at 1.5"
    assert first.groups == {
        "day": ("2026-01-01",), "at": ("2026-01-01T12:00:00",), "price": ("1.5",), "level": ("1",), "kind": ("x",)
    }  # fmt: skip


def test_a_map_of_parquet_holds_groups(tmp_path: Path) -> None:
    rows = [row(k) | {"groups": [("faith", ["a", "b"][k % 2])]} for k in range(8)]
    schema = pa.Table.from_pylist([row(0)]).schema.append(pa.field("groups", pa.map_(pa.string(), pa.string())))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "a.parquet")
    task = load(tmp_path / "a.parquet")
    assert task.dimensions == ("faith",)
    assert {e.groups["faith"] for e in task.test} == {("a",), ("b",)}


def test_equal_items_share_a_cluster_whatever_their_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [row(k) for k in range(40)]
    again = [row(k, id=f"again{k}", cluster=f"d{k}", choices=["no", "maybe", " yes"]) for k in range(0, 40, 4)]
    for data in (rows + again, [r | {"prompt": r["prompt"].replace(" ", "  ")} for r in again] + rows):
        task = load(jsonl(tmp_path, data), test_share=0.5)
        cluster = {e.id: e.cluster for e in task.train + task.test}
        assert all(cluster[f"again{k}"] == cluster[f"r{k}"] for k in range(0, 40, 4))
        assert task.source.endswith("; 10 rows have the prompt and choices of another and share its cluster")
    assert "task 'mine': 10 rows have the prompt and choices of another" in caplog.text


def test_sizes_beyond_both_splits_are_told_at_once_with_the_division(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(jsonl(tmp_path, [row(k) for k in range(8)]), train=90, test=80)
    first, last = str(caught.value).splitlines()
    assert first.startswith("task 'mine', train: 90 examples asked for, there are 4;")
    assert last.endswith("give 4 to be taught and 4 to be tested, 'test_share' another division")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"groups": ["faith", "area"]}, "as in 'groups: {sex: sex}'"),
        ({"groups": "prompt"}, "as in 'groups: {prompt: prompt}'"),
        ({"choices": "yes|no", "gold": "gold"}, "'choices: [bad, good]'"),
    ],
)
def test_what_columns_lack_is_told_with_what_to_write(tmp_path: Path, columns: dict[str, Any], told: str) -> None:
    with pytest.raises((ConfigError, DataError), match=re.escape(told)):
        load(jsonl(tmp_path, [row(k) for k in range(8)]), columns=columns)


def test_equal_questions_without_ids_of_other_groups_are_items_of_one_cluster(tmp_path: Path) -> None:
    plain = [{name: value for name, value in row(k).items() if name in ("prompt", "choices", "gold")} for k in range(8)]
    data = [one | {"faith": name} for one in plain for name in ("a", "b", "b")]
    found = [
        load(jsonl(tmp_path, rows), columns={"groups": {"faith": "faith"}}, test_share=1) for rows in (data, data[::-1])
    ]
    for task in found:
        assert {e.groups["faith"]: e.id for e in task.test if e.prompt == plain[0]["prompt"]}.keys() == {("a",), ("b",)}
        assert (len(task.test), len({e.cluster for e in task.test})) == (16, 8)
        assert "left out 8 of 24 rows: 8 with the text of another row" in task.source
    assert {e.id for e in found[0].test} == {e.id for e in found[1].test}


def test_equal_rows_without_ids_are_one_item(tmp_path: Path) -> None:
    plain = [{name: value for name, value in row(k).items() if name in ("prompt", "choices", "gold")} for k in range(8)]
    task = load(jsonl(tmp_path, plain + plain[:3]), test_share=1)
    assert len(task.test) == 8
    assert task.source.endswith("; left out 3 of 11 rows: 3 with the text of another row")
    split = [r | {"split": ["train", "test"][k % 2]} for k, r in enumerate(plain)]
    with pytest.raises(DataError, match=r"line 9: same prompt and choices as .*line 1, of another split"):
        load(jsonl(tmp_path, [*split, split[0] | {"split": "test"}]))


@pytest.mark.parametrize("way", ["column", "files", "parts"])
def test_what_is_taught_may_not_be_tested_under_another_id(tmp_path: Path, way: str) -> None:
    train = [row(k) for k in range(8)]
    test = [row(k, id=f"t{k}", cluster=f"t{k}") for k in range(6, 12)]
    options: dict[str, Any] = {}
    if way == "column":
        parts = (("train", train), ("test", test))
        path = jsonl(tmp_path, [r | {"split": name} for name, part in parts for r in part])
    elif way == "files":
        path, options = jsonl(tmp_path, train), {"test_path": jsonl(tmp_path, test, "test.jsonl")}
    else:
        path = tmp_path / "items.json"
        path.write_text(json.dumps({"train": train, "test": test}))
    with pytest.raises(DataError, match=r"2 examples are in train and in test, such as 'r6', which is 't6' there"):
        load(path, **options)
    task = load(path, allow_overlap=True, **options)
    assert (len(task.train), len(task.test)) == (8, 6)


def test_rows_that_cannot_be_used_are_skipped_when_asked_and_counted(tmp_path: Path) -> None:
    bad = [row(20, gold=7), row(21, gold=7), row(22, prompt=""), row(0)]
    path = jsonl(tmp_path, [*(row(k) for k in range(8)), *bad])
    with pytest.raises(DataError, match=r"line 9, line 10: gold 7 is out of range"):
        load(path)
    task = load(path, unusable="skip", test_share=1)
    assert len(task.test) == 8
    assert "left out 4 of 12 rows: 1 with a fault" in task.source
    assert f"2 with a fault ({path}, line 9, line 10: gold 7 is out of range" in task.source
    assert "id 'r0' is taken by" in task.source
    with pytest.raises(ConfigError, match=r"unusable: str 'drop' is no valid value; valid: error, skip"):
        load(path, unusable="drop")
    with pytest.raises(DataError, match="gold 7 is out of range"):
        load(jsonl(tmp_path, bad[:2]), unusable="skip")


def test_blanks_around_groups_and_blank_clusters_have_one_rule(tmp_path: Path) -> None:
    rows = [row(k, faith=[" a", "a", ["b ", "a"], "  "][k % 4], cluster=["c", "", None, " "][k % 4]) for k in range(8)]
    task = load(jsonl(tmp_path, rows), columns={"groups": {"faith": "faith"}}, test_share=1)
    assert {e.id: e.groups.get("faith") for e in task.test} == {
        f"r{k}": [("a",), ("a",), ("a", "b"), None][k % 4] for k in range(8)
    }
    assert {e.id: e.cluster for e in task.test} == {f"r{k}": "c" if k % 4 == 0 else f"r{k}" for k in range(8)}
    assert "; 4 rows with blanks around a group's name, which were removed" in task.source
    assert "; 6 rows without a cluster, each one of its own" in task.source


def test_the_same_sentence_is_told_once_with_a_count_and_three_places(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [row(k, gold=None if k % 2 else 0) for k in range(200)])
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}, line 2, line 4, line 6 and 97 more: field 'gold' is empty (None); give it a value or remove the row"
    )


def test_the_home_folder_may_be_written_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    jsonl(tmp_path, [row(k) for k in range(8)])
    assert len(load(Path("~/items.jsonl"), test_share=1).test) == 8
    with pytest.raises(DataError, match="no such file"):
        load(Path("~nobody-of-that-name/items.jsonl"))


def test_a_cell_of_any_length_is_read(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("prompt,choices,gold,document\n" + "".join(f"q{k},a|b,a,{'w ' * 100_000}\n" for k in range(4)))
    assert len(load(path, test_share=1).test) == 4


@pytest.mark.parametrize("write", [str, lambda choices: f"['{choices[0]}' '{choices[1]}'\n '{choices[2]}']"])
def test_choices_may_be_a_list_as_python_and_numpy_print_it(tmp_path: Path, write: Any) -> None:
    rows = [row(k, choices=write(["yes", "no", "maybe"])) for k in range(8)]
    for path in (jsonl(tmp_path, rows), tmp_path / "items.csv"):
        if path.suffix == ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
        assert {one.choices.texts for one in load(path, test_share=1).test} == {(" yes", " no", " maybe")}


def test_right_answers_that_may_count_from_1_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def loaded(golds: Any, **columns: Any) -> Task:
        caplog.clear()
        path = jsonl(tmp_path, [row(k, gold=gold) for k, gold in enumerate(golds)])
        return load(path, test_share=1, columns=columns)

    doubt = "no row has gold 0; where the data counts from 1, add 'labels: [1, 2, 3]' under 'columns'"
    loaded([1, 2] * 10)
    assert doubt in caplog.text
    assert doubt in loaded([1, 2] * 10).source
    for golds, columns in (([1, 2] * 9, {}), ([0, 1, 2] * 8, {}), ([1] * 20, {}), ([1, 2] * 10, {"labels": [1, 2, 3]})):
        loaded(golds, **columns)
        assert "gold 0" not in caplog.text
    with pytest.raises(
        DataError, match=r"gold 3 is out of range; valid: 0 to 2.* 'labels: \[1, 2, 3\]' under 'columns'"
    ):
        loaded([1, 2, 3])
    with pytest.raises(DataError, match=r"gold 4 is out of range; valid: 0 to 2, for [^;]*$"):
        loaded([1, 2, 4])
    right = {one.id: one.choices.texts[one.choices.gold] for one in loaded([1, 2, 3], labels=[1, 2, 3]).test}
    assert right == {"r0": " yes", "r1": " no", "r2": " maybe"}
