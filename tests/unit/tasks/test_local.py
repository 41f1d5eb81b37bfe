"""A user's own file as a task: columns, groups, splits, and a sentence for everything that is wrong."""

import csv
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
    ({"cluster": ""}, "field 'cluster' is blank"),
    ({"groups": "a"}, "field 'groups' must map dimensions to groups, got str 'a'"),
    ({"groups": [1, 2]}, "field 'groups' must map dimensions to groups, got list"),
    ({"groups": {"faith": {"a": 1}}}, "group of dimension 'faith' must be text, got dict"),
    ({"groups": {"faith": ["a", ""]}}, "group of dimension 'faith' is blank"),
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
    ({"columns": {"groups": {"faith": "creed"}}}, DataError, "no column 'creed' for groups.faith"),
    ({"role": None}, ConfigError, "a file of your own needs a role, 'safety' or 'capability'"),
    ({"role": "safe"}, ConfigError, r"role 'safe' is not known; did you mean 'safety'\?"),
    ({"train": 30}, DataError, "task 'mine', train: 30 examples asked for, there are 4"),
    ({"test": "3 per faith"}, DataError, r"'3 per faith' asks for more than there are: 'a' has \d, 'b' has \d"),
    ({"test": "3 per creed"}, DataError, r"task 'mine', test: '3 per creed': no such dimension; valid: faith"),
    ({"test_share": 0}, ConfigError, "test_share 0 must be more than 0 and at most 1"),
    ({"test_share": 0.01}, DataError, "the test split is empty; all 8 rows lie in 4 clusters"),
    ({"test_share": 0.99}, DataError, "the train split is empty; all 8 rows lie in 4 clusters"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_CALLS)
def test_arguments_that_cannot_be_meant(
    tmp_path: Path, options: Mapping[str, Any], error: type[ChaintuneError], message: str
) -> None:
    path = jsonl(tmp_path, [row(k, groups={"faith": "ab"[k // 4]}) for k in range(8)])
    with pytest.raises(error, match=message):
        load(path, **options)


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
    with pytest.raises(DataError, match="1 clusters lie in both train and test: 'c1'"):
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
    with pytest.raises(DataError, match="share rows: 1 ids are in both, such as 'r2'"):
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
        ({"columns": "x"}, "columns: expected a mapping such as {'prompt': 'question'}, got str 'x'"),
    ],
)
def test_an_argument_of_another_kind_is_one_sentence(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(jsonl(tmp_path, [row(k) for k in range(8)]), **options)


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
        ({"gold": "B"}, "name the column that lists the labels as 'labels' under 'columns'"),
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
