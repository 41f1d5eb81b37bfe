"""Checkpoints that do not fit on the disk are refused before anything is computed."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from chaintune.errors import StoreError
from chaintune.execution.disk_space import check_disk_space
from chaintune.execution.run import pending_nodes, run_plan
from chaintune.plan.nodes import Node
from chaintune.plan.plan import Plan
from chaintune.store.folder import FolderStore
from tests.dummy_engine import DummyEngine, make_plan, make_study, make_task

MB = 1_000_000


def plan_of(keep: str, *, size: int = MB, names: str = "abc") -> Plan:
    plan = make_plan(make_study(names, keep=keep))
    return replace(plan, stage_bytes=dict.fromkeys(plan.stage_bytes, size))


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    disk = {"free": 10**15}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(**disk))
    return disk


def pending(plan: Plan, store: FolderStore) -> list[Node]:
    return pending_nodes(plan, store)


@pytest.mark.parametrize(
    ("keep", "expected"),
    # Three tasks in all orders: 3 + 6 + 6 stages, of which 6 end a chain. Depth first, three are needed at once, and
    # beside the last two of them five chains are at their end.
    [("all", 15), ("final", 7), ("none", 3)],
)
def test_the_high_water_mark_follows_what_is_kept(keep: str, expected: int, store: FolderStore) -> None:
    plan = plan_of(keep)
    assert plan.added_bytes(pending(plan, store)) == expected * MB
    assert plan.added_bytes(pending(plan, store)) == plan.disk_bytes, "nothing is there yet"


def test_a_run_really_takes_no_more(store: FolderStore, tmp_path: Path) -> None:
    """What lies in the store is measured after every node, under every policy."""
    tasks = {name: make_task(name) for name in "abc"}
    for keep in ("all", "final", "none"):
        plan, here, most = plan_of(keep), FolderStore(tmp_path / keep), [0]

        def look(_event: object, here: FolderStore = here, most: list[int] = most) -> None:
            most[0] = max(most[0], len(here.keys("stage")) if "stage" in here.kinds() else 0)

        expected = plan.added_bytes(pending(plan, here))
        run_plan(plan, store=here, engine=DummyEngine(tmp_path), out=None, tasks=tasks, on_event=look)
        assert most[0] * MB == expected


def test_what_is_in_the_store_adds_nothing(store: FolderStore, tmp_path: Path) -> None:
    tasks = {name: make_task(name) for name in "abc"}
    shorter = plan_of("all", names="ab")
    run_plan(shorter, store=store, engine=DummyEngine(tmp_path), out=None, tasks=tasks)
    longer = make_plan(make_study("ab", keep="all", mitigations=[{"replay": {"task": "a", "dose": [0.5]}}]), tasks)
    assert longer.added_bytes(pending(longer, store)) == 1_000
    assert longer.disk_bytes == 5_000
    assert shorter.added_bytes(pending(shorter, store)) == 0


def test_what_fits_is_let_through(store: FolderStore, free: dict[str, int]) -> None:
    plan = plan_of("all")
    free["free"] = 15 * MB
    check_disk_space(plan, store, pending(plan, store))
    check_disk_space(plan, store, pending(plan, store), max_bytes=15 * MB)


@pytest.mark.parametrize(
    ("keep", "room", "advice"),
    [
        ("all", 14, r"15\.0 MB at once under 'keep: all', and 14\.0 MB are free there; 'keep: final' takes 7\.0 MB"),
        ("all", 6, r"'keep: none' takes 3\.0 MB; write that, or make room"),
        ("final", 6, r"7\.0 MB at once under 'keep: final', .* 'keep: none' takes 3\.0 MB"),
        ("none", 2, r"3\.0 MB at once under 'keep: none', .* no other 'keep' would fit; make room"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    keep: str, room: int, advice: str, store: FolderStore, free: dict[str, int]
) -> None:
    plan = plan_of(keep)
    free["free"] = room * MB
    with pytest.raises(StoreError, match=advice):
        check_disk_space(plan, store, pending(plan, store))


def test_a_budget_counts_what_the_store_holds(store: FolderStore, free: dict[str, int], tmp_path: Path) -> None:
    store.get_or_make("base", "aa", lambda out: {"bytes": (out / "weights").write_bytes(b"1" * 5 * MB)})
    plan = plan_of("none")
    check_disk_space(plan, store, pending(plan, store), max_bytes=9 * MB)
    with pytest.raises(StoreError, match=r"of the 7\.0 MB that the store may take, 5\.0 MB are taken; no other 'keep'"):
        check_disk_space(plan, store, pending(plan, store), max_bytes=7 * MB)
    free["free"] = MB  # the disk is what is short now, not the budget
    with pytest.raises(StoreError, match=r"1\.0 MB are free there"):
        check_disk_space(plan, store, pending(plan, store), max_bytes=9 * MB)


def test_large_sizes_are_told_in_gigabytes(store: FolderStore, free: dict[str, int]) -> None:
    free["free"] = 0
    plan = plan_of("all", size=14_000 * MB)
    with pytest.raises(StoreError, match=r"take up to 210\.00 GB at once"):
        check_disk_space(plan, store, pending(plan, store))


def test_sizes_that_nobody_knows_are_a_warning(
    store: FolderStore, free: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    free["free"] = MB
    plan = replace(plan_of("all"), stage_bytes={})
    check_disk_space(plan, store, pending(plan, store))
    assert [record.message for record in caplog.records] == [
        f"{store.address}: how much the checkpoints take is not known; 1.0 MB are free there"
    ]


def test_a_store_behind_a_url_has_no_end_but_a_budget(
    store: FolderStore, free: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "address", "s3://bucket/prefix")
    free["free"] = 0
    plan = plan_of("none")
    check_disk_space(plan, store, pending(plan, store))
    with pytest.raises(StoreError, match=r"s3://bucket/prefix: the checkpoints .* of the 2\.0 MB"):
        check_disk_space(plan, store, pending(plan, store), max_bytes=2 * MB)


def test_with_nothing_to_train_any_disk_will_do(store: FolderStore, free: dict[str, int], tmp_path: Path) -> None:
    tasks = {name: make_task(name) for name in "abc"}
    plan = plan_of("none")
    run_plan(plan, store=store, engine=DummyEngine(tmp_path), out=None, tasks=tasks)
    free["free"] = 0
    check_disk_space(plan, store, pending(plan, store), max_bytes=0)
