"""Files that appear whole or not at all, and links that are planted in the way."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from chaintune.errors import StoreError
from chaintune.files import atomic


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


def through_bytes(path: Path) -> None:
    atomic.write_bytes(path, b"new")


def through_json(path: Path) -> None:
    atomic.write_json(path, "new")


def through_a_writer(path: Path) -> None:
    with atomic.atomic_write(path) as partial:
        partial.write_text("new")


WRITERS = (through_bytes, through_json, through_a_writer)


@pytest.mark.parametrize("write", WRITERS)
def test_a_link_under_the_name_is_replaced_and_not_followed(
    write: Callable[[Path], None], victim: Path, tmp_path: Path
) -> None:
    path = tmp_path / "report.md"
    path.symlink_to(victim)
    write(path)
    assert not path.is_symlink()
    assert "new" in path.read_text()
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("write", WRITERS)
def test_even_a_name_that_somebody_foresees_is_not_written_through(
    write: Callable[[Path], None], victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "uuid4", lambda: SimpleNamespace(hex="0" * 32))
    path = tmp_path / "report.md"
    atomic.partial_path(path).symlink_to(victim)
    with pytest.raises(FileExistsError):
        write(path)
    assert victim.read_text() == "precious"


def test_no_two_names_of_unfinished_files_are_alike(tmp_path: Path) -> None:
    assert len({atomic.partial_path(tmp_path / "report.md") for _ in range(100)}) == 100


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic.atomic_write(path) as partial:
        partial.write_text(str(1 / 0))
    assert [one.name for one in tmp_path.iterdir()] == ["report.md"]
    assert path.read_text() == "old"


def test_a_new_file_may_be_read_by_those_who_may_read_any(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    atomic.write_bytes(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_folder_of_ours_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "figures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"figures: is a link, and nothing is written through links; remove it"):
        atomic.own_folder(tmp_path / "figures")
    assert atomic.own_folder(tmp_path / "scores") == tmp_path / "scores"


def test_files_that_are_replaced_go_through_no_link(victim: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").symlink_to(victim)
    (tmp_path / "elsewhere").mkdir()
    with atomic.replacing_files(model) as new:
        (new / "config.json").write_text("new")
    assert (victim.read_text(), (model / "config.json").read_text()) == ("precious", "new")
    (model / "inner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="inner: is a link"), atomic.replacing_files(model) as new:
        atomic.write_bytes(new / "inner" / "x", b"new")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not list(tmp_path.glob("*.partial"))


def test_a_fresh_folder_is_empty_whatever_was_there(victim: Path, tmp_path: Path) -> None:
    folder = tmp_path / "best.partial"
    folder.symlink_to(victim.parent)
    for _ in range(2):
        atomic.fresh_folder(folder)
        assert folder.is_dir()
        assert not folder.is_symlink()
        assert list(folder.iterdir()) == []
        (folder / "left").write_text("by a run that was killed")
    assert victim.read_text() == "precious"


def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    inner = tmp_path / "figures"
    inner.mkdir()
    old = [atomic.partial_path(folder / "x.svg") for folder in (tmp_path, inner)]
    kept = [atomic.partial_path(tmp_path / "new.svg"), tmp_path / "mine.partial"]
    for path in [*old, *kept]:
        path.touch()
    for path in [*old, tmp_path / "mine.partial"]:
        os.utime(path, (time.time() - 2 * atomic._SECONDS_UNTIL_STALE,) * 2)
    atomic.clear_leftovers(tmp_path)
    assert sorted(path for path in tmp_path.iterdir() if path != inner) == sorted(kept)
    assert list(inner.iterdir()) == []
