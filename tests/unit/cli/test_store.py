"""`chaintune store` on the command line."""

import os
from functools import partial
from pathlib import Path

import pytest

from chaintune.cli import main
from chaintune.store.address import open_store
from chaintune.store.folder import FolderStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store = FolderStore(tmp_path / "store")
    for kind, key, size in (("stage", "aa11", 3000), ("score", "bb22", 20)):
        store.get_or_make(kind, key, partial(_make, size=size))
    return store.root


def _make(folder: Path, *, size: int) -> dict[str, str]:
    (folder / "bytes").write_bytes(b"1" * size)
    return {"title": "bbq>csqa, seed 0"}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["store", *arguments])
    return int(ended.value.code or 0)


def test_ls_sums_up(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ls", "--store", str(root)) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["score", "1", "entries", "20", "B"],
        ["stage", "1", "entries", "3", "KB"],
        ["total", "2", "entries", "3.02", "KB"],
    ]
    assert run("ls", "--all", "--kind", "stage", "--store", str(root)) == 0
    assert "aa11" in (out := capsys.readouterr().out)
    assert "bbq>csqa, seed 0" in out


def test_ls_tells_what_was_made_more_than_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FolderStore(root).annotate("stage", "aa11", times_made=3)
    assert run("ls", "--store", str(root)) == 0
    assert capsys.readouterr().out.endswith("\n2 duplicates, made while another machine made the same entry\n")


def test_gc_removes_what_it_names(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("gc", "--kind", "stage", "--max-size", "1KB", "--store", str(root))
    assert run(*arguments, "--dry-run") == 0
    assert "would remove 1 entry, 3 KB" in capsys.readouterr().out
    assert FolderStore(root).has("stage", "aa11")
    assert run(*arguments) == 0
    assert "removed 1 entry, 3 KB" in capsys.readouterr().out
    assert not FolderStore(root).has("stage", "aa11")
    assert FolderStore(root).has("score", "bb22")


def test_verify_finds_and_drops_damage(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "--store", str(root)) == 0
    assert capsys.readouterr().out == "2 entries read, 0 damaged\n"
    (root / "score" / "bb22" / "bytes").write_bytes(b"2" * 20)
    assert run("verify", "--store", str(root)) == 1
    assert "score/bb22: the bytes of bytes were changed" in capsys.readouterr().out
    assert run("verify", "--drop", "--store", str(root)) == 0
    assert "1 removed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("gc",), "name what to remove, with --older-than 30d, --max-size 20GB, or both"),
        (("gc", "--older-than", "soon"), "--older-than: expected a span such as 15m, 12h or 30d, got 'soon'"),
        (("gc", "--max-size", "20"), "--max-size: expected a size such as 500MB or 20GB, got '20'"),
        (("ls", "--kind", "stagge"), "holds nothing of kind 'stagge'; did you mean 'stage'"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--store", str(root)) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_looking_for_a_store_makes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ls", "--store", str(tmp_path / "none")) == 2
    assert "no such store" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_store_behind_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHAINTUNE_CACHE", str(tmp_path / "cache"))
    url = f"file://{(tmp_path / 'there').as_posix()}"
    store = open_store(url)
    for kind, key, size in (("stage", "aa11", 3000), ("score", "bb22", 20)):
        store.get_or_make(kind, key, partial(_make, size=size))
    assert run("ls", "--store", url) == 0
    assert "2 entries" in capsys.readouterr().out
    (path,) = (tmp_path / "there").glob("score/bb22/*/bytes")
    path.write_bytes(b"2" * 20)
    assert run("verify", "--drop", "--store", url) == 0
    assert (
        capsys.readouterr().out == "score/bb22: the bytes of bytes were changed\n2 entries read, 1 damaged, 1 removed\n"
    )
    monkeypatch.setenv("CHAINTUNE_STORE", url)
    assert run("gc", "--max-size", "1KB") == 0
    assert "removed 1 entry, 3 KB" in capsys.readouterr().out
    assert store.kinds() == [] or [store.keys(kind) for kind in store.kinds()] == [[]] * len(store.kinds())
    assert run("ls", "--store", "s9://bucket") == 2
    assert "protocol 's9' is not known" in capsys.readouterr().err


def test_gc_sweeps_what_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINTUNE_CACHE", str(tmp_path / "cache"))
    stale = tmp_path / "there" / "stage" / "aa11" / "0123456789ab" / "weights"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half")
    os.utime(stale, (0, 0))
    assert run("gc", "--older-than", "30d", "--dry-run", "--store", f"file://{(tmp_path / 'there').as_posix()}") == 0
    assert stale.exists()
    assert run("gc", "--older-than", "30d", "--store", f"file://{(tmp_path / 'there').as_posix()}") == 0
    assert not stale.exists()
